"""LocalStorage: buckets in a folder, for development, tests and small sites.

`MEDIA_ROOT/<bucket>/<key>` holds the bytes and nothing else. What is known about them stands in
`MEDIA_ROOT/.objects/`, one small file an object, which says which bytes it is about (by size and
modification time), and is written before they appear under their key: after a crash at any instant
the bytes that are there have the right description, and one without bytes means nothing.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from django.utils.deconstruct import deconstructible

from storage import disk, keys, tokens
from storage.base import (
    ObjectExists,
    ObjectInfo,
    ObjectMissing,
    SignedStorage,
    StorageError,
    StorageUnavailable,
    pieces_of,
)

IN_THE_WAY = "A file cannot have the name of a folder, nor a folder that of a file"


@deconstructible
class LocalStorage(SignedStorage):
    """A bucket as a folder. Any number of processes may use it at once."""

    def describe(self, key: str) -> ObjectInfo:
        with self._path(key) as path:
            return self._info(key, path.stat())

    def put(self, key: str, pieces: Iterable[bytes], *, content_type: str, cache_control: str) -> ObjectInfo:
        return self.write(key, pieces, content_type=content_type, cache_control=cache_control)

    def write(
        self,
        key: str,
        pieces: Iterable[bytes],
        *,
        content_type: str,
        cache_control: str,
        replace: bool = False,
    ) -> ObjectInfo:
        """`put`, and what the Storage protocol calls an upsert when `replace` is true."""
        with self._path(key, to_write=True) as path, disk.arriving() as temporary:
            digest = hashlib.md5(usedforsecurity=False)
            with temporary.open("ab") as file:
                disk.being_written(file)
                for piece in pieces:
                    digest.update(piece)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            stat = temporary.stat()
            record = {
                **_fingerprint(stat),
                "content_type": content_type,
                "cache_control": cache_control,
                "etag": f'"{digest.hexdigest()}"',
                "created_at": datetime.now(UTC).isoformat(),
            }
            with disk.locked(self._name(key)):
                if path.exists() and not replace:
                    raise ObjectExists(key)
                self._appear(temporary, path, key, record)
                return self._info(key, stat)

    def move(self, key: str, to: SignedStorage, new_key: str) -> None:
        assert isinstance(to, LocalStorage)
        place = to._path(new_key, to_write=True)
        with place as target, self._path(key) as source, disk.locked(self._name(key), to._name(new_key)):
            record = self._record(key, source.stat())
            if target.exists():
                raise ObjectExists(new_key)
            to._appear(source, target, new_key, record)
            self._record_path(key).unlink(missing_ok=True)
            self._prune(source)

    def copy(self, key: str, to: SignedStorage, new_key: str) -> None:
        file, info = self.open_described(key)
        with file:
            to.put(new_key, pieces_of(file), content_type=info.content_type, cache_control=info.cache_control)

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        inside = path.strip("/")
        folder = self.folder / keys.check(inside) if inside else self.folder
        try:
            with _ours(path), os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except ObjectMissing:
            if inside:
                raise
            return [], []  # made on demand
        folders = [entry.name for entry in entries if entry.is_dir()]
        return folders, [entry.name for entry in entries if not entry.is_dir()]

    def check_ready(self) -> None:
        place = disk.root()
        while not os.path.lexists(place):  # it is made on demand: what must be there is where to make it
            place = place.parent
        if not (place.is_dir() and os.access(place, os.R_OK | os.W_OK | os.X_OK)):
            raise StorageUnavailable("MEDIA_ROOT cannot be read and written")

    @property
    def folder(self) -> Path:
        return disk.root() / self.bucket

    def _remove(self, key: str) -> None:
        with self._path(key) as path, disk.locked(self._name(key)):
            path.unlink()
            self._record_path(key).unlink(missing_ok=True)
            self._prune(path)

    def read(self, key: str) -> BinaryIO:
        return self.open_described(key)[0]

    def open_described(self, key: str) -> tuple[BinaryIO, ObjectInfo]:
        """The open file and what is known of these very bytes, whoever moves or deletes them next."""
        with self._path(key) as path:
            file = io.BufferedReader(disk.ObjectFile(path))
            return file, self._info(key, os.fstat(file.fileno()))

    def _upload_token(self, key: str, seconds: int) -> str:
        return tokens.mint("upload", self.bucket, key, seconds)

    def _download_tokens(self, keys: Sequence[str], seconds: int) -> dict[str, str]:
        return {key: tokens.mint("download", self.bucket, key, seconds) for key in keys}

    # --- Paths --------------------------------------------------------------------------------------

    @contextmanager
    def _path(self, key: str, *, to_write: bool = False) -> Iterator[Path]:
        """The throat: a checked key becomes a path, and the trouble of disks becomes ours."""
        path = self.folder / keys.check(key)
        with disk.trouble() if to_write else _ours(key):
            if path.is_dir():
                raise keys.InvalidKey(IN_THE_WAY) if to_write else ObjectMissing(key)
            yield path

    def _name(self, key: str) -> str:
        return f"{self.bucket}/{key}"

    def _record_path(self, key: str) -> Path:
        digest = hashlib.sha256(self._name(key).encode()).hexdigest()
        return disk.root() / ".objects" / "records" / digest[:2] / f"{digest}.json"

    def _prune(self, path: Path) -> None:
        """Take away the folders that the object leaves empty."""
        for folder in path.parents:
            if folder == self.folder:
                return
            try:
                folder.rmdir()
            except OSError:
                return

    # --- Records ------------------------------------------------------------------------------------

    def _info(self, key: str, stat: os.stat_result) -> ObjectInfo:
        record = self._record(key, stat)
        modified = datetime.fromtimestamp(stat.st_mtime, UTC)
        created = record.get("created_at")
        return ObjectInfo(
            key=key,
            size=stat.st_size,
            content_type=record["content_type"],
            cache_control=record["cache_control"],
            etag=record["etag"],
            created_at=datetime.fromisoformat(created) if created else modified,
            last_modified=modified,
        )

    def _record(self, key: str, stat: os.stat_result) -> dict[str, Any]:
        """What is known of these bytes; of a file that somebody put there by hand, what can be told."""
        fingerprint = _fingerprint(stat)
        for record in self._records(key):
            if fingerprint.items() <= record.items():
                return record
        return {
            **fingerprint,
            "content_type": keys.content_type(key),
            "cache_control": "no-cache",
            "etag": f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"',
        }

    def _records(self, key: str) -> list[dict[str, Any]]:
        try:
            return json.loads(self._record_path(key).read_bytes())
        except (FileNotFoundError, ValueError):
            return []

    def _appear(self, file: Path, path: Path, key: str, record: dict[str, Any]) -> None:
        """Describe, then show: until the rename, the description of what was there before is kept too."""
        described = self._record_path(key)
        before = self._records(key)[:1] if path.exists() else []
        with disk.arriving() as temporary:
            temporary.write_text(json.dumps([record, *before]))
            disk.own(f"records/{described.parent.name}")
            temporary.replace(described)
        while True:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                return os.replace(file, path)
            except (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
                if path.is_dir() or any(map(_no_folder, path.parents)):
                    raise keys.InvalidKey(IN_THE_WAY) from error
                if not file.exists():
                    raise
                # Another key left the folder empty, and took it away.


def _no_folder(path: Path) -> bool:
    return path.is_file() or (path.is_symlink() and not path.is_dir())


def _fingerprint(stat: os.stat_result) -> dict[str, int]:
    """Tells these bytes from those that were under the same key before."""
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


@contextmanager
def _ours(key: str) -> Iterator[None]:
    """What is not there is an absent object, unless the disk itself is not there."""
    with disk.trouble():
        try:
            yield
        except (FileNotFoundError, NotADirectoryError) as error:
            if isinstance(error, StorageError) or disk.is_lost():
                raise
            raise ObjectMissing(key) from error
