"""Locate the local file that a row names, in the layout of the local store or of plain Django."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.core.files.storage import FileSystemStorage

from storage import keys
from storage.base import SignedStorage
from storage.errors import StorageError
from storage.local import buckets, disk
from storage.local.objects import LocalObjects
from storage.transfer import spellings
from storage.transfer.references import Column, Reference


class OutsideMediaRoot(Exception):
    """The row names a file that is not below MEDIA_ROOT."""


@dataclass(frozen=True, slots=True)
class Location:
    """The path of a file, and the folder to which the names of its field are relative.

    `name`: the relative path as the disk spells it, which may differ from the name in the row.
    """

    folder: Path
    path: Path
    name: str


def media_root() -> Path:
    """Return MEDIA_ROOT with symbolic links resolved, so that paths can be compared with it."""
    return _resolved(disk.root())


@cache
def _resolved(folder: Path) -> Path:
    return folder.resolve()


def local_bucket(column: Column) -> str:
    """Return the bucket of the local store that holds the column's files; the target bucket may differ."""
    store = column.field.storage
    return store.bucket if isinstance(store, SignedStorage) else column.bucket


def identity(reference: Reference) -> tuple[str, ...]:
    """Return a value that identifies one file and its target bucket, whichever rows name the file."""
    column = reference.column
    return column.bucket, str(_storage_folder(column) or local_bucket(column)), reference.name


def locate(column: Column, name: str) -> Location:
    """Return the location of the file. It may not exist, or may not be a regular file.

    Raises OutsideMediaRoot, FileNotFoundError, other OSErrors of the disk, and StorageUnavailable.
    """
    root, folders = media_root(), _folders(column)
    for spelling in spellings.alternatives(name, (*folders, disk.root())):
        if not spellings.is_inside(spelling):
            raise OutsideMediaRoot(name)
        for folder in folders:
            if found := spellings.find(folder, spelling):
                is_own = folder == folders[0] or not _belongs_to_another(column, folder, found)
                if is_own:
                    if not (folder / found).resolve().is_relative_to(root):
                        raise OutsideMediaRoot(name)
                    return Location(folder, folder / found, found)
    return Location(folders[0], _local_store_path(local_bucket(column), name), name)


def home_folder(column: Column) -> Path:
    """Return the folder to which new files of the column are written."""
    return _folders(column)[0]


def is_local_store(column: Column) -> bool:
    """Return True if the site keeps the files of the column in a local store."""
    return not _storage_folder(column) and _has_local_store()


def near_match(column: Column, name: str) -> str | None:
    """Return the name of a file whose name differs from a missing one in case or encoding only."""
    for spelling in spellings.alternatives(name, (*_folders(column), disk.root())):
        for folder in _folders(column):
            if spellings.is_inside(spelling) and (found := spellings.find_similar(folder, spelling)):
                return found
    return None


def find_existing(reference: Reference) -> Location | None:
    """Return the location of the file, or None if it does not exist or cannot be accessed."""
    try:
        location = locate(reference.column, reference.name)
        return location if location.path.is_file() else None
    except (OutsideMediaRoot, OSError, StorageError):
        return None


def _belongs_to_another(column: Column, folder: Path, name: str) -> bool:
    """Return True if the file found in the fallback folder belongs to another bucket or row."""
    if folder == media_root():
        return name.split("/")[0] in {bucket.name for bucket in buckets.list_buckets()}
    field = column.field.attname
    return column.rows().filter(**{field: f"{folder.name}/{name}"}).exists()


def _folders(column: Column) -> list[Path]:
    """Return the folders to search, in order.

    The local store has a folder for each bucket, plain Django has none. The `.objects` folder shows that a
    local store has run in MEDIA_ROOT.
    """
    if folder := _storage_folder(column):
        return [folder]
    root = media_root()
    bucket_folder = root / local_bucket(column)
    return [bucket_folder, root] if _has_local_store() else [root, bucket_folder]


def _has_local_store() -> bool:
    return (media_root() / ".objects").is_dir()


def _storage_folder(column: Column) -> Path | None:
    """Return the folder of the field's FileSystemStorage, or None if the field has another storage."""
    store = column.field.storage
    return _resolved(Path(store.location)) if isinstance(store, FileSystemStorage) else None


def _local_store_path(bucket: str, name: str) -> Path:
    """Return the local store's path for the name: keys without a plain path are in its fallback folder."""
    try:
        return LocalObjects(bucket).locate(name).resolve()
    except keys.InvalidKey:
        raise FileNotFoundError(name) from None
