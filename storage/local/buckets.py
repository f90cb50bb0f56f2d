"""The buckets of the local store: those that the project declares, as clients have changed them since,
and those that clients made. `MEDIA_ROOT/.objects/buckets/` has a small file for each of both.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from storage import buckets
from storage.buckets import Bucket
from storage.errors import ObjectMissing, StorageError, translate_os_errors
from storage.local import disk, metadata
from storage.local.objects import LocalObjects

EPOCH = datetime.fromtimestamp(0, UTC)


class BucketMissing(StorageError):
    """There is no such bucket."""


class BucketExists(StorageError):
    """There is one of this name."""


class BucketNotEmpty(StorageError):
    """It has objects still."""


@dataclass(frozen=True, slots=True)
class LocalBucket(Bucket):
    """Times are aware; a bucket that nobody made or changed has always been there."""

    created_at: datetime = EPOCH
    updated_at: datetime = EPOCH

    @classmethod
    def of(cls, bucket: Bucket, since: datetime = EPOCH) -> Self:
        limits = bucket.file_size_limit, bucket.allowed_mime_types
        return cls(bucket.name, bucket.public, *limits, created_at=since, updated_at=since)

    @property
    def objects(self) -> LocalObjects:
        return LocalObjects(self.name)


def find(name: str) -> LocalBucket:
    """Raises BucketMissing."""
    with translate_os_errors():
        try:
            found = _read(_path(name))
        except FileNotFoundError:
            declared = buckets.find(name)
            found = None if declared is None else LocalBucket.of(declared)
    if found is None:
        raise BucketMissing(name)
    return found


def everything() -> list[LocalBucket]:
    """In the order of their names."""
    known: dict[str, LocalBucket | None] = {
        name: LocalBucket.of(bucket) for name, bucket in buckets.declared().items()
    }
    with translate_os_errors():
        for path in _folder().glob("*.json"):
            known[json.loads(path.read_bytes())["name"]] = _read(path)
    return sorted((bucket for bucket in known.values() if bucket), key=lambda bucket: bucket.name)


def create(bucket: Bucket) -> None:
    """Raises BucketExists."""
    with _held(bucket.name):
        try:
            find(bucket.name)
        except BucketMissing:
            _write(LocalBucket.of(bucket, since=datetime.now(UTC)))
        else:
            raise BucketExists(bucket.name)


def update(name: str, **changes: Any) -> None:
    """Raises BucketMissing."""
    with _held(name):
        _write(replace(find(name), **changes, updated_at=datetime.now(UTC)))


def delete(name: str) -> None:
    """Raises BucketMissing, BucketNotEmpty."""
    with _held(name):
        bucket = find(name)
        if next(bucket.objects.walk(), None) is not None:
            raise BucketNotEmpty(name)
        _write(bucket, deleted=True)


def empty(name: str) -> None:
    """Remove every object. Raises BucketMissing."""
    objects = find(name).objects
    for key in objects.walk():
        with suppress(ObjectMissing):
            objects.remove(key)


def _folder() -> Path:
    return disk.root() / ".objects" / "buckets"


def _path(name: str) -> Path:
    return _folder() / f"{metadata.digest(name, '')}.json"


@contextmanager
def _held(name: str) -> Iterator[None]:
    with translate_os_errors(), disk.locked(f"bucket {name}"):
        yield


def _read(path: Path) -> LocalBucket | None:
    """None for one that was deleted, so that a declared one does not come back by itself."""
    known = json.loads(path.read_bytes())
    if known.pop("deleted"):
        return None
    times = {name: datetime.fromisoformat(known[name]) for name in ("created_at", "updated_at")}
    types = known["allowed_mime_types"]
    return LocalBucket(**{**known, **times, "allowed_mime_types": None if types is None else tuple(types)})


def _write(bucket: LocalBucket, *, deleted: bool = False) -> None:
    known = {**asdict(bucket), "deleted": deleted}
    disk.write(_path(bucket.name), json.dumps(known, default=datetime.isoformat))
