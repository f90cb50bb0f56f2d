"""An index of moved files by every spelling of their names.

It is a temporary SQLite database on disk, so that the number of files does not matter.
"""

import html
import json
import re
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from django.conf import settings
from django.core.files.storage import FileSystemStorage

from storage.buckets import Bucket
from storage.supabase import SupabaseStorage
from storage.transfer.local_files import local_bucket
from storage.transfer.references import Column

HEAD_LENGTH = 6  # characters of a name that are looked for in a text before the whole name is
TAIL_LENGTH = 2
PLAIN = re.compile(r"[A-Za-z0-9/_.-]+", re.ASCII)  # names that are written in one way
URL_SAFE = "/~!*()'"  # what Django does not quote in the URL of a file
TABLE = "create table files (prefix, spelling, old, new, bucket, unique (prefix, spelling, old, new, bucket))"
INDEX = "create index names on files (spelling) where old <> new"
LINKED = "select distinct old, new, bucket from files where spelling = ? and prefix = ?"
RENAMED = "select distinct old, new, bucket from files where spelling = ? and old <> new and new <> spelling"


@dataclass(frozen=True, slots=True)
class MovedFile:
    """The old and the new name of a file. `url`: its public URL, empty if its bucket is private."""

    old: str
    new: str
    url: str


@dataclass(frozen=True, slots=True)
class Prefix:
    """What links to files start with: a path that ends with `/`, and the host if MEDIA_URL has one."""

    path: str
    host: str = ""


class FileIndex:
    """`buckets`: those of the target, by name."""

    def __init__(self, buckets: dict[str, Bucket]) -> None:
        self.buckets = buckets
        self.prefixes = {media_prefix(settings.MEDIA_URL)}
        self.heads: set[str] = set()  # the first characters of names that change, in every spelling
        self.tails: set[str] = set()  # the last characters of all names, in every spelling
        self.max_length = 0  # of a spelling that is encoded twice
        self.database = sqlite3.connect("")  # a temporary file
        self.database.execute(TABLE)
        self.database.execute(INDEX)

    def add(self, column: Column, old: str, new: str) -> None:
        """Add a file of the column that has, or will get, the new name."""
        prefixes = link_prefixes(column)
        self.prefixes.update(prefixes)
        self.database.executemany(
            "insert or ignore into files values (?, ?, ?, ?, ?)",
            [
                (_key(prefix), spelling, old, new, column.bucket)
                for prefix in prefixes
                for spelling in {old, new, _normal(old)}
            ],
        )
        for name in (old, new):
            spellings = list(_spellings(name))
            self.tails.update(spelling[-TAIL_LENGTH:] for spelling in spellings)
            self.max_length = max(self.max_length, *(2 * len(spelling) for spelling in spellings))
            if name == old != new:
                self.heads.update(spelling[:HEAD_LENGTH] for spelling in spellings)

    def linked_file(self, prefix: Prefix, written: str) -> MovedFile | None:
        """Return the file that a link leads to. `written` is what follows the prefix.

        If files of several buckets have the name, one in a public bucket is returned.
        """
        for name in _url_decodings(written):
            if found := self._find(name, LINKED, _key(prefix)):
                return next((file for file in found if file.url), found[0])
        return None

    def renamed_files(self, written: str) -> list[MovedFile]:
        """Return the files that have this name and get another one."""
        for name in (written, *_url_decodings(written)):
            if found := self._find(name, RENAMED):
                return found
        return []

    def _find(self, name: str, query: str, *values: str) -> list[MovedFile]:
        for spelling in dict.fromkeys((name, _normal(name))):
            rows = self.database.execute(query, (spelling, *values)).fetchall()
            # Two files may differ only in their normal form: then the spelling decides.
            exact = [row for row in rows if spelling in row[:2]]
            if rows:
                return [MovedFile(old, new, self._url(new, bucket)) for old, new, bucket in exact or rows]
        return []

    def _url(self, key: str, bucket: str) -> str:
        is_public = bucket in self.buckets and self.buckets[bucket].public
        return SupabaseStorage(bucket, public=True).public_url(key) if is_public else ""


def link_prefixes(column: Column) -> list[Prefix]:
    """Return the prefixes of the URLs that files of the column have while they are on this disk."""
    store = column.field.storage
    if isinstance(store, FileSystemStorage):
        return [media_prefix(store.base_url)]
    # The default store may have been plain Django's, or the local store with its own URLs.
    return [
        media_prefix(settings.MEDIA_URL),
        Prefix(f"/storage/v1/object/public/{quote(local_bucket(column))}/"),
    ]


def media_prefix(url: str) -> Prefix:
    """Return the prefix of a setting such as MEDIA_URL."""
    parts = urlsplit(url)
    return Prefix(f"/{parts.path.strip('/')}/".replace("//", "/"), parts.netloc)


def _key(prefix: Prefix) -> str:
    return f"{prefix.host} {prefix.path}"


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


def _spellings(name: str) -> Iterator[str]:
    """Yield the ways in which texts may write the name: encoded in a URL, in JSON or in HTML."""
    if PLAIN.fullmatch(name):
        yield from (name, quote(name, safe=""), quote(name, safe="").lower())
        return
    for form in {name, *(unicodedata.normalize(form, name.replace("\\", "/")) for form in ("NFC", "NFD"))}:
        yield from (form, quote(form, safe=URL_SAFE), quote(form, safe=""), html.escape(form))
        yield from (json.dumps(form)[1:-1], quote(form, safe=URL_SAFE).lower(), quote(form, safe="").lower())


def _url_decodings(written: str) -> Iterable[str]:
    """Return the names that a part of a URL may stand for, the likeliest first."""
    plain = [unquote(written), unquote(html.unescape(written)), written, html.unescape(written)]
    if "\\" in written:
        try:
            plain.append(json.loads(f'"{written}"'))
            plain.append(unquote(plain[-1]))
        except ValueError:
            pass  # not in JSON
    if "%25" in written:
        plain.append(unquote(unquote(written)))
    return dict.fromkeys(plain)
