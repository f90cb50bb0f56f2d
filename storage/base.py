"""SignedStorage, the base class of every store: a Django storage that signs upload and download URLs.

This is the interface of every store; it contains nothing of a store's protocol. A store implements the
methods of the first section, and Django's own methods call them. Every store guarantees that `exists` is
False only if the store answered that there is no such object, that deleting a missing object succeeds, and
that no object is ever overwritten.
"""

import io
import tempfile
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, BinaryIO

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import File
from django.core.files.storage import Storage, storages
from django.utils import timezone
from django.utils.deconstruct import deconstructible

from storage import content_types, keys
from storage.errors import ObjectExists, ObjectMissing

CHUNK_SIZE = 256 * 1024  # bytes read or written at once, whatever the size of the file
PUBLIC_MAX_AGE = 31536000  # seconds: an object of a public bucket never changes under its key
PRIVATE_MAX_AGE = 3600  # seconds


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """The metadata of an object. `size` in bytes, times aware, `etag` quoted as in HTTP."""

    key: str
    size: int
    content_type: str
    cache_control: str
    etag: str
    created_at: datetime
    last_modified: datetime


@dataclass(frozen=True, slots=True)
class SignedURL:
    """A URL that serves one object until `expires_at`."""

    url: str
    expires_at: datetime

    def __repr__(self) -> str:
        """Omit the URL, which gives access to the file: logs and tracebacks contain reprs."""
        return f"<SignedURL until {self.expires_at:%Y-%m-%dT%H:%M:%SZ}>"


@dataclass(frozen=True, slots=True)
class SignedUpload:
    """What a client needs to upload one object: send its bytes with `method` and `headers` to `url`.

    `token` is for the store's own SDK. `resumable` is for clients that upload in parts: a JSON object that
    names its protocol. A store that does not support them leaves `token` empty and `resumable` None.
    """

    bucket: str
    key: str
    url: str
    headers: dict[str, str]
    expires_at: datetime
    method: str = "PUT"
    token: str = ""
    resumable: dict[str, Any] | None = None

    def __repr__(self) -> str:
        """Omit the URL and the token, as SignedURL does."""
        return f"<SignedUpload {self.bucket}/{self.key} until {self.expires_at:%Y-%m-%dT%H:%M:%SZ}>"


