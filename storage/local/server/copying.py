"""Objects under another key: copied, or moved, also into another bucket."""

from typing import Any

from django.http import HttpRequest, JsonResponse

from storage.local import buckets
from storage.local.buckets import BucketMissing, LocalBucket
from storage.local.server import request_body
from storage.local.server.auth import must_be_service
from storage.local.server.errors import ProtocolError
from storage.local.server.params import Fields, body_of
from storage.local.server.representations import object_row


def copy(request: HttpRequest) -> JsonResponse:
    body, source, key, target, new_key = _places(request)
    made = source.objects.copy(
        key,
        target.objects,
        new_key,
        replace=request.headers.get("X-Upsert") == "true",
        **_changes(request, body),
    )
    return JsonResponse({"Key": f"{target.name}/{new_key}", "Id": made.id, **object_row(target.name, made)})


def move(request: HttpRequest) -> JsonResponse:
    _, source, key, target, new_key = _places(request)
    if (source.name, key) == (target.name, new_key):
        source.objects.describe(key)
    else:
        source.objects.move(key, target.objects, new_key)
    return JsonResponse({"message": "Successfully moved"})


def _places(request: HttpRequest) -> tuple[Fields, LocalBucket, str, LocalBucket, str]:
    body = body_of(request)
    bucket, key, new_key = (body.text(name) for name in ("bucketId", "sourceKey", "destinationKey"))
    target = body.text("destinationBucket", "") or bucket
    must_be_service(request, otherwise=ProtocolError("NoSuchKey"))
    source = _bucket(bucket, "NoSuchKey")
    return body, source, key, source if target == bucket else _bucket(target, "NoRelatedBucket"), new_key


def _bucket(name: str, otherwise: str) -> LocalBucket:
    try:
        return buckets.find(name)
    except BucketMissing:
        raise ProtocolError(otherwise) from None


def _changes(request: HttpRequest, body: Fields) -> dict[str, Any]:
    """What the copy is told to have, instead of what it inherits."""
    told = body.inner("metadata")
    if body.flag("copyMetadata", True):
        return {}
    changes: dict[str, Any] = {"metadata": request_body.user_metadata(request)}
    for name, theirs in (("content_type", "mimetype"), ("cache_control", "cacheControl")):
        if theirs in told:
            changes[name] = request_body.servable(told.text(theirs))
    return changes
