"""The metadata of the local store's objects: one JSON file for each key, in `MEDIA_ROOT/.objects/records/`.

The file has a list of records. A record belongs to the file content with the size and modification time that
it states, and is written before that content appears under its key. So after a crash at any time, the content
on disk has the right record; a record without content has no effect.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from storage import content_types
from storage.base import ObjectInfo
from storage.local import disk


@dataclass(frozen=True, slots=True)
class StoredObject(ObjectInfo):
    """An ObjectInfo with the other facts that the Storage protocol reports.

    `id` stays the same when the object is moved or replaced; `version` changes when it is replaced.
    """

    id: str
    version: str
    metadata: dict[str, Any]  # the user's own metadata


def digest(bucket: str, key: str) -> str:
    """Return a file name for any key. It is unambiguous, since a bucket's name has no slash."""
    return hashlib.sha256(f"{bucket}/{key}".encode(errors="surrogatepass")).hexdigest()


def path_of(name: str) -> Path:
    return disk.root() / f".objects/records/{name[:2]}/{name}.json"


def read_records(name: str) -> list[dict[str, Any]]:
    """Return the records in the file `name` (see `digest`), the latest first.

    While an object is being replaced, the record of the old content follows that of the new.
    """
    try:
        records = json.loads(path_of(name).read_bytes())
    except (FileNotFoundError, ValueError):
        return []
    return [record for record in records if isinstance(record, dict)] if isinstance(records, list) else []


def write_records(name: str, *records: dict[str, Any]) -> None:
    disk.write(path_of(name), json.dumps(records))


def delete_records(name: str) -> None:
    path_of(name).unlink(missing_ok=True)


def new_record(
    key: str, stat: os.stat_result, *, before: StoredObject | None, **facts: Any
) -> dict[str, Any]:
    """Return a record of new content. It keeps `id` and `created_at` of `before`, the replaced object."""
    return {
        "key": key,
        **size_and_mtime(stat),
        "id": before.id if before else str(uuid4()),
        "version": str(uuid4()),
        "created_at": (before.created_at if before else _modified_at(stat)).isoformat(),
        **facts,
    }


def find_record(bucket: str, key: str, stat: os.stat_result) -> dict[str, Any] | None:
    """Return the record of the file content with this stat result, None if the store did not write it."""
    expected = size_and_mtime(stat)
    records = read_records(digest(bucket, key))
    return next((record for record in records if expected.items() <= record.items()), None)


def infer_record(key: str, stat: os.stat_result) -> dict[str, Any]:
    """Return a record for a file without one, made from its key and stat result."""
    return {
        **size_and_mtime(stat),
        "content_type": content_types.guess(key),
        "cache_control": "no-cache",
        "etag": f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"',
    }


def stored_object(bucket: str, key: str, stat: os.stat_result, record: dict[str, Any]) -> StoredObject:
    """Return the StoredObject of a record. Values that an inferred record lacks are derived from the key."""
    modified = _modified_at(stat)
    created = record.get("created_at")
    return StoredObject(
        key=key,
        size=stat.st_size,
        content_type=record["content_type"],
        cache_control=record["cache_control"],
        etag=record["etag"],
        created_at=datetime.fromisoformat(created) if created else modified,
        last_modified=modified,
        id=record.get("id") or str(uuid5(NAMESPACE_URL, f"{bucket}/{key}")),
        version=record.get("version") or str(uuid5(NAMESPACE_URL, f"{bucket}/{key} {stat.st_mtime_ns}")),
        metadata=record.get("metadata") or {},
    )


def _modified_at(stat: os.stat_result) -> datetime:
    return datetime.fromtimestamp(stat.st_mtime, UTC)


def size_and_mtime(stat: os.stat_result) -> dict[str, int]:
    """Return what distinguishes the content of a file from earlier content under the same key."""
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
