"""What is known of the bytes of an object in the local store: one small file for each key.

`MEDIA_ROOT/.objects/records/` says which bytes a record is about (by size and modification time), and
is written before they appear under their key. After a crash at any instant the bytes that are there
have the right record, and a record without bytes means nothing.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from storage import keys
from storage.base import ObjectInfo
from storage.local import disk


@dataclass(frozen=True, slots=True)
class StoredObject(ObjectInfo):
    """What the Storage protocol tells beside: `id` stays with the object, `version` is of these bytes."""

    id: str
    version: str
    metadata: dict[str, Any]  # the user's own


def digest(bucket: str, key: str) -> str:
    """A plain name for what has none; a bucket has no slash, so no two are the same."""
    return hashlib.sha256(f"{bucket}/{key}".encode(errors="surrogatepass")).hexdigest()


def path_of(name: str) -> Path:
    return disk.root() / f".objects/records/{name[:2]}/{name}.json"


def read(name: str) -> list[dict[str, Any]]:
    """The latest first; before it, for as long as a change takes, that of the bytes it replaces."""
    try:
        records = json.loads(path_of(name).read_bytes())
    except (FileNotFoundError, ValueError):
        return []
    return [record for record in records if isinstance(record, dict)] if isinstance(records, list) else []


def write(name: str, *records: dict[str, Any]) -> None:
    disk.write(path_of(name), json.dumps(records))


def delete(name: str) -> None:
    path_of(name).unlink(missing_ok=True)


def new_record(
    key: str, stat: os.stat_result, *, before: StoredObject | None, **facts: Any
) -> dict[str, Any]:
    """The record of bytes that are about to appear; what they replace lends its id and its first day."""
    return {
        "key": key,
        **fingerprint(stat),
        "id": before.id if before else str(uuid4()),
        "version": str(uuid4()),
        "created_at": (before.created_at if before else _moment(stat)).isoformat(),
        **facts,
    }


def find(bucket: str, key: str, stat: os.stat_result) -> dict[str, Any] | None:
    """The record of these bytes. None for a file that somebody put there by hand."""
    these = fingerprint(stat)
    return next((each for each in read(digest(bucket, key)) if these.items() <= each.items()), None)


def infer(key: str, stat: os.stat_result) -> dict[str, Any]:
    """What can be told of a file without a record."""
    return {
        **fingerprint(stat),
        "content_type": keys.content_type(key),
        "cache_control": "no-cache",
        "etag": f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"',
    }


def stored_object(bucket: str, key: str, stat: os.stat_result, record: dict[str, Any]) -> StoredObject:
    modified = _moment(stat)
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


def _moment(stat: os.stat_result) -> datetime:
    return datetime.fromtimestamp(stat.st_mtime, UTC)


def fingerprint(stat: os.stat_result) -> dict[str, int]:
    """Tells these bytes from those that were under the same key before."""
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
