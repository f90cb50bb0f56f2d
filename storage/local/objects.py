"""LocalObjects: the objects of one bucket of the local store, under every key that the protocol allows.

`paths` finds the file with an object's content, `metadata` the record with its other facts. Several processes
may use a bucket at once: the writers of one key wait for each other, and readers never wait.
"""

import hashlib
import heapq
import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from storage import keys
from storage.errors import ObjectExists, ObjectMissing, StorageError, translate_os_errors
from storage.files import read_chunks
from storage.local import disk
from storage.local.metadata import (
    StoredObject,
    delete_records,
    digest,
    find_record,
    infer_record,
    new_record,
    read_records,
    stored_object,
    write_records,
)
from storage.local.paths import ObjectPaths


class LocalObjects:
    """Every method raises StorageUnavailable. An illegal key counts as the key of a missing object."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        self.paths = ObjectPaths(bucket)

    # --- Reading --------------------------------------------------------------------------------------

    def describe(self, key: str) -> StoredObject:
        """Raises ObjectMissing."""
        with self._translate_errors(key):
            while True:
                if info := self._describe_file(key, self.paths.find(key).stat()):
                    return info

    def open(self, key: str) -> tuple[BinaryIO, StoredObject]:
        """Return the open file and its metadata. Both stay valid if the object is then moved or deleted.

        Raises ObjectMissing.
        """
        with self._translate_errors(key):
            while True:
                file = io.BufferedReader(disk.ObjectFile(self.paths.find(key)))
                if info := self._describe_file(key, os.fstat(file.fileno())):
                    return file, info
                file.close()

    def _describe_file(self, key: str, stat: os.stat_result) -> StoredObject | None:
        """Return None if the object was deleted between stat and reading its metadata; the caller retries."""
        record = find_record(self.bucket, key, stat)
        if record is None and not _is_same_file(self.paths.find(key).stat(), stat):
            return None
        return stored_object(self.bucket, key, stat, record or infer_record(key, stat))

    def locate(self, key: str) -> Path:
        """Return the path of the object's file. Raises ObjectMissing."""
        with self._translate_errors(key):
            return self.paths.find(key)

    # --- Writing --------------------------------------------------------------------------------------

    def write(
        self,
        key: str,
        chunks: Iterable[bytes],
        *,
        content_type: str,
        cache_control: str,
        metadata: dict[str, Any] | None = None,
        replace: bool = False,
    ) -> StoredObject:
        """Create the object atomically. With `replace`, it may replace an existing one.

        Raises InvalidKey, ObjectExists, and any exception that iterating over the chunks raises.
        """
        keys.check_legal(key)
        with disk.temporary_file() as temporary:
            md5 = _write_chunks(temporary, chunks)
            facts = {"content_type": content_type, "cache_control": cache_control, "metadata": metadata or {}}
            return self.move_in(temporary, key, replace=replace, etag=f'"{md5}"', **facts)

    def move_in(self, file: Path, key: str, *, replace: bool = False, **facts: Any) -> StoredObject:
        """Create the object by renaming a complete, synced file on the same disk that nothing else uses.

        `facts`: etag, content_type, cache_control, metadata. Raises InvalidKey, ObjectExists.
        """
        keys.check_legal(key)
        with translate_os_errors(), disk.locked(self._lock_name(key)):
            before = self._describe_or_none(key)
            if before and not replace:
                raise ObjectExists(key)
            stat = file.stat()
            record = new_record(key, stat, before=before, **facts)
            if before:
                self._replace(file, key, record)
            else:
                self._create(file, key, record)
            return stored_object(self.bucket, key, stat, record)

    def move(self, key: str, to: "LocalObjects", new_key: str) -> None:
        """Move the object, also to another bucket. Atomic: of several calls for one object, one succeeds.

        Raises ObjectMissing, InvalidKey for the new key, ObjectExists.
        """
        keys.check_legal(new_key)
        with self._translate_errors(key), disk.locked(self._lock_name(key), to._lock_name(new_key)):
            source = self.paths.find(key)
            if to._exists(new_key):
                raise ObjectExists(new_key)
            stat = source.stat()
            record = find_record(self.bucket, key, stat) or infer_record(key, stat)
            to._create(source, new_key, {**record, "key": new_key})
            delete_records(digest(self.bucket, key))
            self.paths.remove_empty_folders(source)

    def copy(
        self, key: str, to: "LocalObjects", new_key: str, *, replace: bool = False, **facts: Any
    ) -> StoredObject:
        """Copy the object. `facts` override the metadata of the source. Raises the same errors as `move`."""
        keys.check_legal(new_key)
        file, info = self.open(key)
        inherited = {name: getattr(info, name) for name in ("content_type", "cache_control", "metadata")}
        with file:
            return to.write(new_key, read_chunks(file), replace=replace, **{**inherited, **facts})

    def remove(self, key: str) -> StoredObject:
        """Delete the object and return its metadata. Raises ObjectMissing."""
        with self._translate_errors(key), disk.locked(self._lock_name(key)):
            path = self.paths.find(key)
            info = self.describe(key)
            path.unlink()
            delete_records(digest(self.bucket, key))
            self.paths.remove_empty_folders(path)
            return info

    # --- Listing --------------------------------------------------------------------------------------

    def children(self, folder: str = "") -> tuple[list[str], list[str]]:
        """Return the sorted names of the folders and of the objects directly in `folder` (`""` or `a/b/`)."""
        fallback = (
            key.removeprefix(folder).partition("/") for key in self._fallback_keys() if key.startswith(folder)
        )
        found = {key.removeprefix(folder) for key in self._entries(folder)}
        found |= {name + slash for name, slash, _ in fallback}
        folders = sorted(name[:-1] for name in found if name.endswith("/"))
        return folders, sorted(name for name in found if not name.endswith("/"))

    def walk(self, prefix: str = "") -> Iterator[str]:
        """Yield every key that starts with the prefix, sorted by bytes."""
        plain = (key for key in self._plain_keys(prefix[: prefix.rfind("/") + 1]) if key.startswith(prefix))
        return heapq.merge(plain, sorted(key for key in self._fallback_keys() if key.startswith(prefix)))

    def _plain_keys(self, folder: str) -> Iterator[str]:
        pending = [folder]
        while pending:
            key = pending.pop()
            if key and not key.endswith("/"):
                yield key
            else:
                pending += sorted(self._entries(key), reverse=True)

    def _entries(self, folder: str) -> list[str]:
        """Return the keys of the files directly in the folder, and of its non-empty folders, with a slash."""
        example = self.paths.plain(f"{folder}x")
        if example is None:
            return []
        try:
            with self._translate_errors(folder), os.scandir(example.parent) as found:
                legal = (entry for entry in found if keys.is_legal(entry.name))
                entries = [(entry, entry.is_dir(follow_symlinks=False)) for entry in legal]
        except ObjectMissing:
            return []  # folders are created on demand
        return [
            f"{folder}{entry.name}{'/' if is_folder else ''}"
            for entry, is_folder in entries
            if (_has_files(entry.path) if is_folder else entry.is_file())
        ]

    def _fallback_keys(self) -> Iterator[str]:
        try:
            names = os.listdir(self.paths.fallback_folder)
        except FileNotFoundError:
            return
        for name in names:
            for record in read_records(name)[:1]:
                yield record["key"]

    # --- Details --------------------------------------------------------------------------------------

    def _describe_or_none(self, key: str) -> StoredObject | None:
        try:
            return self.describe(key)
        except ObjectMissing:
            return None

    def _exists(self, key: str) -> bool:
        try:
            self.paths.find(key)
        except FileNotFoundError:
            return False
        return True

    def _create(self, file: Path, key: str, record: dict[str, Any]) -> None:
        """Write the record first, then move the file into place: a crash between the two leaves no object."""
        write_records(digest(self.bucket, key), record)
        self.paths.move_into_place(file, key)

    def _replace(self, file: Path, key: str, record: dict[str, Any]) -> None:
        """Keep the record of the old content beside the new one, since a crash may prevent the rename."""
        name = digest(self.bucket, key)
        write_records(name, record, *read_records(name)[:1])
        disk.move_into_place(file, self.paths.find(key))

    def _lock_name(self, key: str) -> str:
        return f"{self.bucket}/{key}"

    @contextmanager
    def _translate_errors(self, key: str) -> Iterator[None]:
        """Raise ObjectMissing for a missing file, and StorageUnavailable for other errors of the disk.

        A missing file is not a missing object if MEDIA_ROOT itself is unusable.
        """
        with translate_os_errors():
            try:
                yield
            except (FileNotFoundError, NotADirectoryError) as error:
                if isinstance(error, StorageError) or disk.is_root_unusable():
                    raise
                raise ObjectMissing(key) from error


def _write_chunks(path: Path, chunks: Iterable[bytes]) -> str:
    """Write the chunks to the temporary file and sync it. Return their MD5.

    Only errors of this disk become StorageUnavailable, not those of the chunks, which may come from another.
    """
    md5 = hashlib.md5(usedforsecurity=False)
    with translate_os_errors():
        file = path.open("ab")
    try:
        with translate_os_errors():
            disk.lock_temporary_file(file)
        for chunk in chunks:
            md5.update(chunk)
            with translate_os_errors():
                file.write(chunk)
        with translate_os_errors():
            file.flush()
            os.fsync(file.fileno())
    finally:
        with suppress(OSError):  # on a full disk it tries to write what is left, and fails again
            file.close()
    return md5.hexdigest()


def _is_same_file(one: os.stat_result, other: os.stat_result) -> bool:
    """Return True if the file was neither replaced nor moved away and back: a rename changes the ctime."""
    return (one.st_ctime_ns, one.st_mtime_ns, one.st_size) == (
        other.st_ctime_ns,
        other.st_mtime_ns,
        other.st_size,
    )


def _has_files(folder: str) -> bool:
    return any(files for _, _, files in os.walk(folder))
