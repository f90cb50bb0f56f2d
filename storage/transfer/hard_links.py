"""A file's second name on this disk: the site that still runs on it follows its row to the new key."""

import errno
import os
import shutil
from pathlib import Path

from storage.errors import StorageError
from storage.local import disk, metadata
from storage.transfer.local_files import Place, home_of
from storage.transfer.sending import Failed, Sent, is_taken, sha256_of

NO_LINKS = (errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS)


def make(brought: Sent) -> None:
    """The same bytes under the new key too, with what the local store knows of them. Raises Failed."""
    file = brought.source
    twin = file.place.folder / brought.key
    try:
        if not os.path.lexists(twin):
            _describe(brought)
            twin.parent.mkdir(parents=True, exist_ok=True)
            _link(file.place.path.resolve(), twin, twin.with_name(f".{brought.sha256}"))
            disk.sync_folder(twin.parent)
        elif is_taken(file, brought.key, lambda: brought.sha256):
            message = (
                f"{file.name!r} would become {brought.key!r}, and another file is called so on this disk."
            )
            raise Failed("conflict", message)
    except (OSError, StorageError) as error:
        raise Failed("disk", f"{brought.key!r} cannot be made on this disk: {error}") from error


def remove(old: Place, new: Place) -> None:
    """Once no row names it; a file that is not the same as the old one stays."""
    if old.path != new.path and sha256_of(old.path) == sha256_of(new.path):
        new.path.unlink()


def _describe(brought: Sent) -> None:
    file = brought.source
    home = home_of(file.column)
    record = metadata.find_record(home, file.name, file.place.path.stat())
    if record is not None:
        metadata.write_records(metadata.digest(home, brought.key), {**record, "key": brought.key})


def _link(path: Path, twin: Path, temporary: Path) -> None:
    """Whole or not at all, also where a disk knows no second names."""
    try:
        os.link(path, twin)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        shutil.copy2(path, temporary)
        if os.path.lexists(twin):  # the site has just made it
            temporary.unlink()
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        with temporary.open("rb") as copy:
            os.fsync(copy.fileno())
        temporary.replace(twin)
