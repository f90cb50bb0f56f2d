"""Objects under another key: copied, or moved, also into another bucket."""

from typing import Any

from django.http import HttpRequest, JsonResponse

from storage import local_buckets
from storage.local_buckets import BucketMissing, LocalBucket
from storage.server import bodies
from storage.server.callers import must_be_service
from storage.server.fields import Fields, body_of
from storage.server.refusals import Refusal
from storage.server.rows import object_row


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
    must_be_service(request, otherwise=Refusal("NoSuchKey"))
    source = _bucket(bucket, "NoSuchKey")
    return body, source, key, source if target == bucket else _bucket(target, "NoRelatedBucket"), new_key


def _bucket(name: str, otherwise: str) -> LocalBucket:
    try:
        return local_buckets.find(name)
    except BucketMissing:
        raise Refusal(otherwise) from None


def _changes(request: HttpRequest, body: Fields) -> dict[str, Any]:
    """What the copy is told to have, instead of what it inherits."""
    told = body.inner("metadata")
    if body.flag("copyMetadata", True):
        return {}
    changes: dict[str, Any] = {"metadata": bodies.user_metadata(request)}
    for name, theirs in (("content_type", "mimetype"), ("cache_control", "cacheControl")):
        if theirs in told:
            changes[name] = bodies.servable(told.text(theirs))
    return changes