@deconstructible
class SignedStorage(Storage):
    """One bucket, with its OPTIONS in STORAGES.

    `public`: everybody may read its objects, at URLs that do not expire. `incoming`: clients upload to this
    bucket first; one bucket has this option. `owned`: the first folder of each key is the id of the owner,
    who may read the object. `shared`: every member may read the objects in the folder `shared/`.
    """

    def __init__(
        self,
        bucket: str = "",
        public: bool = False,
        *,
        incoming: bool = False,
        owned: bool = False,
        shared: bool = False,
    ) -> None:
        self.bucket = bucket or settings.SUPABASE_STORAGE_BUCKET
        self.public = public
        self.incoming = incoming
        self.owned = owned
        self.shared = shared

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.bucket}>"

    # --- Implemented by each store. All raise InvalidKey and StorageUnavailable ---------------------

    @abstractmethod
    def describe(self, key: str) -> ObjectInfo:
        """Return the metadata of the object. Raises ObjectMissing."""

    @abstractmethod
    def put(self, key: str, chunks: Iterable[bytes], *, content_type: str, cache_control: str) -> None:
        """Create the object atomically. Raises ObjectExists, ObjectRefused."""

    @abstractmethod
    def move(self, key: str, to: "SignedStorage", new_key: str) -> None:
        """Move the object, also to another bucket of the same store. Raises ObjectMissing, ObjectExists.

        Atomic: of several calls that move one object, one succeeds.
        """

    @abstractmethod
    def copy(self, key: str, to: "SignedStorage", new_key: str) -> None:
        """Copy the object, also to another bucket of the same store. Raises ObjectMissing, ObjectExists."""

    @abstractmethod
    def read(self, key: str) -> BinaryIO:
        """Open the object for reading. The file is seekable. Raises ObjectMissing."""

    @abstractmethod
    def delete_object(self, key: str) -> None:
        """Delete the object. Raises ObjectMissing."""

    @abstractmethod
    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """Return the names of the folders and of the objects directly in `path`. Raises ObjectMissing."""

    @abstractmethod
    def walk(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the metadata of every object whose key starts with the prefix, ordered by key.

        Memory stays flat, however many objects there are: they are read in pages. An object that is created
        or deleted meanwhile may be missing.
        """

    @abstractmethod
    def sign_upload(
        self, key: str, content_type: str, *, seconds: int, max_age: int, size: int | None = None
    ) -> SignedUpload:
        """Return what a client needs to create this object within `seconds`. It cannot overwrite an object.

        `max_age`: the number of seconds for which caches may keep the object. `size`: the number of bytes
        that the client declared. A store may refuse more.
        """

    @abstractmethod
    def sign_downloads(self, wanted: Sequence[str], *, seconds: int) -> dict[str, SignedURL]:
        """Return a URL for each of up to 1000 keys, by key, with one call to the store.

        Keys of objects that are known to be missing are omitted.
        """

    @abstractmethod
    def sign_download(self, key: str, *, seconds: int, filename: str | None = None) -> SignedURL:
        """Return a URL for one key. Raises ObjectMissing if the object is known to be missing.

        `filename`: with None browsers show the object, with "" they save it under its key, else under that
        name.
        """

    @abstractmethod
    def public_url(self, key: str) -> str:
        """Return the unsigned URL of an object of a public bucket. It does not expire."""

    @property
    @abstractmethod
    def origin(self) -> str:
        """The scheme, host and port of the store's URLs: `https://files.example.org`."""

    @abstractmethod
    def check_ready(self) -> None:
        """Raise StorageUnavailable if objects cannot be read and written. Writes nothing."""

    # --- Optional -----------------------------------------------------------------------------------

    def delete_leftovers(self, min_age: timedelta, *, dry_run: bool = False) -> Iterator[str]:
        """Delete what interrupted uploads left in the bucket, and yield the key of each.

        Only what nobody has written to for `min_age` is deleted. With `dry_run` nothing is deleted. A store
        whose interrupted uploads leave nothing behind needs no such method.
        """
        return iter(())

    def delete_parts(self, key: str) -> None:
        """Delete the parts of unfinished uploads of this key, and no object. A store may have none."""
        return

    # --- Django's Storage ---------------------------------------------------------------------------

    def url(self, name: str | None) -> str:
        """Return the public URL in a public bucket, else a URL that is signed for DOWNLOAD_URL_TTL."""
        key = keys.check(name or "")
        if self.public:
            return self.public_url(key)
        return self.sign_download(key, seconds=settings.DOWNLOAD_URL_TTL).url

    def exists(self, name: str) -> bool:
        try:
            self.describe(name)
        except (ObjectMissing, keys.InvalidKey):
            return False
        return True

    def size(self, name: str) -> int:
        return self.describe(name).size

    def get_created_time(self, name: str) -> datetime:
        return _as_configured(self.describe(name).created_at)

    def get_modified_time(self, name: str) -> datetime:
        return _as_configured(self.describe(name).last_modified)

    def delete(self, name: str) -> None:
        self.delete_if_exists(name)

    def delete_if_exists(self, name: str) -> bool:
        """Delete the object. Returns False if there was none. Raises StorageUnavailable."""
        try:
            self.delete_object(name)
        except ObjectMissing:
            return False
        return True

    def _open(self, name: str, mode: str = "rb") -> File:
        if mode not in ("r", "rb"):
            raise ValueError("Objects are written whole, with save(): open them for reading only.")
        file = self.read(name)
        return File(file if mode == "rb" else io.TextIOWrapper(file, encoding="utf-8"), name=name)

    def _save(self, name: str, content: File) -> str:
        content_type = getattr(content, "content_type", None) or content_types.guess(name)
        cache_control = f"max-age={PUBLIC_MAX_AGE if self.public else PRIVATE_MAX_AGE}"
        with _seekable(content) as file:
            while True:
                try:
                    self.put(name, _chunks(file), content_type=content_type, cache_control=cache_control)
                except ObjectExists:  # created since get_available_name() was called
                    name = self.get_available_name(name)
                else:
                    return name

    def get_valid_name(self, name: str) -> str:
        return keys.transliterate(super().get_valid_name(keys.transliterate(name)))

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """Return the name if it is a legal key and free, else a similar name with the same suffix."""
        name = keys.from_name(str(name))
        folder = name[: name.rfind("/") + 1]
        limits = (max_length or keys.MAX_KEY, keys.MAX_KEY, len(folder) + keys.MAX_SEGMENT)
        return super().get_available_name(name, min(limits))


def store_of(alias: str) -> SignedStorage:
    """Return the store that STORAGES has under this alias."""
    store = storages[alias]
    assert isinstance(store, SignedStorage), f"STORAGES[{alias!r}] cannot sign URLs"
    return store


def signed_stores() -> list[SignedStorage]:
    """Return every store of STORAGES that can sign URLs."""
    stores = (storages[alias] for alias in storages.backends)
    return [store for store in stores if isinstance(store, SignedStorage)]


def incoming_store() -> SignedStorage:
    """Return the store with the option `incoming`. Raises ImproperlyConfigured if there is none."""
    for store in signed_stores():
        if store.incoming:
            return store
    raise ImproperlyConfigured('No entry of STORAGES has the option "incoming": True.')


def _chunks(content: File) -> Iterator[bytes]:
    for chunk in content.chunks(CHUNK_SIZE):
        yield chunk.encode() if isinstance(chunk, str) else chunk


@contextmanager
def _seekable(content: File) -> Iterator[File]:
    """Yield a file whose chunks can be read several times: a temporary copy if `content` cannot seek."""
    if content.seekable():
        yield content
        return
    with tempfile.SpooledTemporaryFile(max_size=CHUNK_SIZE) as copy:
        for chunk in _chunks(content):
            copy.write(chunk)
        yield File(copy)


def _as_configured(time: datetime) -> datetime:
    """Return the time as Django's Storage does: aware if USE_TZ, else naive in the local time zone."""
    return time if settings.USE_TZ else timezone.make_naive(time)


def read_chunks(file: BinaryIO, length: int | None = None) -> Iterator[bytes]:
    """Yield the bytes of the file from its current position, at most `length` of them."""
    while chunk := file.read(CHUNK_SIZE if length is None else min(CHUNK_SIZE, length)):
        if length is not None:
            length -= len(chunk)
        yield chunk
