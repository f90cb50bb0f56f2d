"""LocalStorage: buckets in a folder, for development, tests and small sites.

`MEDIA_ROOT/<bucket>/<key>` holds the bytes and nothing else. What is known about them stands in
`MEDIA_ROOT/.objects/`, one small file an object, which says which bytes it is about (by size and
modification time), and is written before they appear under their key: after a crash at any instant
the bytes that are there have the right description, and one without bytes means nothing.
"""

import hashlib
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
    StorageUnavailable,
    pieces_of,
)

ABANDONED = 60  # seconds: between making a temporary and locking it there are a few microseconds
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
        with self._path(key) as path, self._arriving() as temporary:
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
        with self._path(key) as source, to._path(new_key) as target, self._locked(key, (to, new_key)):
            record = self._record(key, source.stat())
            if target.exists():
                raise ObjectExists(new_key)
            to._appear(source, target, new_key, record)
            self._record_path(key).unlink(missing_ok=True)
            self._prune(source)

    def copy(self, key: str, to: SignedStorage, new_key: str) -> None:
        info = self.describe(key)
        to.put(
            new_key,
            pieces_of(self.read(key)),
            content_type=info.content_type,
            cache_control=info.cache_control,
        )

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        inside = path.strip("/")
        if not inside and not self.folder.exists():
            return [], []  # made on demand
        with _ours(path), os.scandir(self.folder / (keys.check(inside) if inside else "")) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        folders = [entry.name for entry in entries if entry.is_dir()]
        return folders, [entry.name for entry in entries if not entry.is_dir()]

    def check_ready(self) -> None:
        place = Path(settings.MEDIA_ROOT)
        while not place.exists():  # it is made on demand: what must be there is where to make it
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
            file = path.open("rb")
            return file, self._info(key, os.fstat(file.fileno()))

    def _upload_token(self, key: str, seconds: int) -> str:
        return tokens.mint("upload", self.bucket, key, seconds)

    def _download_tokens(self, keys: Sequence[str], seconds: int) -> dict[str, str]:
        return {key: tokens.mint("download", self.bucket, key, seconds) for key in keys}

    # --- Paths --------------------------------------------------------------------------------------

    @contextmanager
    def _path(self, key: str) -> Iterator[Path]:
        """The throat: a checked key becomes a path, and the trouble of disks becomes ours."""
        path = self.folder / keys.check(key)
        with _ours(key):
            if path.is_dir():
                raise ObjectMissing(key)
            yield path

    @property
    def _own(self) -> Path:
        return Path(settings.MEDIA_ROOT) / ".objects"

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
            described.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(described)
        while True:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                return os.replace(file, path)
            except FileNotFoundError:  # another key left the folder empty, and took it away
                if not file.exists():
                    raise

    # --- Temporaries and locks ------------------------------------------------------------------------

    @contextmanager
    def _arriving(self) -> Iterator[Path]:
        """A file that nobody serves, on the same disk; whatever is left of it is taken away."""
        folder = self._own / "arriving"
        folder.mkdir(parents=True, exist_ok=True)
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
        folder = self._own / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        digests = [self._digest(key), *(store._digest(other) for store, other in others)]
        with ExitStack() as held:
            for number in sorted({int(digest[:8], 16) % LOCKS for digest in digests}):
                lock: IO[bytes] = held.enter_context((folder / f"{number:02x}").open("ab"))
                locks.lock(lock, locks.LOCK_EX)
            yield


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


def _fingerprint(stat: os.stat_result) -> dict[str, int]:
    """Tells these bytes from those that were under the same key before."""
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


@contextmanager
def _ours(key: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise error if isinstance(error, ObjectMissing) else ObjectMissing(key) from error
    except FileExistsError as error:
        raise error if isinstance(error, ObjectExists) else ObjectExists(key) from error
    except OSError as error:
        raise StorageUnavailable(f"{type(error).__name__}: {error.strerror}") from error
