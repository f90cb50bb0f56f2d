"""Where a file that the database names lies on this disk: as the local store or as plain Django has it."""

import errno
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from stat import S_ISREG

from django.core.files.storage import FileSystemStorage

from storage import keys
from storage.base import SignedStorage
from storage.errors import StorageError
from storage.local import buckets, disk
from storage.local.objects import LocalObjects
from storage.transfer.references import Column, Reference

NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)


class Outside(Exception):
    """The database names a file that is not below MEDIA_ROOT."""


@dataclass(frozen=True, slots=True)
class Place:
    """A file, and the folder to which the names of its field are relative."""

    folder: Path
    path: Path


def media_root() -> Path:
    """Without links, so that what is below it can be told."""
    return _resolved(disk.root())


@cache
def _resolved(folder: Path) -> Path:
    return folder.resolve()


def home_of(column: Column) -> str:
    """The bucket of the local store in which the files of this field lie; the move may lead to another."""
    store = column.field.storage
    return store.bucket if isinstance(store, SignedStorage) else column.bucket


def identity(reference: Reference) -> tuple[str, ...]:
    """Tells one file on its way to one bucket from all others, whichever rows name it."""
    column = reference.column
    return column.bucket, str(_location(column) or home_of(column)), reference.name


def find(column: Column, name: str) -> Place:
    """Raises Outside, FileNotFoundError, other OSErrors of the disk, and StorageUnavailable."""
    if name.startswith(("/", "\\")) or "\0" in name or ".." in name.split("/"):
        raise Outside(name)
    root, folders = media_root(), _folders(column)
    for folder in folders:
        path = folder / name
        if _is_file(path) and (folder == folders[0] or not _is_of_another(column, folder, name)):
            if not path.resolve().is_relative_to(root):
                raise Outside(name)
            return Place(folder, path)
    return Place(folders[0], _odd(home_of(column), name))


def place_of(reference: Reference) -> Place | None:
    """Where its file is, if it is on this disk and can be looked at."""
    try:
        place = find(reference.column, reference.name)
        return place if place.path.exists() else None
    except (Outside, OSError, StorageError):
        return None


def _is_of_another(column: Column, folder: Path, name: str) -> bool:
    """Whether a file that is where this one is only looked for last is another bucket's, or another row's."""
    if folder == media_root():
        return name.split("/")[0] in {bucket.name for bucket in buckets.list_buckets()}
    field = column.field.attname
    return column.rows().filter(**{field: f"{folder.name}/{name}"}).exists()


def _folders(column: Column) -> list[Path]:
    """The local store has a folder for each bucket, a plain project has none; a store leaves its traces."""
    if location := _location(column):
        return [location]
    root = media_root()
    of_store = root / home_of(column)
    return [of_store, root] if (root / ".objects").is_dir() else [root, of_store]


def _location(column: Column) -> Path | None:
    """The folder of a plain project's field."""
    store = column.field.storage
    return _resolved(Path(store.location)) if isinstance(store, FileSystemStorage) else None


def _odd(bucket: str, name: str) -> Path:
    """What no folder can have, the local store keeps elsewhere."""
    try:
        return LocalObjects(bucket).locate(name).resolve()
    except keys.InvalidKey:
        raise FileNotFoundError(name) from None


def _is_file(path: Path) -> bool:
    try:
        return S_ISREG(path.stat().st_mode)
    except OSError as error:
        if error.errno in NOT_THERE:
            return False
        raise
