"""Find what texts say about files: links below the media URL, and names that change."""

import html
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from urllib.parse import quote, urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from storage.transfer.file_index import TAIL_LENGTH, FileIndex, MovedFile, Prefix, normal

DEBUG_HOSTS = [".localhost", "127.0.0.1", "[::1]"]  # Django allows them in DEBUG without ALLOWED_HOSTS
LINKS = ("link", "private", "host")  # kinds of mentions that are links to moved files
MAX_ENDS = 32  # places at which a name may end that are tried
QUOTES = "“”„‘’«»‹›…—–"  # and other punctuation that is not in ASCII
DELIMITERS = rf"\s\"'()\[\]{{}}<>=,;:|`{QUOTES}"
START = re.compile(rf"(?<![^{DELIMITERS}?&#])[^\s]")  # of a name that is not in a link
RUN = re.compile(r"[^\"<>`\x00-\x1f]{1,3072}")  # a name and what may follow it
END = re.compile(rf"[\s'()\[\]{{}}?#&,;|*\\!{QUOTES}]|[.:](?=[\s'()\[\]{{}},;|*{QUOTES}]|$)")
JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
JSON_KEY = re.compile(r"\s*:")
SURROGATE = re.compile("[\ud800-\udfff]")  # half a character: JSON may have it, but only escaped


@dataclass(frozen=True, slots=True)
class Mention:
    """A mention of a file, from `start` to `end` in the text.

    `kind` is link or name. Where a text cannot be changed, so that `new` is empty, it is private (the URLs of
    a private bucket expire), unmoved (no row names the file), host (the link's host may be another
    site), ambiguous (two files would get the name) or key (the name is a key of a JSON object).
    """

    start: int
    end: int
    kind: str
    old: str
    new: str = ""
    file: MovedFile | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """The replacement of `old`, which starts at this position of the text, by `new`."""

    start: int
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a link may be written: as it is, in JSON with escaped slashes, or as a parameter of a URL."""

    slash: str
    colon: str = ":"
    is_parameter: bool = False

    def encode(self, url: str) -> str:
        return quote(url, safe="") if self.is_parameter else url


ENCODINGS = (Encoding("/"), Encoding(r"\\/"), Encoding("%2[Ff]", "%3[Aa]", is_parameter=True))


@dataclass(frozen=True)
class MentionFinder:
    """Finds mentions of the files of the index. `site_hosts`: the site's hosts besides ALLOWED_HOSTS."""

    index: FileIndex
    site_hosts: Sequence[str] = ()

    def find(self, text: str) -> list[Mention]:
        """Return the mentions in a text, in order. They do not overlap."""
        found = sorted(chain(self._links(text), self._names(text)), key=lambda each: (each.start, -each.end))
        return list(_without_overlaps(found))

    def find_in_json(self, text: str) -> Iterator[tuple[list[Mention], Change | None]]:
        """Yield the mentions in each string of a JSON document that has some, and the change of the string.

        Only such strings are encoded again: the rest of the document stays as it is, to the byte.
        """
        for match in JSON_STRING.finditer(text):
            content = json.loads(match[0], strict=False)
            mentions = self.find(content)
            if JSON_KEY.match(text, match.end()):
                yield [Mention(each.start, each.end, "key", each.old) for each in mentions], None
            elif mentions:
                changed = replace_all(content, changes(mentions))
                is_escaped = match[0].isascii() or SURROGATE.search(content) is not None
                encoded = json.dumps(changed, ensure_ascii=is_escaped)
                is_changed = changed != content
                yield mentions, Change(match.start(), match[0], encoded) if is_changed else None

    def _links(self, text: str) -> Iterator[Mention]:
        for encoding, pattern in self._patterns:
            for match in pattern.finditer(text):
                if mention := self._link(text, match, encoding):
                    yield mention

    def _link(self, text: str, match: re.Match[str], encoding: Encoding) -> Mention | None:
        """Return None if the link leads to another site, or already to the target."""
        path, host, start = _plain(match["path"]), (match["host"] or "").lower(), match.start()
        if host == urlsplit(settings.SUPABASE_URL).netloc and path.startswith("/storage/v1/"):
            return None
        prefixes = [each for each in self._prefixes if each.path == path and each.host in ("", host)]
        is_own = not host or any(each.host for each in prefixes)
        is_known = is_own or self._is_site_host(host)
        if not prefixes or is_known is False:
            return None
        for end in self._likely_ends(text, match.end()):
            for prefix in prefixes:
                if file := self.index.linked_file(prefix, text[match.end() : end]):
                    old = text[start:end]
                    if is_known is None:
                        return Mention(start, end, "host", old, file=file)
                    new = encoding.encode(file.url)
                    if old == new:  # the site has the address of the bucket's CDN
                        return None
                    return Mention(start, end, "link" if new else "private", old, new, file)
        end = min(_ends(text, match.end()), default=match.end())
        is_for_files = any(each.path != "/" and "/storage/v1/" not in each.path for each in prefixes)
        is_unmoved = is_known and is_for_files and end > match.end()
        return Mention(start, end, "unmoved", text[start:end]) if is_unmoved else None

    def _names(self, text: str) -> Iterator[Mention]:
        heads, length, done = self.index.heads, self.index.head_length, 0
        shorter = self._lengths - {length}
        for match in START.finditer(text) if heads else ():
            start = match.start()
            is_head = text[start : start + length] in heads
            is_head = is_head or any(text[start : start + each] in heads for each in shorter)
            if start < done or not is_head:
                continue
            for end in self._likely_ends(text, start):
                written = text[start:end]
                files = [
                    each
                    for each in self.index.renamed_files(written)
                    if "/" in normal(each.old) or _is_whole(text, start, end)
                ]
                if files:
                    new = {each.new for each in files}
                    is_clear = len(new) == 1
                    kind = "name" if is_clear else "ambiguous"
                    name = _like(written, files[0].old, new.pop()) if is_clear else ""
                    yield Mention(start, end, kind, written, name, files[0])
                    done = end
                    break

    def _likely_ends(self, text: str, start: int) -> list[int]:
        """Return the ends that some name of the index could have."""
        limit, tails = start + self.index.max_length, self.index.tails
        ends = (end for end in _ends(text, start) if end <= limit)
        return [end for end in ends if text[max(start, end - TAIL_LENGTH) : end] in tails]

    @cached_property
    def _lengths(self) -> set[int]:
        return {len(head) for head in self.index.heads}

    @cached_property
    def _prefixes(self) -> set[Prefix]:
        return self.index.prefixes

    @cached_property
    def _patterns(self) -> list[tuple[Encoding, re.Pattern[str]]]:
        paths = sorted({each.path for each in self._prefixes}, key=len, reverse=True)
        return [(encoding, _link_pattern(encoding, paths)) for encoding in ENCODINGS]

    def _is_site_host(self, host: str) -> bool | None:
        """Return None if the settings do not tell."""
        domain, _ = split_domain_port(host.lower())
        allowed = settings.ALLOWED_HOSTS or (DEBUG_HOSTS if settings.DEBUG else [])
        known = [*self.site_hosts, *(each for each in allowed if each != "*")]
        if validate_host(domain, known):
            return True
        return None if "*" in allowed and not self.site_hosts else False


