"""Copy files back to this disk that only their bucket has, such as those sent after the switch."""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from storage.contract import ObjectInfo
from storage.errors import (
    ObjectExists,
    ObjectMissing,
    StorageError,
    StorageMisconfigured,
    StorageUnavailable,
)
from storage.files import read_chunks
from storage.keys import InvalidKey
from storage.local import LocalStorage, disk
from storage.supabase import SupabaseStorage
from storage.supabase.client import retry
from storage.supabase.deadlines import minimum_rate
from storage.transfer import hard_links, spellings
from storage.transfer.bandwidth import MIN_RATE
from storage.transfer.entries import EntryResult
from storage.transfer.local_files import (
    find_existing,
    home_folder,
    is_local_store,
    local_bucket,
    media_root,
)
from storage.transfer.references import Column, Reference

MD5 = re.compile(r"[0-9a-f]{32}")  # the etag of an object that was not sent in parts


def fetch(reference: Reference) -> EntryResult:
    """Copy the file that the row names, and return the result. Raises StorageMisconfigured.

    Nothing is overwritten. A copy gets its name once it is complete.
    """
    name = f"{reference}: {reference.name!r}"
    try:
        with minimum_rate(MIN_RATE):
            retry(lambda: _fetch(reference))
    except ObjectExists:  # somebody else has just created it, or it is no file
        if find_existing(reference) is None:
            return EntryResult("disk", f"{name} cannot be written: its name is taken on this disk")
    except (ObjectMissing, InvalidKey):
        return EntryResult("missing", f"{name} is neither on this disk nor in {reference.column.bucket}.")
    except StorageMisconfigured:
        raise
    except StorageError as error:
        return EntryResult("storage", f"{name} cannot be fetched: {error}")
    except OSError as error:
        return EntryResult("disk", f"{name} cannot be written: {error}")
    return EntryResult("fetched")


def find_replaced(columns: Sequence[Column], since: datetime) -> Iterator[EntryResult]:
    """Yield a result for each row whose object was replaced since, while this disk has other bytes."""
    for column in columns:
        try:
            for info in SupabaseStorage(column.bucket).walk():
                for reference in column.references_to(info.key) if info.last_modified > since else ():
                    location = find_existing(reference)
                    if location and not _has_content(location.path, info):
                        message = (
                            f"{reference}: {info.key!r} was replaced in {column.bucket}: kept here as it was."
                        )
                        yield EntryResult("changed", message)
        except StorageMisconfigured:
            raise
        except (StorageError, OSError) as error:
            yield EntryResult("storage", f"{column.bucket} cannot be compared with this disk: {error}")


def _has_content(path: Path, info: ObjectInfo) -> bool:
    """Return True if the file has the size of the object, and its MD5 if that is known."""
    md5 = _md5(info)
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size != info.size:
            return False
        return not md5 or hashlib.file_digest(file, "md5").hexdigest() == md5


def _md5(info: ObjectInfo) -> str:
    """Return the MD5 that the etag of an object states, empty if the object was sent in parts."""
    etag = info.etag.strip('"')
    return etag if MD5.fullmatch(etag) else ""


def _fetch(reference: Reference) -> None:
    column, name = reference.column, reference.name
    store = SupabaseStorage(column.bucket)
    info = store.describe(name)
    chunks = _verified_chunks(store, info)
    if is_local_store(column):
        local = LocalStorage(local_bucket(column))
        local.put(name, chunks, content_type=info.content_type, cache_control=info.cache_control)
    else:
        _write(home_folder(column), name, chunks)


def _verified_chunks(store: SupabaseStorage, info: ObjectInfo) -> Iterator[bytes]:
    """Yield the bytes of the object. Raises StorageUnavailable at the end if others were expected."""
    md5, size = hashlib.md5(usedforsecurity=False), 0
    with store.read(info.key) as content:
        for chunk in read_chunks(content):
            md5.update(chunk)
            size += len(chunk)
            yield chunk
    if size != info.size or _md5(info) not in ("", md5.hexdigest()):
        raise StorageUnavailable("The bytes that arrived are not those of the object")


def _write(folder: Path, name: str, chunks: Iterator[bytes]) -> None:
    """Write a file below the folder. Raises OSError, ObjectExists."""
    path = folder / name
    if not spellings.is_inside(name) or not path.resolve().is_relative_to(media_root()):
        raise PermissionError("it is outside MEDIA_ROOT")
    path.parent.mkdir(parents=True, exist_ok=True)
    # The next run replaces what an interrupted one left.
    temporary = path.with_name(f".fetched-{hashlib.sha256(name.encode()).hexdigest()}")
    try:
        with temporary.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        try:
            hard_links.link_or_copy(temporary, path, temporary.with_name(f"{temporary.name}-copy"))
        except FileExistsError:
            raise ObjectExists(name) from None
        disk.sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
