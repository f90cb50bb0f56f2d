"""Buckets: made, shown, changed, emptied and deleted by the service key."""

import re
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse

from storage.buckets import Bucket
from storage.local import buckets
from storage.local.server.auth import is_service, must_be_service
from storage.local.server.errors import ProtocolError
from storage.local.server.params import Fields, body_of, query_of
from storage.local.server.representations import bucket_row

#: Source: Storage's `isValidBucketName`; no slash, no space at either end, and not what it keeps for itself.
NAME = re.compile(r"(?! )(?!.*--table-s3$)[A-Za-z0-9_!.*'()&$@=;:+,? -]{1,100}(?<! )", re.ASCII)
SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)(gb|mb|kb|b)", re.IGNORECASE | re.ASCII)
UNITS = {"gb": 10**9, "mb": 10**6, "kb": 10**3, "b": 1}  # powers of ten, as the real server counts
MIME_TYPE = re.compile(
    r"(?=.{1,1000}$)([A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+(;\s*charset=[A-Za-z0-9-]+)?|.*\*)", re.ASCII
)
COLUMNS = ("id", "name", "created_at", "updated_at")
MISSING = ProtocolError("NoSuchBucket")


def create(request: HttpRequest) -> JsonResponse:
    body = body_of(request)
    may = is_service(request)
    name = body.text("name")
    bucket = Bucket(
        _valid(body.text("id", "") or name),
        public=body.flag("public"),
        file_size_limit=_size_limit(body),
        allowed_mime_types=_mime_types(body),
    )
    if not may:
        must_be_service(request)
    buckets.create(bucket)
    return JsonResponse({"name": name})


def get(request: HttpRequest, bucket: str) -> JsonResponse:
    must_be_service(request, MISSING)
    return JsonResponse(bucket_row(buckets.find(bucket)))


def list_all(request: HttpRequest) -> JsonResponse:
    found = buckets.everything() if is_service(request) else []
    query = query_of(request)
    limit = query.integer("limit", minimum=1, default=len(found) or 1)
    offset = query.integer("offset", minimum=0, default=0)
    column = query.choice("sortColumn", COLUMNS, "created_at").replace("id", "name")
    backwards = query.choice("sortOrder", ("asc", "desc"), "asc") == "desc"
    search = query.text("search", "").lower()
    wanted = sorted(
        (bucket for bucket in found if search in bucket.name.lower()),
        key=lambda bucket: (getattr(bucket, column), bucket.name),
        reverse=backwards,
    )
    rows = [{**bucket_row(bucket), "type": "STANDARD"} for bucket in wanted[offset : offset + limit]]
    return JsonResponse(rows, safe=False)


def update(request: HttpRequest, bucket: str) -> JsonResponse:
    body = body_of(request)
    must_be_service(request, MISSING)
    changes: dict[str, Any] = {}
    if "public" in body:
        changes["public"] = body.flag("public")
    if "file_size_limit" in body:
        changes["file_size_limit"] = _size_limit(body)
    if "allowed_mime_types" in body:
        changes["allowed_mime_types"] = _mime_types(body)
    buckets.update(bucket, **changes)
    return JsonResponse({"message": "Successfully updated"})


def delete(request: HttpRequest, bucket: str) -> JsonResponse:
    must_be_service(request, MISSING)
    buckets.delete(bucket)
    return JsonResponse({"message": "Successfully deleted"})


def empty(request: HttpRequest, bucket: str) -> JsonResponse:
    """At once, where the real server has a queue; it says the same."""
    must_be_service(request, MISSING)
    buckets.empty(bucket)
    return JsonResponse({"message": "Empty bucket has been queued. Completion may take up to an hour."})


def _valid(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ProtocolError("InvalidBucketName")
    return name


def _size_limit(body: Fields) -> int | None:
    """Bytes; a number, or a string with a unit. null sets none."""
    sent = body.sent.get("file_size_limit")
    if sent in (None, ""):
        return None
    if isinstance(sent, str) and (size := SIZE.fullmatch(sent)):
        limit = int(Decimal(size[1]) * UNITS[size[2].lower()])
    else:
        limit = body.integer("file_size_limit", minimum=0)
    if limit > settings.STORAGE_FILE_SIZE_LIMIT:
        raise ProtocolError("EntityTooLarge")
    return limit


def _mime_types(body: Fields) -> tuple[str, ...] | None:
    """None and none at all are kept apart, as they were sent, and mean the same."""
    sent = body.sent.get("allowed_mime_types")
    if sent in (None, []):
        return None if sent is None else ()
    types = tuple(filter(None, body.texts("allowed_mime_types")))
    for each in types:
        if not MIME_TYPE.fullmatch(each):
            raise ProtocolError("InvalidMimeType", f"mime type {each} is not supported")
    return types
