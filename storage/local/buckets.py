"""The buckets of the local store: those that the project declares, and those that clients have created.

`MEDIA_ROOT/.objects/buckets/` has a JSON file for each bucket that a client has created, changed or deleted.
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
    """There is no bucket with this name."""


class BucketExists(StorageError):
    """There is already a bucket with this name."""


class BucketNotEmpty(StorageError):
    """The bucket still has objects."""


@dataclass(frozen=True, slots=True)
class LocalBucket(Bucket):
    """Times are aware. They are EPOCH for a declared bucket that no client has changed."""

    created_at: datetime = EPOCH
    updated_at: datetime = EPOCH

    @classmethod
    def of(cls, bucket: Bucket, created_at: datetime = EPOCH) -> Self:
        limits = bucket.file_size_limit, bucket.allowed_mime_types
        return cls(bucket.name, bucket.public, *limits, created_at=created_at, updated_at=created_at)

    @property
    def objects(self) -> LocalObjects:
        return LocalObjects(self.name)


def get(name: str) -> LocalBucket:
    """Return the bucket. Raises BucketMissing."""
    with translate_os_errors():
        try:
            found = _read(_path(name))
        except FileNotFoundError:
            bucket = buckets.declared_bucket(name)
            found = None if bucket is None else LocalBucket.of(bucket)
    if found is None:
        raise BucketMissing(name)
    return found


def list_buckets() -> list[LocalBucket]:
    """Return all buckets, sorted by name."""
    found: dict[str, LocalBucket | None] = {
        name: LocalBucket.of(bucket) for name, bucket in buckets.declared().items()
    }
    with translate_os_errors():
        for path in _folder().glob("*.json"):
            found[json.loads(path.read_bytes())["name"]] = _read(path)
    return sorted((bucket for bucket in found.values() if bucket), key=lambda bucket: bucket.name)


def create(bucket: Bucket) -> None:
    """Raises BucketExists."""
    with _locked(bucket.name):
        try:
            get(bucket.name)
        except BucketMissing:
            _write(LocalBucket.of(bucket, created_at=datetime.now(UTC)))
        else:
            raise BucketExists(bucket.name)


def update(name: str, **changes: Any) -> None:
    """Raises BucketMissing."""
    with _locked(name):
        _write(replace(get(name), **changes, updated_at=datetime.now(UTC)))


def delete(name: str) -> None:
    """Raises BucketMissing, BucketNotEmpty."""
    with _locked(name):
        bucket = get(name)
        if next(bucket.objects.walk(), None) is not None:
            raise BucketNotEmpty(name)
        _write(bucket, deleted=True)
        bucket.objects.paths.remove_folders()


def empty(name: str) -> None:
    """Delete every object of the bucket. Raises BucketMissing."""
    objects = get(name).objects
    for key in objects.walk():
        with suppress(ObjectMissing):
            objects.remove(key)


def _folder() -> Path:
    return disk.root() / ".objects" / "buckets"


def _path(name: str) -> Path:
    return _folder() / f"{metadata.digest(name, '')}.json"


@contextmanager
def _locked(name: str) -> Iterator[None]:
    with translate_os_errors(), disk.locked(f"bucket {name}"):
        yield


def _read(path: Path) -> LocalBucket | None:
    """Return the bucket of this file, None if it was deleted: a declared bucket must not reappear then."""
    values = json.loads(path.read_bytes())
    if values.pop("deleted"):
        return None
    times = {name: datetime.fromisoformat(values[name]) for name in ("created_at", "updated_at")}
    types = values["allowed_mime_types"]
    return LocalBucket(**{**values, **times, "allowed_mime_types": None if types is None else tuple(types)})


def _write(bucket: LocalBucket, *, deleted: bool = False) -> None:
    values = {**asdict(bucket), "deleted": deleted}
    disk.write(_path(bucket.name), json.dumps(values, default=datetime.isoformat))
