"""Hard links under the new names, for a site that still serves local files after its rows have changed."""

import errno
import os
import shutil
from pathlib import Path

from storage.errors import StorageError
from storage.local import disk, metadata
from storage.transfer.local_files import Location, local_bucket
from storage.transfer.sending import Sent, TransferFailed, is_taken_locally, sha256_of

LINK_UNSUPPORTED = (errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS)


def create(sent: Sent) -> None:
    """Link the local file to its new key, and copy its metadata in the local store. Raises TransferFailed."""
    file = sent.source
    link = file.location.folder / sent.key
    try:
        if not os.path.lexists(link):
            _copy_metadata(sent)
            link.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(file.location.path.resolve(), link, link.with_name(f".{sent.sha256}"))
            disk.sync_folder(link.parent)
        elif is_taken_locally(file, sent.key, lambda: sent.sha256):
            message = f"{file.name!r} would become {sent.key!r}, but another local file has that name."
            raise TransferFailed("conflict", message)
    except (OSError, StorageError) as error:
        raise TransferFailed("disk", f"{sent.key!r} cannot be created on this disk: {error}") from error


def remove(old: Location, new: Location) -> None:
    """Delete the link at `new` that no row names. Another file is kept, also if it has the same bytes."""
    if old.path != new.path and _is_link_or_copy(old.path, new.path):
        new.path.unlink()


def _is_link_or_copy(old: Path, new: Path) -> bool:
    """Return True for the same file, or for a copy that has its bytes and modification time."""
    is_same_time = old.stat().st_mtime_ns == new.stat().st_mtime_ns
    return old.samefile(new) or (is_same_time and sha256_of(old) == sha256_of(new))


def _copy_metadata(sent: Sent) -> None:
    file = sent.source
    bucket = local_bucket(file.column)
    record = metadata.find_record(bucket, file.name, file.location.path.stat())
    if record is not None:
        metadata.write_records(metadata.digest(bucket, sent.key), {**record, "key": sent.key})


def link_or_copy(path: Path, link: Path, temporary: Path) -> None:
    """Create the link atomically. Copy the file if the file system does not support hard links.

    Raises FileExistsError, other OSErrors.
    """
    try:
        os.link(path, link)
    except OSError as error:
        if error.errno not in LINK_UNSUPPORTED:
            raise
        shutil.copy2(path, temporary)
        if os.path.lexists(link):  # the site has just created it
            temporary.unlink()
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        with temporary.open("rb") as copy:
            os.fsync(copy.fileno())
        temporary.replace(link)
