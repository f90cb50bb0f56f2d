"""Handlers that upload an object in one request, with the service key or a signed URL."""

from collections.abc import Iterator
from itertools import chain

from django.conf import settings
from django.http import HttpRequest, JsonResponse

from storage import keys, tokens
from storage.buckets import Bucket
from storage.errors import ObjectExists, ObjectMissing
from storage.local import buckets
from storage.local.buckets import LocalBucket
from storage.local.metadata import StoredObject
from storage.local.server import request_body, webhook
from storage.local.server.auth import has_service_key, require_service_key
from storage.local.server.errors import ProtocolError
from storage.local.server.params import query_params

#: The object that dashboards create to keep a folder that is otherwise empty: 0 bytes, of any type.
PLACEHOLDER = ".emptyFolderPlaceholder"


def create(request: HttpRequest, bucket: str, key: str) -> JsonResponse:
    return _upload_with_service_key(request, bucket, key, replace=request.headers.get("X-Upsert") == "true")


def update(request: HttpRequest, bucket: str, key: str) -> JsonResponse:
    """PUT also creates an object that does not exist."""
    return _upload_with_service_key(request, bucket, key, replace=True)


def signed(request: HttpRequest, bucket: str, key: str) -> JsonResponse:
    """Create the object of a signed URL. Of several requests at the same time, one succeeds."""
    grant = tokens.check(query_params(request).text("token"), "upload", bucket, key)
    _store(request, buckets.get(bucket), key, replace=grant.upsert)
    return JsonResponse({"Key": f"{bucket}/{key}"})


def size_limit(bucket: Bucket) -> int:
    """Return the lower of the bucket's limit and that of the whole store, in bytes."""
    own, common = bucket.file_size_limit, settings.STORAGE_FILE_SIZE_LIMIT
    return common if own is None else min(own, common)


def check_content_type(bucket: Bucket, content_type: str) -> None:
    """Raises ProtocolError if the bucket does not allow the type."""
    if not bucket.allows(content_type):
        raise ProtocolError("InvalidMimeType", f"mime type {content_type} is not supported")


def check_key_is_free(bucket: LocalBucket, key: str) -> None:
    """Raises ObjectExists before the bytes are received. Writing the object checks it again."""
    try:
        bucket.objects.describe(key)
    except ObjectMissing:
        return
    raise ObjectExists(key)


def _upload_with_service_key(request: HttpRequest, bucket: str, key: str, *, replace: bool) -> JsonResponse:
    is_allowed = has_service_key(request)
    found = buckets.get(bucket)  # clients without the key also learn that there is no such bucket
    if not is_allowed:
        require_service_key(request)
    stored = _store(request, found, key, replace=replace)
    return JsonResponse({"Key": f"{bucket}/{key}", "Id": stored.id})


def _store(request: HttpRequest, bucket: LocalBucket, key: str, *, replace: bool) -> StoredObject:
    keys.check_legal(key)
    is_placeholder = key.endswith(PLACEHOLDER)
    body = request_body.parse_upload(request, 0 if is_placeholder else size_limit(bucket))
    if not is_placeholder:
        check_content_type(bucket, body.content_type)
    if not replace:
        check_key_is_free(bucket, key)
    stored = bucket.objects.write(
        key,
        chain(body.chunks, _check_bucket_exists(bucket)),
        content_type=body.content_type,
        cache_control=body.cache_control,
        metadata=body.metadata,
        replace=replace,
    )
    webhook.report("INSERT", bucket.name, key)
    return stored


def _check_bucket_exists(bucket: LocalBucket) -> Iterator[bytes]:
    """Yield nothing. Raises BucketMissing if the bucket was deleted while the bytes were received."""
    buckets.get(bucket.name)
    yield from ()
