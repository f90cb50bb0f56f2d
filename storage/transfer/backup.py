"""A copy of what is going to be moved, made and verified before the first file leaves."""

import shutil
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from storage.buckets import Bucket
from storage.transfer.local_files import media_root
from storage.transfer.references import Reference
from storage.transfer.sending import Failed, Source, sha256_of, source


class BackupFailed(Exception):
    """It could not be made whole: nothing is moved."""


def place_in(folder: Path) -> Path:
    """A new folder for the backup of this moment. Raises BackupFailed."""
    place = folder / datetime.now().strftime("%Y-%m-%dT%H-%M-%S")
    try:
        place.mkdir(parents=True)
    except OSError as error:
        raise BackupFailed(
            f"No backup can be made in {place}: {error.strerror}. Nothing was moved."
        ) from error
    return place


def back_up(references: Iterable[Reference], buckets: dict[str, Bucket], place: Path) -> Iterator[Path]:
    """Each copy, as the file lies below MEDIA_ROOT. Raises BackupFailed."""
    for reference in references:
        try:
            file = source(buckets[reference.column.bucket], reference)
        except Failed as failed:
            if failed.reason in ("missing", "outside"):
                continue  # it is not moved either
            raise BackupFailed(f"{failed} Nothing was moved.") from failed
        copy = place / file.place.path.relative_to(media_root())
        if not copy.exists():  # another row may name it
            yield _copied(file, copy)


def _copied(file: Source, copy: Path) -> Path:
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file.place.path, copy)
        if sha256_of(copy) != sha256_of(file.place.path):
            raise BackupFailed(f"The copy of {file.name!r} is not the same. Nothing was moved.")
    except OSError as error:
        raise BackupFailed(
            f"{file.name!r} cannot be copied to {copy}: {error}. Nothing was moved."
        ) from error
    return copy
