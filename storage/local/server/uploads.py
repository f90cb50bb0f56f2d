"""Objects that come in, in one piece: by the service key, or by a signed URL."""

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
from storage.local.server import request_body
from storage.local.server.auth import is_service, must_be_service
from storage.local.server.errors import ProtocolError
from storage.local.server.params import query_of

PLACEHOLDER = ".emptyFolderPlaceholder"  # how dashboards keep a folder that is empty: of any type, no bytes


def create(request: HttpRequest, bucket: str, key: str) -> JsonResponse:
    return _by_service(request, bucket, key, replace=request.headers.get("X-Upsert") == "true")


def update(request: HttpRequest, bucket: str, key: str) -> JsonResponse:
    """PUT creates what is not there, too."""
    return _by_service(request, bucket, key, replace=True)


def signed(request: HttpRequest, bucket: str, key: str) -> JsonResponse:
    """Create the object that the token names. Of several at once, one does."""
    grant = tokens.check(query_of(request).text("token"), "upload", bucket, key)
    _receive(request, buckets.find(bucket), key, replace=grant.upsert)
    return JsonResponse({"Key": f"{bucket}/{key}"})


def size_limit(bucket: Bucket) -> int:
    """Bytes: that of the bucket, as far as the store as a whole allows it."""
    own, common = bucket.file_size_limit, settings.STORAGE_FILE_SIZE_LIMIT
    return common if own is None else min(own, common)


def must_take(bucket: Bucket, content_type: str) -> None:
    if not bucket.takes(content_type):
        raise ProtocolError("InvalidMimeType", f"mime type {content_type} is not supported")


def must_be_free(bucket: LocalBucket, key: str) -> None:
    """A refusal before the bytes have travelled; what counts is looked at once they are there."""
    try:
        bucket.objects.describe(key)
    except ObjectMissing:
        return
    raise ObjectExists(key)


def _by_service(request: HttpRequest, bucket: str, key: str, *, replace: bool) -> JsonResponse:
    may = is_service(request)
    found = buckets.find(bucket)  # others are told as well that there is none
    if not may:
        must_be_service(request)
    stored = _receive(request, found, key, replace=replace)
    return JsonResponse({"Key": f"{bucket}/{key}", "Id": stored.id})


def _receive(request: HttpRequest, bucket: LocalBucket, key: str, *, replace: bool) -> StoredObject:
    keys.legal(key)
    placeholder = key.endswith(PLACEHOLDER)
    body = request_body.incoming(request, 0 if placeholder else size_limit(bucket))
    if not placeholder:
        must_take(bucket, body.content_type)
    if not replace:
        must_be_free(bucket, key)
    return bucket.objects.write(
        key,
        chain(body.chunks, _still(bucket)),
        content_type=body.content_type,
        cache_control=body.cache_control,
        metadata=body.metadata,
        replace=replace,
    )


def _still(bucket: LocalBucket) -> Iterator[bytes]:
    """Nothing, once all bytes have travelled: the bucket may have been deleted meanwhile."""
    buckets.find(bucket.name)
    yield from ()
