"""Send one file to its bucket and verify it, under a key that was free or already had the same bytes."""

import errno
import fnmatch
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from storage import keys
from storage.buckets import Bucket
from storage.errors import ObjectExists, ObjectMissing, ObjectRefused, StorageError
from storage.keys import STAGING_FOLDER
from storage.local import metadata
from storage.protocol import TUS_CHUNK_SIZE
from storage.supabase import SupabaseStorage
from storage.supabase.client import retry
from storage.transfer.bandwidth import Bandwidth
from storage.transfer.local_files import (
    Location,
    OutsideMediaRoot,
    local_bucket,
    locate,
    near_match,
)
from storage.transfer.references import Column, Reference
from storage.transfer.renaming import key_for_name, numbered_key

MAX_KEYS = 100  # numbers up to which `--on-conflict rename` tries keys


class TransferFailed(Exception):
    """The file was not transferred. `reason` is one word for reports; the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def unexpected(name: str, error: Exception) -> str:
    """Return the message about a file that failed for a reason that nobody foresaw."""
    return f"{name!r}: unexpected error: {type(error).__name__}: {error}"


@dataclass(frozen=True, slots=True)
class SendOptions:
    """How files are sent. `verify`: sha256 or size; `on_conflict`: skip, fail or rename."""

    verify: str = "sha256"
    on_conflict: str = "skip"
    look_first: bool = False  # look for an object with the same bytes before sending: one probably exists
    exclude: Sequence[str] = ()
    bandwidth: Bandwidth = field(default_factory=Bandwidth)
    semaphore: AbstractContextManager[Any] = field(default_factory=nullcontext)  # limits concurrent uploads

    def excludes(self, name: str) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.exclude)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A local file below MEDIA_ROOT, with the headers for its upload. Size in bytes.

    `name` is the disk's spelling of the name in the row.
    """

    column: Column
    location: Location
    name: str
    size: int
    mtime_ns: int
    content_type: str
    cache_control: str


@dataclass(frozen=True, slots=True)
class Sent:
    """A file whose object is verified. `already_existed`: the key had these bytes before. SHA-256 in hex."""

    source: SourceFile
    key: str
    sha256: str
    already_existed: bool = False


