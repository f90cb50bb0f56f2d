"""An index of moved files by the spellings of their names.

It is a temporary SQLite database on disk, so that the number of files does not matter.
"""

import html
import json
import re
import sqlite3
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from urllib.parse import quote, unquote, urlsplit

from django.conf import settings
from django.core.files.storage import FileSystemStorage

from storage.buckets import Bucket
from storage.transfer.local_files import local_bucket
from storage.transfer.references import Column

HEAD_LENGTH = 6  # characters of a name that are looked for in a text before the whole name is
TAIL_LENGTH = 2
MAX_HEADS = 50_000  # heads in memory; if there are more, they become shorter
MAX_GROWTH = 12  # characters in a text for each byte of a name: it may be encoded twice
CACHE_SIZE = 64_000  # kB of the database in memory
URL_SAFE = "/~!*()'"  # what Django does not quote in the URL of a file
ESCAPE = re.compile("%[0-9A-F]{2}")
COLUMNS = "spelling, old, new, place"
TABLE = f"create table names ({COLUMNS}, primary key ({COLUMNS})) without rowid"


@dataclass(frozen=True, slots=True)
class Prefix:
    """What links to files start with: a path that ends with `/`, and the host if MEDIA_URL has one."""

    path: str
    host: str = ""


@dataclass(frozen=True)
class Place:
    """A column, and the bucket of its files."""

    column: Column
    bucket: Bucket | None

    @cached_property
    def prefixes(self) -> frozenset[Prefix]:
        return frozenset(link_prefixes(self.column))

    def url(self, key: str) -> str:
        """Return the public URL, empty if the bucket is private or not one of the target."""
        return self.column.store(self.bucket).url(key) if self.bucket and self.bucket.public else ""


@dataclass(frozen=True, slots=True)
class MovedFile:
    """The old and the new name of a file of a column."""

    old: str
    new: str
    place: Place

    @property
    def url(self) -> str:
        return self.place.url(self.new)


class FileIndex:
    """`buckets`: those of the target, by name."""

    def __init__(self, buckets: dict[str, Bucket]) -> None:
        self.buckets = buckets
        self.places: list[Place] = []
        self.numbers: dict[Column, int] = {}  # the positions of their places in the list
        self.heads: set[str] = set()  # the first characters of names that change, in every spelling
        self.head_length = HEAD_LENGTH
        self.tails: set[str] = set()  # the last characters of all names, in every spelling
        self.max_length = 0  # of a spelling
        self.database = sqlite3.connect("")  # a temporary file, in a transaction that is never committed
        self.database.execute("pragma journal_mode = off")
        self.database.execute(f"pragma cache_size = -{CACHE_SIZE}")
        self.database.execute(TABLE)

    @property
    def prefixes(self) -> set[Prefix]:
        """Return the prefixes of all links to files, even if no file was moved."""
        return {media_prefix(settings.MEDIA_URL)}.union(*(place.prefixes for place in self.places))

    def add(self, column: Column, old: str, new: str) -> None:
        """Add a file of the column that has, or will get, the new name."""
        if column not in self.numbers:
            self.numbers[column] = len(self.places)
            self.places.append(Place(column, self.buckets.get(column.bucket)))
        number = self.numbers[column]
        rows = [(spelling, old, new, number) for spelling in {normal(old), normal(new)}]
        self.database.executemany("insert or ignore into names values (?, ?, ?, ?)", rows)
        for name in {old, new}:
            self.max_length = max(self.max_length, MAX_GROWTH * len(name.encode()))
            for form in _forms(name):
                self.tails.update(each[-TAIL_LENGTH:] for each in _spellings(form[-TAIL_LENGTH:]))
                if name == old != new:
                    head = form[: self.head_length]
                    self.heads.update(each[: self.head_length] for each in _spellings(head))
        while len(self.heads) > MAX_HEADS and self.head_length > 1:
            self.head_length -= 1
            self.heads = {head[: self.head_length] for head in self.heads}

    def linked_file(self, prefix: Prefix, written: str) -> MovedFile | None:
        """Return the file that a link leads to. `written` is what follows the prefix.

        If files of several columns have the name, one in a public bucket is returned.
        """
        for name in _url_decodings(written):
            if found := [file for file in self._find(name) if prefix in file.place.prefixes]:
                return next((file for file in found if file.url), found[0])
        return None

    def renamed_files(self, written: str) -> list[MovedFile]:
        """Return the files that have this name and get another one."""
        for name in (written, *_url_decodings(written)):
            if found := [file for file in self._find(name) if file.new not in (file.old, name)]:
                return found
        return []

    def _find(self, name: str) -> list[MovedFile]:
        query = "select old, new, place from names where spelling = ?"
        rows = self.database.execute(query, [normal(name)]).fetchall()
        # Two files may differ only in their normal form: then the spelling decides.
        exact = [row for row in rows if name in row[:2]]
        return [MovedFile(old, new, self.places[number]) for old, new, number in exact or rows]


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
    return Prefix(f"/{parts.path.strip('/')}/".replace("//", "/"), parts.netloc.lower())


def normal(name: str) -> str:
    """Return the name with slashes and in NFC. A lone surrogate, which no row has, becomes `?`."""
    return unicodedata.normalize("NFC", name.replace("\\", "/")).encode(errors="replace").decode()


def _forms(name: str) -> set[str]:
    """Return the name as it is, and with slashes in both normal forms."""
    slashes = name.replace("\\", "/")
    return {name, unicodedata.normalize("NFC", slashes), unicodedata.normalize("NFD", slashes)}


@lru_cache(maxsize=10_000)
def _spellings(part: str) -> frozenset[str]:
    """Return the ways in which texts may write a part of a name: encoded in a URL, in JSON or in HTML."""
    encoded = quote(part, safe=URL_SAFE), quote(part, safe="")
    lower = (ESCAPE.sub(lambda escape: escape[0].lower(), each) for each in encoded)
    return frozenset((part, *encoded, *lower, json.dumps(part)[1:-1], html.escape(part)))


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