def changes(mentions: Sequence[Mention]) -> list[Change]:
    """Return the changes that the mentions ask for."""
    return [Change(each.start, each.old, each.new) for each in mentions if each.new and each.new != each.old]


def replace_all(text: str, changes: Sequence[Change]) -> str:
    """Return the text with all changes made. They are in order and do not overlap."""
    parts, position = [], 0
    for change in changes:
        parts += [text[position : change.start], change.new]
        position = change.start + len(change.old)
    return "".join((*parts, text[position:]))


def reverse(changes: Sequence[Change]) -> list[Change]:
    """Return the changes that undo these."""
    undone, shift = [], 0
    for change in changes:
        undone.append(Change(change.start + shift, change.new, change.old))
        shift += len(change.new) - len(change.old)
    return undone


def _link_pattern(encoding: Encoding, paths: Sequence[str]) -> re.Pattern[str]:
    slash, colon = encoding.slash, encoding.colon
    host = rf"(?:(?i:https?){colon})?{slash}{slash}(?P<host>[^\s/\\\"'<>()?#@%]+)"
    parents = rf"\.\.?(?:{slash}\.\.)*"  # editors may write links relative to the page
    path = "|".join(re.escape(each).replace("/", slash) for each in paths)
    return re.compile(rf"(?<![\w/.%:~@+\\-])(?:{host}|{parents})?(?P<path>{path})")


def _plain(path: str) -> str:
    return re.sub(r"\\/|%2[Ff]", "/", path)


def _ends(text: str, start: int) -> list[int]:
    """Return the positions at which a name that starts here may end, the last first."""
    run = RUN.match(text, start)
    if run is None:
        return []
    ends = []
    for match in END.finditer(text, start, run.end()):
        if match.start() > start:
            ends.append(match.start())
        if len(ends) == MAX_ENDS:
            break
    return [run.end(), *(end for end in reversed(ends) if end != run.end())]


def _is_whole(text: str, start: int, end: int) -> bool:
    """Return True if the name is the whole text, or is between quotes or brackets.

    A name without a folder is only a reference then: elsewhere it is a word for readers.
    """
    before, after = text[start - 1 : start], text[end : end + 1]
    return (
        before in ("", '"', "'", "(", "[", "=")
        and after in ("", '"', "'", ")", "]", "&")
        and (bool(before) or not after)
    )


def _like(written: str, old: str, name: str) -> str:
    """Return the name, percent-encoded if the old one was. A name may have percent signs of its own."""
    is_plain = normal(old) in (normal(written), normal(html.unescape(written)))
    if "%" not in written or is_plain:
        return name
    return quote(name, safe="" if "%2f" in written.lower() else "/")


def _without_overlaps(mentions: Sequence[Mention]) -> Iterator[Mention]:
    end = 0
    for mention in mentions:
        if mention.start >= end:
            yield mention
            end = mention.end
