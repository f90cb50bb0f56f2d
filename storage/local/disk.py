"""What the local store asks of a disk: files that appear whole, locks that a crash lets go, honest trouble.

Everything of the store's own lies in `MEDIA_ROOT/.objects/`, and is made on demand.
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

ABANDONED = 60  # seconds: between making a temporary and locking it there are a few microseconds
LOCKS = 256  # files; two objects may share one, which only makes their writers wait for each other


class ObjectFile(io.FileIO):
    """An object on its way out: trouble of the disk in the middle of it is trouble of the store."""

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
    """Asked for many times in each call, and slow to make."""
    return Path(name)


def is_lost() -> bool:
    """Something is where the folder of all files should be, and it is no folder."""
    return os.path.lexists(root()) and not root().is_dir()


def own(name: str) -> Path:
    """A folder of the store's own."""
    folder = root() / f".objects/{name}"
    with translate_os_errors():
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def arriving() -> Iterator[Path]:
    """A file that nobody serves, on the same disk; whatever is left of it is taken away."""
    folder = own("arriving")
    _sweep(folder)
    path = folder / secrets.token_hex(16)
    path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def write(path: Path, text: str) -> None:
    """A small file, whole or not at all after a power cut too, in the place of what was there."""
    with arriving() as temporary:
        with temporary.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(temporary, path)


def appear(file: Path, place: Path) -> None:
    """Give a file that is on the disk its name, and be sure that the name is there too."""
    os.replace(file, place)
    sync_folder(place.parent)


def sync_folder(folder: Path) -> None:
    """The names in it are there after a power cut, too."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.EINVAL):  # file systems that sync no folders
            raise
    finally:
        os.close(opened)


def being_written(file: IO[bytes]) -> None:
    """Let sweepers see that somebody is writing this arriving file, until it is closed."""
    locks.lock(file, locks.LOCK_EX)


def _sweep(folder: Path) -> None:
    """Take away what processes that were killed in the middle of a write have left."""
    for entry in os.scandir(folder):
        try:
            if time.time() - entry.stat().st_mtime > ABANDONED:
                with open(entry.path, "ab") as file:
                    if locks.lock(file, locks.LOCK_EX | locks.LOCK_NB):
                        os.unlink(entry.path)
        except OSError:  # its writer, or another sweeper, was faster
            continue


@contextmanager
def locked(*names: str) -> Iterator[None]:
    """Hold these names against the writers of all processes; the system lets go after a crash."""
    folder = own("locks")
    numbers = {
        int(hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8], 16) % LOCKS for name in names
    }
    with ExitStack() as held:
        for number in sorted(numbers):  # always in this order, so that nobody waits in a circle
            locks.lock(held.enter_context((folder / f"{number:02x}").open("ab")), locks.LOCK_EX)
        yield
