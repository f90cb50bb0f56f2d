"""LocalObjects: the objects of one bucket of the local store, under every key that the protocol allows.

`MEDIA_ROOT/<bucket>/<key>` holds the bytes and nothing else. What a folder cannot express (`a` beside
`a/b`, `a//b`, a name of 300 letters, a bucket called `..`) lies in `MEDIA_ROOT/.objects/odd/`. Any number
of processes may use a bucket at once: writers of one key wait for each other, readers for nobody.
"""

import hashlib
import heapq
import io
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISREG
from typing import Any, BinaryIO

from storage import keys
from storage.base import read_chunks
from storage.errors import ObjectExists, ObjectMissing, StorageError, translate_os_errors
from storage.local import disk
from storage.local import metadata as records
from storage.local.metadata import StoredObject

PLAIN_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", re.ASCII)


class LocalObjects:
    def __init__(self, bucket: str) -> None:
        self.bucket = bucket

    # --- Reading --------------------------------------------------------------------------------------

    def describe(self, key: str) -> StoredObject:
        """Raises ObjectMissing and StorageUnavailable, as all of these do. No object has an illegal key."""
        with self._trouble(key):
            while True:
                if info := self._known(key, self._find(key).stat()):
                    return info

    def open(self, key: str) -> tuple[BinaryIO, StoredObject]:
        """The open file and what is known of these very bytes, whoever moves or deletes them next."""
        with self._trouble(key):
            while True:
                file = io.BufferedReader(disk.ObjectFile(self._find(key)))
                if info := self._known(key, os.fstat(file.fileno())):
                    return file, info
                file.close()

    def _known(self, key: str, stat: os.stat_result) -> StoredObject | None:
        """None when these bytes went before their record was read: it went with them."""
        record = records.find(self.bucket, key, stat)
        if record is None and not _is_same(self._find(key).stat(), stat):
            return None
        return records.stored_object(self.bucket, key, stat, record or records.infer(key, stat))

    def locate(self, key: str) -> Path:
        """The file that has the bytes."""
        with self._trouble(key):
            return self._find(key)

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
        """Create the object, whole or not at all, or with `replace` put it in the place of another.

        Raises InvalidKey, ObjectExists, and whatever reading the chunks raises.
        """
        keys.legal(key)
        with translate_os_errors(), disk.arriving() as temporary:
            digest = hashlib.md5(usedforsecurity=False)
            with temporary.open("ab") as file:
                disk.being_written(file)
                for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            facts = {"content_type": content_type, "cache_control": cache_control, "metadata": metadata or {}}
            return self.adopt(temporary, key, replace=replace, etag=f'"{digest.hexdigest()}"', **facts)

    def adopt(self, file: Path, key: str, *, replace: bool = False, **facts: Any) -> StoredObject:
        """Make the object of a file that is whole, on the same disk, and nobody else's.

        `facts`: etag, content_type, cache_control, metadata. Raises InvalidKey, ObjectExists.
        """
        keys.legal(key)
        with translate_os_errors(), disk.locked(self._name(key)):
            before = self._known_or_none(key)
            if before and not replace:
                raise ObjectExists(key)
            stat = file.stat()
            record = records.new_record(key, stat, before=before, **facts)
            if before:
                self._replace(file, key, record)
            else:
                self._appear(file, key, record)
            return records.stored_object(self.bucket, key, stat, record)

    def move(self, key: str, to: "LocalObjects", new_key: str) -> None:
        """Atomic, across buckets too: of many that move one object, one succeeds.

        Raises InvalidKey for the new key, ObjectExists.
        """
        keys.legal(new_key)
        with self._trouble(key), disk.locked(self._name(key), to._name(new_key)):
            source = self._find(key)
            if to._has(new_key):
                raise ObjectExists(new_key)
            stat = source.stat()
            record = records.find(self.bucket, key, stat) or records.infer(key, stat)
            to._appear(source, new_key, {**record, "key": new_key})
            records.delete(records.digest(self.bucket, key))
            self._prune(source)

    def copy(
        self, key: str, to: "LocalObjects", new_key: str, *, replace: bool = False, **facts: Any
    ) -> StoredObject:
        """`facts` take the place of what the copy would inherit. Raises as `move` does."""
        keys.legal(new_key)
        file, info = self.open(key)
        inherited = {name: getattr(info, name) for name in ("content_type", "cache_control", "metadata")}
        with file:
            return to.write(new_key, read_chunks(file), replace=replace, **{**inherited, **facts})

    def remove(self, key: str) -> StoredObject:
        """What was known of it."""
        with self._trouble(key), disk.locked(self._name(key)):
            path = self._find(key)
            info = self.describe(key)
            path.unlink()
            records.delete(records.digest(self.bucket, key))
            self._prune(path)
            return info

    # --- Listing --------------------------------------------------------------------------------------

    def children(self, inside: str = "") -> tuple[list[str], list[str]]:
        """The names of the folders and of the objects directly inside (`""`, or `a/b/`), sorted."""
        odd = (key.removeprefix(inside).partition("/") for key in self._odd_keys() if key.startswith(inside))
        found = {key.removeprefix(inside) for key in self._entries(inside)}
        found |= {name + slash for name, slash, _ in odd}
        folders = sorted(name[:-1] for name in found if name.endswith("/"))
        return folders, sorted(name for name in found if not name.endswith("/"))

    def walk(self, prefix: str = "") -> Iterator[str]:
        """Every key that begins so, in the order of their bytes."""
        plain = (key for key in self._plain_keys(prefix[: prefix.rfind("/") + 1]) if key.startswith(prefix))
        return heapq.merge(plain, sorted(key for key in self._odd_keys() if key.startswith(prefix)))

    def _plain_keys(self, inside: str) -> Iterator[str]:
        pending = [inside]
        while pending:
            key = pending.pop()
            if key and not key.endswith("/"):
                yield key
            else:
                pending += sorted(self._entries(key), reverse=True)

    def _entries(self, inside: str) -> list[str]:
        """The keys of files directly inside, and those of folders that are not empty, with their slash."""
        folder = self._plain(f"{inside}x")
        if folder is None:
            return []
        try:
            with self._trouble(inside), os.scandir(folder.parent) as found:
                named = (entry for entry in found if keys.is_legal(entry.name))
                entries = [(entry, entry.is_dir(follow_symlinks=False)) for entry in named]
        except ObjectMissing:
            return []  # folders are made on demand
        return [
            f"{inside}{entry.name}{'/' if is_folder else ''}"
            for entry, is_folder in entries
            if (_holds_a_file(entry.path) if is_folder else entry.is_file())
        ]

    def _odd_keys(self) -> Iterator[str]:
        try:
            names = os.listdir(self._odd_folder)
        except FileNotFoundError:
            return
        for name in names:
            for record in records.read(name)[:1]:
                yield record["key"]

    # --- Places ---------------------------------------------------------------------------------------

    @property
    def _odd_folder(self) -> Path:
        return disk.root() / f".objects/odd/{records.digest(self.bucket, '')[:32]}"

    def _odd(self, key: str) -> Path:
        return self._odd_folder / records.digest(self.bucket, key)

    def _plain(self, key: str) -> Path | None:
        """Where the object is to be found by anybody who looks, None where a folder cannot have it."""
        if PLAIN_BUCKET.fullmatch(self.bucket) and keys.is_legal(key) and keys.is_path(key):
            return disk.root() / f"{self.bucket}/{key}"
        return None

    def _find(self, key: str) -> Path:
        """Where the object is."""
        if not keys.is_legal(key):
            raise FileNotFoundError(key)
        for place in (self._plain, self._odd):
            path = place(key)
            if path is not None and _is_file(path):
                return path
        raise FileNotFoundError(key)

    def _known_or_none(self, key: str) -> StoredObject | None:
        try:
            return self.describe(key)
        except ObjectMissing:
            return None

    def _has(self, key: str) -> bool:
        try:
            self._find(key)
        except FileNotFoundError:
            return False
        return True

    def _appear(self, file: Path, key: str, record: dict[str, Any]) -> None:
        """Describe, then show."""
        records.write(records.digest(self.bucket, key), record)
        self._put(file, key)

    def _replace(self, file: Path, key: str, record: dict[str, Any]) -> None:
        """Until the rename, the record of what was there before is kept too."""
        name = records.digest(self.bucket, key)
        records.write(name, record, *records.read(name)[:1])
        disk.appear(file, self._find(key))

    def _put(self, file: Path, key: str) -> None:
        """Into its folder, or where the odd ones are if a folder or a file stands in the way."""
        plain = self._plain(key)
        while plain is not None:
            try:
                plain.parent.mkdir(parents=True, exist_ok=True)
                return disk.appear(file, plain)
            except (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError):
                if plain.is_dir() or any(map(_is_no_folder, plain.parents)):
                    break
                if not file.exists():
                    raise
                # Another key left the folder empty, and took it away.
        self._odd_folder.mkdir(parents=True, exist_ok=True)
        disk.appear(file, self._odd(key))

    def _prune(self, path: Path) -> None:
        """Take away the folders that the object leaves empty."""
        bucket = disk.root() / self.bucket
        for folder in path.parents:
            if folder == bucket or bucket not in folder.parents:
                return
            try:
                folder.rmdir()
            except OSError:
                return

    def _name(self, key: str) -> str:
        return f"{self.bucket}/{key}"

    @contextmanager
    def _trouble(self, key: str) -> Iterator[None]:
        """The throat: what is not there is an absent object, unless the disk itself is not there."""
        with translate_os_errors():
            try:
                yield
            except (FileNotFoundError, NotADirectoryError) as error:
                if isinstance(error, StorageError) or disk.is_lost():
                    raise
                raise ObjectMissing(key) from error


def _is_file(path: Path) -> bool:
    try:
        return S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _is_same(one: os.stat_result, other: os.stat_result) -> bool:
    """Neither replaced nor moved, there and back again: a rename moves the ctime."""
    return (one.st_ctime_ns, one.st_mtime_ns, one.st_size) == (
        other.st_ctime_ns,
        other.st_mtime_ns,
        other.st_size,
    )


def _is_no_folder(path: Path) -> bool:
    return path.is_file() or (path.is_symlink() and not path.is_dir())


def _holds_a_file(folder: str) -> bool:
    return any(files for _, _, files in os.walk(folder))
