"""Resumable uploads, whose parts may be sent to different processes of the server. They survive a crash.

`MEDIA_ROOT/.objects/parts/<digest of bucket and key>/<id>/` has `record.json` (the fields of
ResumableUpload), `bytes` (the bytes received so far) and `lock`. So the uploads of a key are found without
reading others. One rename turns `bytes` into the object, so an upload with a record and without `bytes` is
finished, also after a crash at any time. A finished upload is kept until it expires, so that a client that
missed the response can send the request again.
"""

import hashlib
import json
import math
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.core.files import locks

from storage.errors import ObjectExists, StorageError, translate_os_errors
from storage.local import disk
from storage.local.metadata import digest
from storage.local.objects import LocalObjects

LIFETIME = 24 * 3600  # seconds from the creation of an upload until it expires
#: How long a request waits for another that writes to the same upload. With it, the five attempts of
#: tus-js-client take 34 seconds: by then a connection that broke silently is closed, and its lock released.
WAIT_SECONDS = 5.0
#: Fields of ResumableUpload that have another name in `record.json`.
NAMES_ON_DISK = {"upload_metadata": "told"}
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class UploadMissing(StorageError):
    """There is no such upload, or it was deleted."""


class UploadExpired(StorageError):
    """The upload has passed its expiry time."""


class UploadLocked(StorageError):
    """Another request is writing to the upload."""


class UploadTooLarge(StorageError):
    """The request has more bytes than the upload or the bucket allows."""


@dataclass(frozen=True, slots=True)
class ResumableUpload:
    """The state of an upload when it was read: `offset` of `length` bytes had arrived.

    `length` is None until the client sends it. `upload_metadata` is the Upload-Metadata header to return to
    the client.
    """

    id: str  # a UUID, which becomes the version of the object
    bucket: str
    key: str
    length: int | None
    content_type: str
    cache_control: str
    metadata: dict[str, Any]  # the user's own metadata
    upload_metadata: str
    expires_at: float  # seconds since the epoch
    offset: int = 0
    is_finished: bool = False

    @property
    def is_full(self) -> bool:
        """True if all bytes have arrived. The object may not exist yet: see `is_finished`."""
        return self.offset == self.length


def create(bucket: str, key: str, *, alone: bool = False, **facts: Any) -> ResumableUpload:
    """Create an upload without bytes. `facts`: the fields from `length` to `upload_metadata`.

    `alone`: it replaces the open uploads of the key, since a client that missed the response to its request
    creates another upload. Raises UploadLocked if another request is writing to one of them.
    """
    upload = ResumableUpload(str(uuid4()), bucket, key, expires_at=time.time() + LIFETIME, **facts)
    with translate_os_errors():
        _delete_expired()
        if alone:
            _replace_open(bucket, key, WAIT_SECONDS)
        with disk.locked(f"{bucket}/{key}"):  # of two that are created at once, the second replaces the first
            if alone:
                _replace_open(bucket, key, wait_seconds=0)
            _create_files(upload)
    return upload


def get(id: str, bucket: str, key: str) -> ResumableUpload:
    """Return the upload. Raises UploadMissing, also if it is for another object, and UploadExpired."""
    if not ID.fullmatch(id):
        raise UploadMissing(key)
    with translate_os_errors():
        upload = _read(_folder(id, bucket, key))
    if (upload.bucket, upload.key) != (bucket, key):
        raise UploadMissing(key)
    if time.time() >= upload.expires_at:
        raise UploadExpired(key)
    return upload


@contextmanager
def locked(id: str, bucket: str, key: str) -> Iterator[ResumableUpload]:
    """Lock the upload for writing. Raises UploadLocked after WAIT_SECONDS, and the errors of `get`."""
    get(id, bucket, key)
    with translate_os_errors(), _locked(_folder(id, bucket, key), WAIT_SECONDS):
        yield get(id, bucket, key)


def set_length(upload: ResumableUpload, length: int) -> ResumableUpload:
    """Record the length of an upload that was created without one."""
    changed = replace(upload, length=length)
    _write_record(changed)
    return changed


