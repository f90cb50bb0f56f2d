"""SignedStorage: Django's Storage, plus the verbs of a store that hands out signed URLs.

Written once over a few primitives that each store implements. Every store keeps three promises:
`exists` is False only when the store said "not there", deleting what is missing is success, and
nothing is ever overwritten.
"""

import io
import tempfile
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO
from urllib.parse import quote

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import Storage, storages
from django.utils import timezone
from django.utils.deconstruct import deconstructible

from storage import handed_out, keys, tokens

ARRIVALS = "uploads"  # the bucket, and its alias in STORAGES, where every upload arrives
PIECE = 256 * 1024  # bytes read or written at once, whatever the size of the file
TUS_PIECE = 6 * 1024 * 1024  # bytes: Supabase takes parts of this size, and of no other
FOREVER = 31536000  # seconds: an object of a public bucket never changes under its key


class StorageError(Exception):
    """The store refused, or could not."""


class ObjectMissing(StorageError, FileNotFoundError):
    """The store answered that there is no such object."""


class ObjectExists(StorageError, FileExistsError):
    """There is an object under this key, and nothing is ever overwritten."""


class ObjectRefused(StorageError):
    """The bucket takes no such object: it is too large, or of a type that the bucket refuses."""


class StorageUnavailable(StorageError):
    """The store did not answer, or answered with trouble of its own: try again.

    `retry_after`: in seconds, if it said when.
    """

    def __init__(self, message: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StorageMisconfigured(StorageUnavailable):
    """An address, a key or a bucket is wrong: it stays so until somebody sets it right."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What the store says of an object. `size` in bytes, times aware, `etag` quoted as in HTTP."""

    key: str
    size: int
    content_type: str
    cache_control: str
    etag: str
    created_at: datetime
    last_modified: datetime


@dataclass(frozen=True, slots=True)
class SignedURL:
    url: str
    expires_at: datetime

    def __repr__(self) -> str:
        """The URL is as good as the file: it stays out of logs and tracebacks."""
        return f"<SignedURL until {self.expires_at:%Y-%m-%dT%H:%M:%SZ}>"


@dataclass(frozen=True, slots=True)
class SignedUpload:
    """Where and how a client sends one object: `PUT url` with `headers`, `token` to an SDK, or in parts."""

    bucket: str
    key: str
    url: str
    token: str
    headers: dict[str, str]
    expires_at: datetime

    @property
    def resumable(self) -> dict[str, Any]:
        """What a client of TUS needs to send it in parts."""
        return {
            "protocol": "tus",
            "endpoint": f"{settings.SUPABASE_URL}/storage/v1/upload/resumable/sign",
            "headers": {"x-signature": self.token},
            "chunk_size": TUS_PIECE,
            "metadata": {
                "bucketName": self.bucket,
                "objectName": self.key,
                "contentType": self.headers["content-type"],
                "cacheControl": self.headers["cache-control"].removeprefix("max-age="),
            },
        }

    def __repr__(self) -> str:
        return f"<SignedUpload {self.bucket}/{self.key} until {self.expires_at:%Y-%m-%dT%H:%M:%SZ}>"


@deconstructible
class SignedStorage(Storage):
    """One bucket. `public` buckets serve their objects to everybody, at URLs that do not expire."""

    def __init__(self, bucket: str = "", public: bool = False) -> None:
        self.bucket = bucket or settings.SUPABASE_STORAGE_BUCKET
        self.public = public

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.bucket}>"

    # --- What each store implements ---------------------------------------------------------------

    @abstractmethod
    def describe(self, key: str) -> ObjectInfo:
        """Raises ObjectMissing, StorageUnavailable, InvalidKey, as all of these do."""

    @abstractmethod
    def put(self, key: str, pieces: Iterable[bytes], *, content_type: str, cache_control: str) -> None:
        """Create the object, whole or not at all. Raises ObjectExists."""

    @abstractmethod
    def move(self, key: str, to: "SignedStorage", new_key: str) -> None:
        """Atomic, across buckets too: of many that move one object, one succeeds. Raises ObjectExists."""

    @abstractmethod
    def copy(self, key: str, to: "SignedStorage", new_key: str) -> None:
        """Raises ObjectExists."""

    @abstractmethod
    def _remove(self, key: str) -> None:
        """Raises ObjectMissing."""

    @abstractmethod
    def read(self, key: str) -> BinaryIO:
        """The object, open for reading and seekable."""

    @abstractmethod
    def _upload_token(self, key: str, seconds: int) -> str:
        """A token with which a client may create this object, and not overwrite it."""

    @abstractmethod
    def _download_tokens(self, keys: Sequence[str], seconds: int) -> dict[str, str]:
        """A token for each key, in one call; a key whose object is known to be missing has none."""

    @abstractmethod
    def check_ready(self) -> None:
        """Raises StorageUnavailable when files can neither be read nor written. Never writes."""

    # --- Signed URLs --------------------------------------------------------------------------------

    def sign_upload(self, key: str, content_type: str, *, seconds: int, max_age: int = 3600) -> SignedUpload:
        """Where a client may create this one object. `max_age`: for how long caches may keep it."""
        token = self._upload_token(keys.check(key), seconds)
        headers = {
            "content-type": content_type,
            "x-upsert": "false",
            "cache-control": f"max-age={max_age}",
        }
        url = f"{self._endpoint('upload/sign', key)}?token={token}"
        return SignedUpload(self.bucket, key, url, token, headers, tokens.expiry(token))

    def sign_download(self, key: str, *, seconds: int, filename: str | None = None) -> SignedURL:
        """A URL that serves this one object. Raises ObjectMissing when the store knows it is.

        `filename`: None shows the object inline, "" saves it under its key, else under that name.
        """
        signed = self.sign_downloads([key], seconds=seconds).get(key)
        if signed is None:
            raise ObjectMissing(key)
        if filename is None:
            return signed
        return SignedURL(f"{signed.url}&download={quote(filename, safe='')}", signed.expires_at)

    def sign_downloads(self, wanted: Sequence[str], *, seconds: int) -> dict[str, SignedURL]:
        """The same for up to 1000 keys in one call; keys of missing objects are left out."""
        checked = [keys.check(key) for key in wanted]
        known = handed_out.tokens_for(self.bucket, checked, seconds)
        fresh = self._download_tokens([key for key in checked if key not in known], seconds)
        handed_out.keep(self.bucket, fresh, seconds)
        return {
            key: SignedURL(f"{self._endpoint('sign', key)}?token={token}", tokens.expiry(token))
            for key, token in {**known, **fresh}.items()
        }

    def _forget(self, key: str) -> None:
        """URLs that were handed out for it are dead."""
        handed_out.forget(self.bucket, key)

    def _endpoint(self, verb: str, key: str) -> str:
        return f"{settings.SUPABASE_URL}/storage/v1/object/{verb}/{quote(self.bucket)}/{quote(key)}"

    # --- Django's Storage ---------------------------------------------------------------------------

    def url(self, name: str | None) -> str:
        """Unsigned and lasting in a public bucket, else signed for DOWNLOAD_URL_TTL."""
        key = keys.check(name or "")
        if self.public:
            return self._endpoint("public", key)
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
        try:
            self._remove(name)
        except ObjectMissing:
            pass
        self._forget(name)

    def _open(self, name: str, mode: str = "rb") -> File:
        if mode not in ("r", "rb"):
            raise ValueError("An object is written whole, by save(): open it for reading.")
        file = self.read(name)
        return File(file if mode == "rb" else io.TextIOWrapper(file, encoding="utf-8"), name=name)

    def _save(self, name: str, content: File) -> str:
        content_type = getattr(content, "content_type", None) or keys.content_type(name)
        cache_control = f"max-age={FOREVER if self.public else 3600}"
        with _rereadable(content) as file:
            while True:
                try:
                    self.put(name, _pieces(file), content_type=content_type, cache_control=cache_control)
                except ObjectExists:  # somebody else took the name since it was found to be free
                    name = self.get_available_name(name)
                else:
                    return name

    def get_valid_name(self, name: str) -> str:
        return keys.plain(super().get_valid_name(keys.plain(name)))

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """A free one, as it is if an object can have it; else near to it, with its ending."""
        name = keys.nearest(str(name))
        longest = len(name) - len(name.rpartition("/")[2]) + keys.MAX_SEGMENT
        return super().get_available_name(name, min(max_length or keys.MAX_KEY, keys.MAX_KEY, longest))


def store_of(alias: str) -> SignedStorage:
    """The store that STORAGES has under this alias."""
    store = storages[alias]
    assert isinstance(store, SignedStorage), f"STORAGES[{alias!r}] cannot sign URLs"
    return store


def _pieces(content: File) -> Iterator[bytes]:
    for piece in content.chunks(PIECE):
        yield piece.encode() if isinstance(piece, str) else piece


@contextmanager
def _rereadable(content: File) -> Iterator[File]:
    """The same bytes each time that its pieces are taken, also of a file that cannot go back."""
    if content.seekable():
        yield content
        return
    with tempfile.SpooledTemporaryFile(max_size=PIECE) as copy:
        for piece in _pieces(content):
            copy.write(piece)
        yield File(copy)


def _as_configured(moment: datetime) -> datetime:
    """Django's contract: aware when USE_TZ, else naive in the local time zone."""
    return moment if settings.USE_TZ else timezone.make_naive(moment)


def pieces_of(file: BinaryIO, length: int | None = None) -> Iterator[bytes]:
    """The file's bytes from where it stands, at most `length` of them."""
    while piece := file.read(PIECE if length is None else min(PIECE, length)):
        if length is not None:
            length -= len(piece)
        yield piece
