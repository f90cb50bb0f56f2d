"""The JSON of objects and buckets, as the real server represents them."""

from datetime import UTC, datetime
from typing import Any

from storage.local.buckets import LocalBucket
from storage.local.metadata import StoredObject

#: The empty values of a folder in a list. Folders are not stored: a folder exists while it has objects.
FOLDER_VALUES: dict[str, None] = dict.fromkeys(
    ("id", "updated_at", "created_at", "last_accessed_at", "metadata")
)


def timestamp(time: datetime) -> str:
    """Return the time in the format of JavaScript: `2026-11-21T01:39:35.093Z`."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def bucket_json(bucket: LocalBucket) -> dict[str, Any]:
    return {
        "id": bucket.name,
        "name": bucket.name,
        "owner": "",
        "public": bucket.public,
        "file_size_limit": bucket.file_size_limit,
        "allowed_mime_types": bucket.allowed_mime_types,
        "created_at": timestamp(bucket.created_at),
        "updated_at": timestamp(bucket.updated_at),
    }


def times_json(info: StoredObject) -> dict[str, str]:
    return {
        "updated_at": timestamp(info.last_modified),
        "created_at": timestamp(info.created_at),
        "last_accessed_at": timestamp(info.last_modified),
    }


def metadata_json(info: StoredObject) -> dict[str, Any]:
    """Return the metadata that the server determined. The user's own is `user_metadata`."""
    return {
        "eTag": info.etag,
        "size": info.size,
        "mimetype": info.content_type,
        "cacheControl": info.cache_control,
        "lastModified": timestamp(info.last_modified),
        "contentLength": info.size,
        "httpStatusCode": 200,
    }


def object_json(bucket: str, info: StoredObject) -> dict[str, Any]:
    return {
        "name": info.key,
        "bucket_id": bucket,
        "owner": "",
        "owner_id": "",
        "version": info.version,
        "id": info.id,
        **times_json(info),
        "metadata": metadata_json(info),
        "user_metadata": info.metadata,
    }


def info_json(bucket: str, info: StoredObject) -> dict[str, Any]:
    """Return the JSON of the `object/info` routes, which use other names."""
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
        "last_modified": timestamp(info.last_modified),
        "created_at": timestamp(info.created_at),
    }
