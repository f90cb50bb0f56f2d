"""Handlers that delete objects."""

from typing import Any

from django.http import HttpRequest, JsonResponse

from storage.errors import ObjectMissing
from storage.local import buckets
from storage.local.buckets import BucketMissing, LocalBucket
from storage.local.server.auth import has_service_key
from storage.local.server.errors import ProtocolError
from storage.local.server.params import json_body
from storage.local.server.representations import object_json


def delete(request: HttpRequest, bucket: str, key: str) -> JsonResponse:
    is_allowed = has_service_key(request)
    try:
        objects = buckets.get(bucket).objects
    except BucketMissing:
        raise ProtocolError("NoSuchKey") from None
    if not is_allowed:
        objects.describe(key)  # the real server reveals to everybody whether the object exists
        raise ProtocolError("AccessDenied")
    objects.remove(key)
    return JsonResponse({"message": "Successfully deleted"})


def delete_many(request: HttpRequest, bucket: str) -> JsonResponse:
    """Delete the objects that exist and return them. Without the service key, none of them exists."""
    wanted = json_body(request).texts("prefixes")
    is_allowed = has_service_key(request)
    try:
        found = buckets.get(bucket)
    except BucketMissing:
        return JsonResponse([], safe=False)
    removed = [_remove(found, key) for key in dict.fromkeys(wanted)] if is_allowed else []
    return JsonResponse([each for each in removed if each], safe=False)


def _remove(bucket: LocalBucket, key: str) -> dict[str, Any] | None:
    """Return the JSON of the deleted object, None if it does not exist."""
    try:
        return object_json(bucket.name, bucket.objects.remove(key))
    except ObjectMissing:
        return None