def local_source(bucket: Bucket, reference: Reference) -> SourceFile:
    """Return the local file that the row names. Raises TransferFailed."""
    column, name = reference.column, reference.name
    try:
        location = locate(column, name)
        stat = location.path.stat()
        if not os.access(location.path, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        record = metadata.find_record(local_bucket(column), location.name, stat) or {}
    except OutsideMediaRoot:
        message = f"{name!r} is outside MEDIA_ROOT, or its storage is: not read."
        raise TransferFailed("outside", message) from None
    except FileNotFoundError:
        near = near_match(column, name)
        hint = f" A similar file is: {near!r}." if near else ""
        raise TransferFailed("missing", f"{name!r} is not on this disk.{hint}") from None
    except (OSError, StorageError) as error:
        raise TransferFailed("unreadable", f"{name!r} cannot be read: {error}") from error
    cache_control = column.store(bucket).cache_control_for(location.name)
    headers = {**metadata.infer_record(location.name, stat), "cache_control": cache_control, **record}
    return SourceFile(
        column,
        location,
        location.name,
        stat.st_size,
        stat.st_mtime_ns,
        headers["content_type"],
        headers["cache_control"],
    )


def find_source(bucket: Bucket, reference: Reference) -> SourceFile:
    """Return the local file that the row names.

    Raises TransferFailed, StorageUnavailable, StorageMisconfigured. The reason of TransferFailed is `remote`
    if the bucket has the missing file: after the switch, the site sends files there.
    """
    try:
        return local_source(bucket, reference)
    except TransferFailed as failed:
        if failed.reason != "missing" or not SupabaseStorage(bucket.name).has_object(reference.name):
            raise
    message = f"{reference.name!r} is in {bucket.name}, and was not sent from this disk."
    raise TransferFailed("remote", message)


def key_for(bucket: Bucket, file: SourceFile) -> str:
    """Return the key that the file gets. Raises TransferFailed if the bucket does not allow the file."""
    limit = bucket.file_size_limit
    if limit is not None and file.size > limit:
        message = f"{file.name!r} has {file.size} bytes, and {bucket.name} allows {limit}."
        raise TransferFailed("too_large", message)
    if not bucket.allows(file.content_type):
        message = f"{file.name!r} is {file.content_type}, which {bucket.name} does not allow."
        raise TransferFailed("refused_type", message)
    max_length = file.column.max_length
    try:
        return key_for_name(file.name, max_length)
    except keys.InvalidKey:
        message = f"{file.name!r} cannot be turned into a key of at most {max_length} characters."
        raise TransferFailed("name", message) from None


def send_file(bucket: Bucket, reference: Reference, options: SendOptions) -> Sent:
    """Send the file that the row names to the bucket.

    Raises TransferFailed, StorageMisconfigured, and StorageUnavailable after several attempts.
    """
    file = find_source(bucket, reference)
    key = key_for(bucket, file)
    with _open_unchanged(file, options.bandwidth) as content:
        sha256 = sha256_of_stream(content)
        store = SupabaseStorage(bucket.name, public=bucket.public)
        sending = Sending(store, file, content, sha256, options)
        if options.look_first or sending.is_taken_locally(key) or not sending.upload(key):
            return sending.find_or_upload(key)
    return Sent(file, key, sha256)


@dataclass(frozen=True, slots=True)
class Sending:
    """The upload of a file that is open and hashed."""

    store: SupabaseStorage
    file: SourceFile
    content: BinaryIO
    sha256: str
    options: SendOptions

    def find_or_upload(self, key: str) -> Sent:
        """Look for an object with the same bytes, and upload the file if the key is free.

        With `on_conflict` rename, try numbered keys until one is free. Raises TransferFailed.
        """
        for number in range(1, MAX_KEYS):
            candidate = key if number == 1 else self._numbered(key, number)
            if not self.is_taken_locally(candidate):
                same = self._matches(candidate)
                if same or (same is None and self.upload(candidate)):
                    return Sent(self.file, candidate, self.sha256, already_existed=bool(same))
            if self.options.on_conflict != "rename":
                break
        raise TransferFailed(
            "conflict",
            f"{self.store.bucket}, or this disk, has a different file named {key!r}: delete the one that is "
            "not wanted, or use --on-conflict rename.",
        )

    def _numbered(self, key: str, number: int) -> str:
        try:
            return numbered_key(key, number, self.file.column.max_length)
        except keys.InvalidKey:
            message = f"{key!r} is taken, and its column has no room for another name."
            raise TransferFailed("name", message) from None

    def is_taken_locally(self, key: str) -> bool:
        return is_taken_locally(self.file, key, lambda: self.sha256)

    def upload(self, key: str) -> bool:
        """Upload the file and verify it; return False if the key is taken. Raises TransferFailed."""
        try:
            with ExitStack() as upload_slot:
                upload_slot.enter_context(self.options.semaphore)

                def verify(object_key: str) -> bool | None:
                    upload_slot.close()  # the next upload may start while this one is verified
                    return retry(lambda: self._matches(object_key))

                put = self.store.put_file_directly
                if self.file.size > TUS_CHUNK_SIZE or not self.file.column.has_exclusive(key):
                    put = partial(self.store.put_file, staging_key=self._staging_key(key))
                put(
                    key,
                    self.content,
                    self.file.size,
                    content_type=self.file.content_type,
                    cache_control=self.file.cache_control,
                    verify=verify,
                )
        except ObjectExists:
            return False
        except keys.InvalidKey:
            raise TransferFailed("name", f"{self.store.bucket} refuses the key {key!r}.") from None
        except ObjectRefused as error:
            message = f"{self.store.bucket} refuses {self.file.name!r}: {error}"
            raise TransferFailed("refused", message) from error
        return True

    def _staging_key(self, key: str) -> str:
        """Return always the same key: the next run overwrites what an interrupted run left there."""
        target = f"{self.store.bucket}/{key} {self.sha256}"
        return f"{STAGING_FOLDER}/{hashlib.sha256(target.encode()).hexdigest()}"

    def _matches(self, key: str) -> bool | None:
        return object_matches(self.store, key, self.file.size, self.sha256, self.options.verify)


def is_taken_locally(file: SourceFile, key: str, sha256: Callable[[], str]) -> bool:
    """Return True if a different local file already has the name `key`. Raises TransferFailed."""
    path = file.location.folder / key
    try:
        return key != file.name and os.path.lexists(path) and sha256_of(path) != sha256()
    except OSError as error:
        message = f"{key!r} is on this disk, and cannot be read: {error.strerror}."
        raise TransferFailed("disk", message) from error


def object_matches(store: SupabaseStorage, key: str, size: int, sha256: str, verify: str) -> bool | None:
    """Return whether the object has this size, or this SHA-256, as `verify` says; None if there is none."""
    try:
        if verify == "size":
            return store.describe(key).size == size
        with store.read(key) as content:
            return sha256_of_stream(content) == sha256
    except ObjectMissing:
        return None


@contextmanager
def _open_unchanged(file: SourceFile, bandwidth: Bandwidth) -> Iterator[BinaryIO]:
    """Open the file, so that the same bytes are hashed and sent even if its path is replaced meanwhile.

    Raises TransferFailed if it was replaced before it was opened.
    """
    try:
        with bandwidth.open(file.location.path) as content:
            fingerprint = metadata.size_and_mtime(os.fstat(content.fileno()))
            if fingerprint != {"size": file.size, "mtime_ns": file.mtime_ns}:
                message = f"{file.name!r} was replaced meanwhile: run the command again."
                raise TransferFailed("replaced", message)
            yield content
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        message = f"{file.name!r} cannot be read: {error.strerror}."
        raise TransferFailed("unreadable", message) from error


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the file in hex. Raises OSError."""
    with path.open("rb") as file:
        return sha256_of_stream(file)


def sha256_of_stream(file: BinaryIO) -> str:
    """Return the SHA-256 of the bytes from the current position, in hex. Raises OSError, StorageError."""
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
