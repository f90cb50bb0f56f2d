"""Handlers that copy and move objects, also to another bucket."""

from typing import Any

from django.http import HttpRequest, JsonResponse

from storage.errors import ObjectExists
from storage.local import buckets
from storage.local.buckets import BucketMissing, LocalBucket
from storage.local.server import request_body, webhook
from storage.local.server.auth import require_service_key
from storage.local.server.errors import ProtocolError
from storage.local.server.params import Params, json_body
from storage.local.server.representations import object_json


def copy(request: HttpRequest) -> JsonResponse:
    body, source, key, target, new_key = _parse(request)
    created = source.objects.copy(
        key,
        target.objects,
        new_key,
        replace=request.headers.get("X-Upsert") == "true",
        **_overrides(request, body),
    )
    webhook.report("INSERT", target.name, new_key)
    return JsonResponse(
        {"Key": f"{target.name}/{new_key}", "Id": created.id, **object_json(target.name, created)}
    )


def move(request: HttpRequest) -> JsonResponse:
    """On the real server, a key that is taken has another code here than in uploads and copies."""
    _, source, key, target, new_key = _parse(request)
    if (source.name, key) == (target.name, new_key):
        source.objects.describe(key)
    else:
        try:
            source.objects.move(key, target.objects, new_key)
        except ObjectExists:
            raise ProtocolError("ResourceAlreadyExists") from None
        webhook.report("UPDATE", target.name, new_key)
    return JsonResponse({"message": "Successfully moved"})


def _parse(request: HttpRequest) -> tuple[Params, LocalBucket, str, LocalBucket, str]:
    """Return the body, the source bucket and key, and the target bucket and key. Raises ProtocolError."""
    body = json_body(request)
    bucket, key, new_key = (body.text(name) for name in ("bucketId", "sourceKey", "destinationKey"))
    target = body.text("destinationBucket", "") or bucket
    require_service_key(request, ProtocolError("NoSuchKey"))
    source = _bucket(bucket, "NoSuchKey")
    return body, source, key, source if target == bucket else _bucket(target, "NoRelatedBucket"), new_key


def _bucket(name: str, reason: str) -> LocalBucket:
    """Raises ProtocolError with this reason if there is no such bucket."""
    try:
        return buckets.get(name)
    except BucketMissing:
        raise ProtocolError(reason) from None


def _overrides(request: HttpRequest, body: Params) -> dict[str, Any]:
    """Return the facts that the copy has in place of those of its source."""
    metadata = body.nested("metadata")
    if body.boolean("copyMetadata", True):
        return {}
    overrides: dict[str, Any] = {"metadata": request_body.user_metadata(request)}
    for name, param in (("content_type", "mimetype"), ("cache_control", "cacheControl")):
        if param in metadata:
            overrides[name] = request_body.check_header_value(metadata.text(param))
    return overrides
