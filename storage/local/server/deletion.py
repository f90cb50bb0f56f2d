"""Objects that go."""

from typing import Any

from django.http import HttpRequest, JsonResponse

from storage.errors import ObjectMissing
from storage.local import buckets
from storage.local.buckets import BucketMissing, LocalBucket
from storage.local.server.auth import is_service
from storage.local.server.errors import ProtocolError
from storage.local.server.params import body_of
from storage.local.server.representations import object_row


def one(request: HttpRequest, bucket: str, key: str) -> JsonResponse:
    may = is_service(request)
    try:
        objects = buckets.find(bucket).objects
    except BucketMissing:
        raise ProtocolError("NoSuchKey") from None
    if not may:
        objects.describe(key)  # the real server tells others whether there is one, too
        raise ProtocolError("AccessDenied")
    objects.remove(key)
    return JsonResponse({"message": "Successfully deleted"})


def many(request: HttpRequest, bucket: str) -> JsonResponse:
    """Those that are there; their rows. What others may not delete is not there for them."""
    wanted = body_of(request).texts("prefixes")
    may = is_service(request)
    try:
        found = buckets.find(bucket)
    except BucketMissing:
        return JsonResponse([], safe=False)
    removed = [_remove(found, key) for key in dict.fromkeys(wanted)] if may else []
    return JsonResponse([row for row in removed if row], safe=False)


def _remove(bucket: LocalBucket, key: str) -> dict[str, Any] | None:
    try:
        return object_row(bucket.name, bucket.objects.remove(key))
    except ObjectMissing:
        return None
