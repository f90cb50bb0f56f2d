"""Handlers that create, show, update, empty and delete buckets. They require the service key."""

import re
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse

from storage.buckets import Bucket
from storage.local import buckets
from storage.local.server.auth import has_service_key, require_service_key
from storage.local.server.errors import ProtocolError
from storage.local.server.params import Params, json_body, query_params
from storage.local.server.representations import bucket_json

#: No slash, no space at either end, and no reserved suffix. Source: Storage's `isValidBucketName`.
BUCKET_NAME = re.compile(r"(?! )(?!.*--table-s3$)[A-Za-z0-9_!.*'()&$@=;:+,? -]{1,100}(?<! )", re.ASCII)
SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)(gb|mb|kb|b)", re.IGNORECASE | re.ASCII)
UNITS = {"gb": 10**9, "mb": 10**6, "kb": 10**3, "b": 1}  # bytes: powers of ten, as on the real server
MIME_TYPE = re.compile(
    r"(?=.{1,1000}$)([A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+(;\s*charset=[A-Za-z0-9-]+)?|.*\*)", re.ASCII
)
SORT_COLUMNS = ("id", "name", "created_at", "updated_at")
MISSING = ProtocolError("NoSuchBucket")


def create(request: HttpRequest) -> JsonResponse:
    body = json_body(request)
    is_allowed = has_service_key(request)
    name = body.text("name")
    bucket = Bucket(
        _check_name(body.text("id", "") or name),
        public=body.boolean("public"),
        file_size_limit=_size_limit(body),
        allowed_mime_types=_mime_types(body),
    )
    if not is_allowed:
        require_service_key(request)
    buckets.create(bucket)
    return JsonResponse({"name": name})


def get(request: HttpRequest, bucket: str) -> JsonResponse:
    require_service_key(request, MISSING)
    return JsonResponse(bucket_json(buckets.get(bucket)))


def list_all(request: HttpRequest) -> JsonResponse:
    found = buckets.list_buckets() if has_service_key(request) else []
    query = query_params(request)
    limit = query.integer("limit", minimum=1, default=len(found) or 1)
    offset = query.integer("offset", minimum=0, default=0)
    column = query.choice("sortColumn", SORT_COLUMNS, "created_at").replace("id", "name")
    descending = query.choice("sortOrder", ("asc", "desc"), "asc") == "desc"
    search = query.text("search", "").lower()
    wanted = sorted(
        (bucket for bucket in found if search in bucket.name.lower()),
        key=lambda bucket: (getattr(bucket, column), bucket.name),
        reverse=descending,
    )
    rows = [{**bucket_json(bucket), "type": "STANDARD"} for bucket in wanted[offset : offset + limit]]
    return JsonResponse(rows, safe=False)


def update(request: HttpRequest, bucket: str) -> JsonResponse:
    body = json_body(request)
    if not any(name in body for name in ("public", "file_size_limit", "allowed_mime_types")):
        raise ProtocolError("InvalidRequest", "body must have a property of a bucket")
    require_service_key(request, MISSING)
    changes: dict[str, Any] = {}
    if "public" in body:
        changes["public"] = body.boolean("public")
    if "file_size_limit" in body:
        changes["file_size_limit"] = _size_limit(body)
    if "allowed_mime_types" in body:
        changes["allowed_mime_types"] = _mime_types(body)
    buckets.update(bucket, **changes)
    return JsonResponse({"message": "Successfully updated"})


def delete(request: HttpRequest, bucket: str) -> JsonResponse:
    require_service_key(request, MISSING)
    buckets.delete(bucket)
    return JsonResponse({"message": "Successfully deleted"})


def empty(request: HttpRequest, bucket: str) -> JsonResponse:
    """Empty the bucket at once. The real server queues this, and the answer says the same."""
    require_service_key(request, MISSING)
    buckets.empty(bucket)
    return JsonResponse({"message": "Empty bucket has been queued. Completion may take up to an hour."})


def _check_name(name: str) -> str:
    if not BUCKET_NAME.fullmatch(name):
        raise ProtocolError("InvalidBucketName")
    return name


def _size_limit(body: Params) -> int | None:
    """Return the limit in bytes, None for no limit. It is sent as a number, a string with a unit, or null."""
    value = body.values.get("file_size_limit")
    if value in (None, ""):
        return None
    if isinstance(value, str) and (size := SIZE.fullmatch(value)):
        limit = int(Decimal(size[1]) * UNITS[size[2].lower()])
    else:
        limit = body.integer("file_size_limit", minimum=0)
    if limit > settings.STORAGE_FILE_SIZE_LIMIT:
        raise ProtocolError("EntityTooLarge")
    return limit


def _mime_types(body: Params) -> tuple[str, ...] | None:
    """Return None for null and () for an empty list. Both allow every type, and are shown as sent."""
    value = body.values.get("allowed_mime_types")
    if value in (None, []):
        return None if value is None else ()
    types = tuple(filter(None, body.texts("allowed_mime_types")))
    for each in types:
        if not MIME_TYPE.fullmatch(each):
            raise ProtocolError("InvalidMimeType", f"mime type {each} is not supported")
    return types