def append(upload: ResumableUpload, chunks: Iterable[bytes], max_bytes: int) -> ResumableUpload:
    """Append the chunks. Bytes that have arrived are kept if iterating over the chunks raises an exception.

    Raises UploadTooLarge if there are more than `max_bytes`; then none of these bytes are kept.
    """
    with _translate_errors(upload), (_folder_of(upload) / "bytes").open("r+b") as file:
        file.seek(upload.offset)
        try:
            for chunk in chunks:
                max_bytes -= len(chunk)
                if max_bytes < 0:
                    file.truncate(upload.offset)
                    raise UploadTooLarge(upload.key)
                file.write(chunk)
        finally:
            file.flush()
            os.fsync(file.fileno())
        return replace(upload, offset=os.fstat(file.fileno()).st_size)


def finish(upload: ResumableUpload, *, replace_object: bool) -> ResumableUpload:
    """Create the object from the bytes. Raises ObjectExists, and then deletes the upload.

    It is deleted because a client would take an upload with all bytes for a success.
    """
    path = _folder_of(upload) / "bytes"
    with _translate_errors(upload), path.open("rb") as file:
        md5 = hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False))
    try:
        LocalObjects(upload.bucket).move_in(
            path,
            upload.key,
            replace=replace_object,
            version=upload.id,
            etag=f'"{md5.hexdigest()}"',
            content_type=upload.content_type,
            cache_control=upload.cache_control,
            metadata=upload.metadata,
        )
    except ObjectExists:
        remove(upload)
        raise
    return replace(upload, is_finished=True)


def remove(upload: ResumableUpload) -> None:
    """Delete the upload and its bytes."""
    with translate_os_errors():
        _remove(_folder_of(upload))


def remove_open(bucket: str, key: str) -> None:
    """Delete the unfinished uploads of the key. A request that is writing to one of them fails."""
    with translate_os_errors():
        for folder in _folders_for(bucket, key):
            _remove_unless_finished(folder)


def delete_leftovers(bucket: str, min_age: float, *, dry_run: bool = False) -> Iterator[str]:
    """Delete the bucket's unfinished uploads that received nothing for `min_age` seconds, and expired ones.

    Yields their keys. An upload to which a request is writing is kept. With `dry_run` nothing is deleted.
    """
    with translate_os_errors():
        folders = list(_all_folders())
    for folder in folders:
        if key := _delete_leftover(folder, bucket, min_age, dry_run=dry_run):
            yield key


# --- Files --------------------------------------------------------------------------------------------


def _folder(id: str, bucket: str, key: str) -> Path:
    return disk.root() / ".objects" / "parts" / digest(bucket, key) / id


def _folder_of(upload: ResumableUpload) -> Path:
    return _folder(upload.id, upload.bucket, upload.key)


def _folders_for(bucket: str, key: str) -> list[Path]:
    return _folders_in(_folder("", bucket, key))


def _all_folders(max_mtime: float = math.inf) -> Iterator[Path]:
    """Yield the folder of each upload, without those of keys for which one came or went after `max_mtime`."""
    for entry in os.scandir(disk.internal_folder("parts")):
        with suppress(FileNotFoundError):  # removed meanwhile
            if entry.stat().st_mtime > max_mtime:
                continue
            folder = Path(entry.path)
            is_upload = ID.fullmatch(entry.name)  # earlier versions had no folder for the key
            yield from [folder] if is_upload else _folders_in(folder)


def _folders_in(folder: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(folder)]
    except (FileNotFoundError, NotADirectoryError):  # removed meanwhile; a file of another program
        return []


def _create_files(upload: ResumableUpload) -> None:
    folder = _folder_of(upload)
    while not folder.exists():
        disk.make_folder(folder.parent)
        with suppress(FileNotFoundError):  # another process removed the parent because it had become empty
            folder.mkdir()
    (folder / "lock").touch()
    (folder / "bytes").touch()
    _write_record(upload)


