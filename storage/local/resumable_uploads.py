"""Uploads that arrive in parts: over hours, through any of the processes, and past the death of some.

`MEDIA_ROOT/.objects/parts/<id>/` has `record.json` (what it will be), `bytes` (what has arrived) and `lock`.
The bytes become the object by one rename: an upload with a record and no bytes is finished, after a crash
at any instant too. It stays known until it expires, so that a client who missed the answer learns of it.
"""

import hashlib
import json
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
from storage.local.objects import LocalObjects

LIFETIME = 24 * 3600  # seconds, from the first word of an upload
#: Seconds that a request waits for another that writes the same upload. The five tries of tus-js-client take
#: 34 seconds then: by that time a connection that died without a word is given up, and its lock with it.
WAIT_SECONDS = 5.0
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class UploadMissing(StorageError):
    """There is no such upload, or not any more."""


class UploadExpired(StorageError):
    """It was not finished in time."""


class UploadLocked(StorageError):
    """Somebody else is writing it."""


class UploadTooLarge(StorageError):
    """There was more to come than there is room for."""


@dataclass(frozen=True, slots=True)
class ResumableUpload:
    """An upload as it stood when it was looked at: `offset` of `length` bytes had arrived.

    `length` is None until it is told; `told` is what the client said of it, for its own use.
    """

    id: str  # a UUID: later the version of the object
    bucket: str
    key: str
    length: int | None
    content_type: str
    cache_control: str
    metadata: dict[str, Any]  # the user's own
    told: str
    expires_at: float  # seconds since the epoch
    offset: int = 0
    is_finished: bool = False

    @property
    def is_full(self) -> bool:
        return self.offset == self.length


def create(bucket: str, key: str, **facts: Any) -> ResumableUpload:
    """An upload that nothing has arrived of. `facts`: the other fields up to `told`."""
    parts = ResumableUpload(str(uuid4()), bucket, key, expires_at=time.time() + LIFETIME, **facts)
    folder = _folder(parts.id)
    with translate_os_errors():
        _sweep()
        folder.mkdir()
        (folder / "lock").touch()
        (folder / "bytes").touch()
    _describe(parts)
    return parts


def find(id: str, bucket: str, key: str) -> ResumableUpload:
    """Raises PartsMissing, also when the upload is for another object, and PartsExpired."""
    if not ID.fullmatch(id):
        raise UploadMissing(key)
    with translate_os_errors():
        parts = _read(_folder(id))
    if (parts.bucket, parts.key) != (bucket, key):
        raise UploadMissing(key)
    if time.time() >= parts.expires_at:
        raise UploadExpired(key)
    return parts


@contextmanager
def held(id: str, bucket: str, key: str) -> Iterator[ResumableUpload]:
    """The same, for writing: nobody else does meanwhile. Raises PartsHeld when it takes too long."""
    find(id, bucket, key)
    with translate_os_errors(), _locked(_folder(id), WAIT_SECONDS):
        yield find(id, bucket, key)


def declare(parts: ResumableUpload, length: int) -> ResumableUpload:
    """Record a length that was not known at first."""
    told = replace(parts, length=length)
    _describe(told)
    return told


def append(parts: ResumableUpload, chunks: Iterable[bytes], room: int) -> ResumableUpload:
    """What has arrived stays, also when reading the chunks raises. Of an Overrun nothing does."""
    with translate_os_errors(), (_folder(parts.id) / "bytes").open("r+b") as file:
        file.seek(parts.offset)
        try:
            for chunk in chunks:
                room -= len(chunk)
                if room < 0:
                    file.truncate(parts.offset)
                    raise UploadTooLarge(parts.key)
                file.write(chunk)
        finally:
            file.flush()
            os.fsync(file.fileno())
        return replace(parts, offset=os.fstat(file.fileno()).st_size)


def finish(parts: ResumableUpload, *, replacing: bool) -> ResumableUpload:
    """Make the object. Raises ObjectExists, and then nothing is left of the upload.

    A client that found it whole would take that for success.
    """
    path = _folder(parts.id) / "bytes"
    with translate_os_errors(), path.open("rb") as file:
        digest = hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False))
    try:
        LocalObjects(parts.bucket).adopt(
            path,
            parts.key,
            replace=replacing,
            version=parts.id,
            etag=f'"{digest.hexdigest()}"',
            content_type=parts.content_type,
            cache_control=parts.cache_control,
            metadata=parts.metadata,
        )
    except ObjectExists:
        remove(parts)
        raise
    return replace(parts, is_finished=True)


def remove(parts: ResumableUpload) -> None:
    with translate_os_errors():
        _remove(_folder(parts.id))


# --- On the disk --------------------------------------------------------------------------------------


def _folder(id: str) -> Path:
    return disk.root() / ".objects" / "parts" / id


def _describe(parts: ResumableUpload) -> None:
    record = {name: value for name, value in asdict(parts).items() if name not in ("offset", "is_finished")}
    with translate_os_errors():
        disk.write(_folder(parts.id) / "record.json", json.dumps(record))


def _read(folder: Path) -> ResumableUpload:
    try:
        parts = ResumableUpload(**json.loads((folder / "record.json").read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):  # or what no version of this wrote
        raise UploadMissing(folder.name) from None
    try:
        return replace(parts, offset=(folder / "bytes").stat().st_size)
    except FileNotFoundError:
        if not (folder / "record.json").exists():  # removed meanwhile, not finished
            raise UploadMissing(folder.name) from None
        return replace(parts, offset=parts.length or 0, is_finished=True)


def _remove(folder: Path) -> None:
    """The record first: without it the rest means nothing, and is swept."""
    for name in ("record.json", "bytes", "lock"):
        (folder / name).unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        folder.rmdir()


@contextmanager
def _locked(folder: Path, patience: float) -> Iterator[None]:
    """The system lets go when the process dies."""
    deadline = time.monotonic() + patience
    try:
        file = (folder / "lock").open("r+b")  # never makes one: it goes with its upload
    except FileNotFoundError:
        raise UploadMissing(folder.name) from None
    with file:
        while not locks.lock(file, locks.LOCK_EX | locks.LOCK_NB):
            if time.monotonic() >= deadline:
                raise UploadLocked(folder.name)
            time.sleep(0.02)
        yield


def _sweep() -> None:
    """Take away what has expired, and what crashes in the middle of making or removing one have left."""
    for entry in os.scandir(disk.own("parts")):
        with suppress(OSError, StorageError):  # its writer, or another sweeper, was faster
            if time.time() - entry.stat().st_mtime > LIFETIME:
                _take_away(Path(entry.path))


def _take_away(folder: Path) -> None:
    try:
        with _locked(folder, patience=0):
            _remove(folder)
    except UploadMissing:  # no lock: somebody was killed while making or removing it
        _remove(folder)
