"""ObjectStorage, what every store does with the objects of one bucket, by their keys.

It contains nothing of a store's protocol. Every store guarantees that an object is missing only if the store
answered that there is none, that deleting a missing object succeeds, and that only `replace` overwrites an
object.
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, BinaryIO, ClassVar

from django.core.files.storage import Storage

from storage import keys
from storage.calls import observed
from storage.errors import ObjectMissing

#: How long nobody must have written to what an upload left in a bucket until it is a leftover. `put` ends
#: before: 20 GB may take it 21 hours. Clients may resume an upload for 24 hours.
LEFTOVER_AGE = timedelta(days=1)


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
class OpenObject:
    """An object that is open for reading: close `file`. `size` in bytes."""

    file: BinaryIO
    size: int
    content_type: str


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


class ObjectStorage(Storage):
    """One bucket. All methods raise InvalidKey, for keys that are not legal, and StorageUnavailable."""

    bucket: str
    public: bool
    #: The methods whose calls `storage.calls` tells its observers about.
    observed_methods: ClassVar[frozenset[str]] = frozenset(
        {
            *("describe", "read", "open_object", "list_folder", "check_ready"),
            *("put", "put_at_new_key", "replace", "move", "copy", "delete_object"),
            *("sign_upload", "sign_downloads", "sign_download"),
        }
    )

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in cls.observed_methods & vars(cls).keys():
            setattr(cls, name, observed(vars(cls)[name]))

    # --- Implemented by each store ------------------------------------------------------------------

    @abstractmethod
    def describe(self, key: str) -> ObjectInfo:
        """Return the metadata of the object. Raises ObjectMissing."""

    @abstractmethod
    def put(self, key: str, chunks: Iterable[bytes], *, content_type: str, cache_control: str) -> None:
        """Create the object atomically. Raises ObjectExists, ObjectRefused."""

    @abstractmethod
    def move(self, key: str, to: "ObjectStorage", new_key: str) -> None:
        """Move the object, also to another bucket of the same store. Raises ObjectMissing, ObjectExists.

        Atomic: of several calls that move one object, one succeeds.
        """

    @abstractmethod
    def copy(self, key: str, to: "ObjectStorage", new_key: str) -> None:
        """Copy the object, also to another bucket of the same store. Raises ObjectMissing, ObjectExists."""

    @abstractmethod
    def read(self, key: str) -> BinaryIO:
        """Open the object for reading. The file is seekable. Raises ObjectMissing."""

    @abstractmethod
    def delete_object(self, key: str) -> None:
        """Delete the object. Raises ObjectMissing."""

    @abstractmethod
    def list_folder(self, folder: str) -> tuple[list[str], list[str]]:
        """Return the names of the folders and of the objects directly in `folder`, which is `""` or `a/b/`.

        Both are empty if there is no such folder.
        """

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

    def open_object(self, key: str, length: int | None = None) -> OpenObject:
        """Open the object, of which the caller reads the first `length` bytes, or all. Raises ObjectMissing.

        A store that is told size and content type when it reads an object overrides this, to save a request,
        and may use `length` to read no more than that.
        """
        info = self.describe(key)
        return OpenObject(self.read(key), info.size, info.content_type)

    def put_at_new_key(
        self, key: str, chunks: Iterable[bytes], *, content_type: str, cache_control: str
    ) -> None:
        """Create the object under a random key that only the caller knows. Raises ObjectRefused.

        Use each key once. If it raises, there may be an object under the key, also some minutes later: delete
        it, and use another key. A store for which it takes requests to keep simultaneous calls with one key
        apart overrides this.
        """
        self.put(key, chunks, content_type=content_type, cache_control=cache_control)

    def has_folder(self, folder: str) -> bool:
        """Return True if there is an object whose key starts with `folder`, which ends with a slash."""
        return any(True for _ in self.walk(folder))

    def replace(self, key: str, chunks: Iterable[bytes], *, content_type: str, cache_control: str) -> None:
        """Create the object, or replace it. Of simultaneous calls, the last one wins. Raises ObjectRefused.

        A store that can replace an object atomically overrides this: here it is missing for a moment, and
        lost if the upload fails.
        """
        self.delete_if_exists(key)
        self.put(key, chunks, content_type=content_type, cache_control=cache_control)

    def delete_leftovers(self, min_age: timedelta, *, dry_run: bool = False) -> Iterator[str]:
        """Delete what interrupted uploads left in the bucket, and yield the key of each.

        Only what nobody has written to for `min_age` is deleted. With `dry_run` nothing is deleted. A store
        whose interrupted uploads leave nothing behind needs no such method.
        """
        return iter(())

    def delete_parts(self, key: str) -> None:
        """Delete the parts of unfinished uploads of this key, and no object. A store may have none."""
        return

    # --- The same for each store ----------------------------------------------------------------------

    def has_object(self, key: str) -> bool:
        """Return True if there is an object with this key. Raises StorageUnavailable."""
        try:
            self.describe(key)
        except (ObjectMissing, keys.InvalidKey):
            return False
        return True

    def delete_if_exists(self, key: str) -> bool:
        """Delete the object. Returns False if there was none. Raises StorageUnavailable."""
        try:
            self.delete_object(key)
        except ObjectMissing:
            return False
        return True