def _write_record(upload: ResumableUpload) -> None:
    fields = {name: value for name, value in asdict(upload).items() if name not in ("offset", "is_finished")}
    record = {NAMES_ON_DISK.get(name, name): value for name, value in fields.items()}
    with translate_os_errors():
        disk.write(_folder_of(upload) / "record.json", json.dumps(record))


def _read(folder: Path) -> ResumableUpload:
    """Raises UploadMissing, also if the record is invalid."""
    try:
        record = json.loads((folder / "record.json").read_bytes())
        fields = {name: record.pop(on_disk) for name, on_disk in NAMES_ON_DISK.items()}
        upload = ResumableUpload(**record, **fields)
    except (FileNotFoundError, ValueError, TypeError, AttributeError, KeyError):
        raise UploadMissing(folder.name) from None
    try:
        return replace(upload, offset=(folder / "bytes").stat().st_size)
    except FileNotFoundError:
        if not all((folder / name).exists() for name in ("record.json", "lock")):  # deleted meanwhile
            raise UploadMissing(folder.name) from None
        return replace(upload, offset=upload.length or 0, is_finished=True)


def _delete_leftover(folder: Path, bucket: str, min_age: float, *, dry_run: bool) -> str:
    """Return the key of the upload, "" if it is kept."""
    with suppress(UploadMissing, UploadLocked), translate_os_errors(), _locked(folder, wait_seconds=0):
        upload = _read(folder)
        if upload.bucket == bucket and _is_leftover(folder, upload, min_age):
            if not dry_run:
                _remove(folder)
            return upload.key
    return ""


def _is_leftover(folder: Path, upload: ResumableUpload, min_age: float) -> bool:
    if upload.is_finished:
        return time.time() >= upload.expires_at
    return time.time() - (folder / "bytes").stat().st_mtime >= min_age


def _remove(folder: Path) -> None:
    """Delete the record first: if a crash leaves the other files, `_delete_expired` deletes them."""
    for name in ("record.json", "bytes", "lock"):
        (folder / name).unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        folder.rmdir()
    with suppress(OSError):  # the key has another upload
        folder.parent.rmdir()


def _remove_unless_finished(folder: Path) -> None:
    with suppress(UploadMissing):
        if not _read(folder).is_finished:
            _remove(folder)


def _replace_open(bucket: str, key: str, wait_seconds: float) -> None:
    for folder in _folders_for(bucket, key):
        with suppress(UploadMissing), _locked(folder, wait_seconds):
            _remove_unless_finished(folder)


@contextmanager
def _translate_errors(upload: ResumableUpload) -> Iterator[None]:
    """Raise UploadMissing if `remove_open` has deleted the upload, and StorageUnavailable as elsewhere."""
    with translate_os_errors():
        try:
            yield
        except FileNotFoundError:
            raise UploadMissing(upload.key) from None


@contextmanager
def _locked(folder: Path, wait_seconds: float) -> Iterator[None]:
    """Raises UploadLocked, UploadMissing. The system releases the lock if the process dies."""
    deadline = time.monotonic() + wait_seconds
    try:
        file = (folder / "lock").open("r+b")  # does not create the file: without it there is no upload
    except FileNotFoundError:
        raise UploadMissing(folder.name) from None
    with file:
        while not locks.lock(file, locks.LOCK_EX | locks.LOCK_NB):
            if time.monotonic() >= deadline:
                raise UploadLocked(folder.name)
            time.sleep(0.02)
        yield


def _delete_expired() -> None:
    """Delete expired uploads, and the files of uploads whose creation or deletion was interrupted."""
    latest = time.time() - LIFETIME
    for folder in _all_folders(max_mtime=latest):
        with suppress(OSError, StorageError):  # its writer or another process was faster
            if folder.stat().st_mtime <= latest:
                _remove_unless_locked(folder)


def _remove_unless_locked(folder: Path) -> None:
    try:
        with _locked(folder, wait_seconds=0):
            _remove(folder)
    except UploadMissing:  # it has no lock file: its creation or deletion was interrupted
        _remove(folder)
