"""Copy the files that will be transferred to a backup folder and verify the copies, before any upload."""

import shutil
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from storage.buckets import Bucket
from storage.transfer.local_files import media_root
from storage.transfer.references import Reference
from storage.transfer.sending import SourceFile, TransferFailed, local_source, sha256_of


class BackupFailed(Exception):
    """The backup is incomplete; nothing was moved."""


def create_folder(parent: Path) -> Path:
    """Create a folder named after the current time for this backup. Raises BackupFailed."""
    folder = parent / datetime.now().strftime("%Y-%m-%dT%H-%M-%S")
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise BackupFailed(
            f"No backup can be made in {folder}: {error.strerror}. Nothing was moved."
        ) from error
    return folder


def back_up(references: Iterable[Reference], buckets: dict[str, Bucket], folder: Path) -> Iterator[Path]:
    """Copy each file to the same relative path as below MEDIA_ROOT; yield the copies. Raises BackupFailed."""
    for reference in references:
        try:
            file = local_source(buckets[reference.column.bucket], reference)
        except TransferFailed as failed:
            if failed.reason in ("missing", "outside"):
                continue  # it is not transferred either
            raise BackupFailed(f"{failed} Nothing was moved.") from failed
        copy = folder / file.location.path.relative_to(media_root())
        if not copy.exists():  # another row may name the same file
            yield _copy(file, copy)


def _copy(file: SourceFile, copy: Path) -> Path:
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file.location.path, copy)
        if sha256_of(copy) != sha256_of(file.location.path):
            raise BackupFailed(f"The copy of {file.name!r} differs from the file. Nothing was moved.")
    except OSError as error:
        raise BackupFailed(
            f"{file.name!r} cannot be copied to {copy}: {error}. Nothing was moved."
        ) from error
    return copy
