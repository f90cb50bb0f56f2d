"""Objects and buckets as JSON: the shapes in which the real server shows the rows of its tables."""

from datetime import UTC, datetime
from typing import Any

from storage.local.buckets import LocalBucket
from storage.local.metadata import StoredObject

#: What lists say of a folder, which is not a row: it is there as long as something is in it.
NO_ROW: dict[str, None] = dict.fromkeys(("id", "updated_at", "created_at", "last_accessed_at", "metadata"))


def moment(time: datetime) -> str:
    """As JavaScript writes it: `2026-11-21T01:39:35.093Z`."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def bucket_row(bucket: LocalBucket) -> dict[str, Any]:
    return {
        "id": bucket.name,
        "name": bucket.name,
        "owner": "",
        "public": bucket.public,
        "file_size_limit": bucket.file_size_limit,
        "allowed_mime_types": bucket.allowed_mime_types,
        "created_at": moment(bucket.created_at),
        "updated_at": moment(bucket.updated_at),
    }


def times(info: StoredObject) -> dict[str, str]:
    return {
        "updated_at": moment(info.last_modified),
        "created_at": moment(info.created_at),
        "last_accessed_at": moment(info.last_modified),
    }


def metadata(info: StoredObject) -> dict[str, Any]:
    """What the server found; `user_metadata` is what the user said."""
    return {
        "eTag": info.etag,
        "size": info.size,
        "mimetype": info.content_type,
        "cacheControl": info.cache_control,
        "lastModified": moment(info.last_modified),
        "contentLength": info.size,
        "httpStatusCode": 200,
    }


def object_row(bucket: str, info: StoredObject) -> dict[str, Any]:
    return {
        "name": info.key,
        "bucket_id": bucket,
        "owner": "",
        "owner_id": "",
        "version": info.version,
        "id": info.id,
        **times(info),
        "metadata": metadata(info),
        "user_metadata": info.metadata,
    }


def info_row(bucket: str, info: StoredObject) -> dict[str, Any]:
    """What `info` says, in its own words."""
    return {
        "id": info.id,
        "name": info.key,
        "version": info.version,
        "bucket_id": bucket,
        "size": info.size,
        "content_type": info.content_type,
        "cache_control": info.cache_control,
        "etag": info.etag,
        "metadata": info.metadata,
        "last_modified": moment(info.last_modified),
        "created_at": moment(info.created_at),
    }
