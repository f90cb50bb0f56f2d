"""Locate the local file that a row names, in the layout of the local store or of plain Django."""

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

MISSING_ERRNOS = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)


class OutsideMediaRoot(Exception):
    """The row names a file that is not below MEDIA_ROOT."""


@dataclass(frozen=True, slots=True)
class Location:
    """The path of a file, and the folder to which the names of its field are relative."""

    folder: Path
    path: Path


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
    if name.startswith(("/", "\\")) or "\0" in name or ".." in name.split("/"):
        raise OutsideMediaRoot(name)
    root, folders = media_root(), _folders(column)
    for folder in folders:
        path = folder / name
        if _is_file(path) and (folder == folders[0] or not _belongs_to_another(column, folder, name)):
            if not path.resolve().is_relative_to(root):
                raise OutsideMediaRoot(name)
            return Location(folder, path)
    return Location(folders[0], _local_store_path(local_bucket(column), name))


def find_existing(reference: Reference) -> Location | None:
    """Return the location of the file, or None if it does not exist or cannot be accessed."""
    try:
        location = locate(reference.column, reference.name)
        return location if location.path.exists() else None
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
    return [bucket_folder, root] if (root / ".objects").is_dir() else [root, bucket_folder]


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


def _is_file(path: Path) -> bool:
    try:
        return S_ISREG(path.stat().st_mode)
    except OSError as error:
        if error.errno in MISSING_ERRNOS:
            return False
        raise
