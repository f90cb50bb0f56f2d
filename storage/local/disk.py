"""Files of the local store: atomic and durable writes, locks between processes, and error translation.

The store's internal files are in `MEDIA_ROOT/.objects/`. Folders are created on demand.
"""

import errno
import hashlib
import io
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.files import locks

from storage.errors import translate_os_errors

#: Seconds after which an unlocked temporary file counts as abandoned. A process needs only microseconds
#: between creating the file and locking it.
ABANDONED_SECONDS = 60
LOCK_FILES = 256  # if two objects share a lock file, their writers wait for each other, and nothing else


class ObjectFile(io.FileIO):
    """The file of an object, open for reading. Read errors are raised as StorageUnavailable."""

    def readinto(self, buffer: Any) -> int | None:
        with translate_os_errors():
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with translate_os_errors():
            return super().readall()


def root() -> Path:
    return _path(settings.MEDIA_ROOT)


@lru_cache(maxsize=8)
def _path(name: str | Path) -> Path:
    """Return a cached Path: each call of the store needs it many times, and creating one is slow."""
    return Path(name)


def is_root_unusable() -> bool:
    """Return True if MEDIA_ROOT exists and is not a folder."""
    return os.path.lexists(root()) and not root().is_dir()


def internal_folder(name: str) -> Path:
    """Return a folder in `MEDIA_ROOT/.objects/`, and create it if it is missing."""
    folder = root() / f".objects/{name}"
    with translate_os_errors():
        make_folder(folder)
    return folder


def make_folder(folder: Path) -> None:
    """Create the folder, and those above it, if it is missing. It mostly is there, and to look is faster."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def temporary_file() -> Iterator[Path]:
    """Create an empty file on the same disk, which is never served. It is deleted on exit if not moved."""
    folder = internal_folder("arriving")
    path = folder / secrets.token_hex(16)
    with translate_os_errors():
        _delete_abandoned(folder)
        path.touch()
    try:
        yield path
    finally:
        with translate_os_errors():
            path.unlink(missing_ok=True)


def write(path: Path, text: str) -> None:
    """Write or replace a small file atomically, so that after a power cut it is whole or unchanged."""
    with temporary_file() as temporary:
        with temporary.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        make_folder(path.parent)
        os.replace(temporary, path)


def move_into_place(file: Path, path: Path) -> None:
    """Rename a synced file and sync its folder, so that the new name survives a power cut."""
    os.replace(file, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush the folder's entries to the disk, so that they survive a power cut."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.EINVAL):  # raised by file systems that cannot sync folders
            raise
    finally:
        os.close(opened)


def lock_temporary_file(file: IO[bytes]) -> None:
    """Lock a temporary file until it is closed, so that no process deletes it as abandoned."""
    locks.lock(file, locks.LOCK_EX)


def _delete_abandoned(folder: Path) -> None:
    """Delete the temporary files of processes that were killed during a write."""
    for entry in os.scandir(folder):
        try:
            if time.time() - entry.stat().st_mtime > ABANDONED_SECONDS:
                with open(entry.path, "ab") as file:
                    if locks.lock(file, locks.LOCK_EX | locks.LOCK_NB):
                        os.unlink(entry.path)
        except OSError:  # its writer or another process moved or deleted it first
            continue


@contextmanager
def locked(*names: str) -> Iterator[None]:
    """Lock these names against the writers of all processes. The system releases the locks after a crash."""
    folder = internal_folder("locks")
    numbers = {
        int(hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8], 16) % LOCK_FILES
        for name in names
    }
    with ExitStack() as stack:
        for number in sorted(numbers):  # always in the same order, to prevent deadlocks
            locks.lock(stack.enter_context((folder / f"{number:02x}").open("ab")), locks.LOCK_EX)
        yield
