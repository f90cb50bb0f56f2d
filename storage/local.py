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
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, BinaryIO

from django.conf import settings
from django.core.files import locks
from django.utils.deconstruct import deconstructible

from storage import keys, tokens
from storage.base import (
    ObjectExists,
    ObjectInfo,
    ObjectMissing,
    SignedStorage,
    StorageError,
    StorageUnavailable,
    pieces_of,
)

ABANDONED = 60  # seconds: between making a temporary and locking it there are a few microseconds
IN_THE_WAY = "A file cannot have the name of a folder, nor a folder that of a file"
LOCKS = 256  # files; two objects may share one, which only makes their writers wait for each other


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
        with self._path(key, to_write=True) as path, self._arriving() as temporary:
            digest = hashlib.md5(usedforsecurity=False)
            with temporary.open("ab") as file:
                locks.lock(file, locks.LOCK_EX)  # so that `_sweep` sees that somebody is writing
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
            with self._locked(key):
                if path.exists() and not replace:
                    raise ObjectExists(key)
                self._appear(temporary, path, key, record)
                return self._info(key, stat)

    def move(self, key: str, to: SignedStorage, new_key: str) -> None:
        assert isinstance(to, LocalStorage)
        place = to._path(new_key, to_write=True)
        with place as target, self._path(key) as source, self._locked(key, (to, new_key)):
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
        place = Path(settings.MEDIA_ROOT)
        while not os.path.lexists(place):  # it is made on demand: what must be there is where to make it
            place = place.parent
        if not (place.is_dir() and os.access(place, os.R_OK | os.W_OK | os.X_OK)):
            raise StorageUnavailable("MEDIA_ROOT cannot be read and written")

    @property
    def folder(self) -> Path:
        return Path(settings.MEDIA_ROOT) / self.bucket

    def _remove(self, key: str) -> None:
        with self._path(key) as path, self._locked(key):
            path.unlink()
            self._record_path(key).unlink(missing_ok=True)
            self._prune(path)

    def read(self, key: str) -> BinaryIO:
        return self.open_described(key)[0]

    def open_described(self, key: str) -> tuple[BinaryIO, ObjectInfo]:
        """The open file and what is known of these very bytes, whoever moves or deletes them next."""
        with self._path(key) as path:
            file = io.BufferedReader(ObjectFile(path))
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
        with _trouble() if to_write else _ours(key):
            if path.is_dir():
                raise keys.InvalidKey(IN_THE_WAY) if to_write else ObjectMissing(key)
            yield path

    @property
    def _own(self) -> Path:
        return Path(settings.MEDIA_ROOT) / ".objects"

    def _folder(self, name: str) -> Path:
        """A folder of the store's own, made on demand. It holds no object, so it cannot lack one."""
        folder = self._own / name
        with _trouble():
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _digest(self, key: str) -> str:
        return hashlib.sha256(f"{self.bucket}/{key}".encode()).hexdigest()

    def _record_path(self, key: str) -> Path:
        digest = self._digest(key)
        return self._own / "records" / digest[:2] / f"{digest}.json"

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
        with self._arriving() as temporary:
            temporary.write_text(json.dumps([record, *before]))
            self._folder(f"records/{described.parent.name}")
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

    # --- Temporaries and locks ------------------------------------------------------------------------

    @contextmanager
    def _arriving(self) -> Iterator[Path]:
        """A file that nobody serves, on the same disk; whatever is left of it is taken away."""
        folder = self._folder("arriving")
        _sweep(folder)
        path = folder / secrets.token_hex(16)
        path.touch()
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    @contextmanager
    def _locked(self, key: str, *others: tuple["LocalStorage", str]) -> Iterator[None]:
        """Hold these objects against the writers of all processes; the system lets go after a crash."""
        folder = self._folder("locks")
        digests = [self._digest(key), *(store._digest(other) for store, other in others)]
        with ExitStack() as held:
            for number in sorted({int(digest[:8], 16) % LOCKS for digest in digests}):
                lock: IO[bytes] = held.enter_context((folder / f"{number:02x}").open("ab"))
                locks.lock(lock, locks.LOCK_EX)
            yield


class ObjectFile(io.FileIO):
    """An object on its way out: trouble of the disk in the middle of it is trouble of the store."""

    def readinto(self, buffer: Any) -> int | None:
        with _trouble():
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with _trouble():
            return super().readall()


def _sweep(folder: Path) -> None:
    """Take away what processes that were killed in the middle of a write have left."""
    for entry in os.scandir(folder):
        try:
            if time.time() - entry.stat().st_mtime > ABANDONED:
                with open(entry.path, "ab") as file:
                    if locks.lock(file, locks.LOCK_EX | locks.LOCK_NB):
                        os.unlink(entry.path)
        except OSError:  # its writer, or another sweeper, was faster
            continue


def _no_folder(path: Path) -> bool:
    return path.is_file() or (path.is_symlink() and not path.is_dir())


def _fingerprint(stat: os.stat_result) -> dict[str, int]:
    """Tells these bytes from those that were under the same key before."""
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


@contextmanager
def _ours(key: str) -> Iterator[None]:
    """What is not there is an absent object, unless the disk itself is not there."""
    with _trouble():
        try:
            yield
        except (FileNotFoundError, NotADirectoryError) as error:
            disk = settings.MEDIA_ROOT
            if isinstance(error, StorageError) or (os.path.lexists(disk) and not os.path.isdir(disk)):
                raise
            raise ObjectMissing(key) from error


@contextmanager
def _trouble() -> Iterator[None]:
    try:
        yield
    except StorageError:  # some are OSErrors too
        raise
    except OSError as error:
        raise StorageUnavailable(f"{type(error).__name__}: {error.strerror}") from error
