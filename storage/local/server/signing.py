"""Handlers that sign URLs, with which a client without a key can read or create one object."""

import time
from typing import Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse

from storage import keys, tokens
from storage.errors import ObjectMissing
from storage.local import buckets
from storage.local.buckets import BucketMissing
from storage.local.server.auth import has_service_key, require_service_key
from storage.local.server.errors import ProtocolError
from storage.local.server.params import Params, json_body
from storage.local.server.uploads import check_key_is_free

MAX_TIMESTAMP = (2**53 - 1) // 1000  # seconds: the largest exact number of JavaScript, as milliseconds
MAX_PATHS = 1000  # keys in one request
TRANSFORM_NUMBERS = (("width", 0, None), ("height", 0, None), ("quality", 20, 100))  # name, minimum, maximum
TRANSFORM_CHOICES = (("resize", ("cover", "contain", "fill")), ("format", ("origin", "avif")))
NOT_FOUND = "Either the object does not exist or you do not have access to it"


def download(request: HttpRequest, bucket: str, key: str) -> JsonResponse:
    """The URL is not percent-encoded, as on the real server: clients encode it."""
    seconds = _expires_in(body := json_body(request))
    _check_transform(body)
    is_allowed = has_service_key(request)
    if not _exists(bucket, keys.check_characters(key)) or not is_allowed:
        raise ProtocolError("NoSuchKey")
    return JsonResponse({"signedURL": _signed_url(bucket, key, seconds)})


def downloads(request: HttpRequest, bucket: str) -> JsonResponse:
    """Return one result for each key, with an error if the object cannot be read."""
    body = json_body(request)
    seconds, paths = _expires_in(body), body.texts("paths", maximum=MAX_PATHS)
    is_allowed = has_service_key(request)
    return JsonResponse([_result(bucket, key, seconds, is_allowed) for key in paths], safe=False)


def upload(request: HttpRequest, bucket: str, key: str) -> JsonResponse:
    """The key is not validated here but when the object is uploaded, as on the real server."""
    require_service_key(request)
    upsert = request.headers.get("X-Upsert") == "true"
    try:
        found = buckets.get(bucket)
    except BucketMissing:
        raise ProtocolError("NoRelatedBucket") from None
    if not upsert:
        check_key_is_free(found, key)
    token = tokens.mint("upload", bucket, key, settings.UPLOAD_URL_TTL, upsert=upsert)
    return JsonResponse({"url": f"/object/upload/sign/{bucket}/{key}?token={token}", "token": token})


def _result(bucket: str, key: str, seconds: int, is_allowed: bool) -> dict[str, Any]:
    is_readable = is_allowed and _exists(bucket, key)
    return {
        "error": None if is_readable else NOT_FOUND,
        "path": key,
        "signedURL": _signed_url(bucket, key, seconds) if is_readable else None,
    }


def _exists(bucket: str, key: str) -> bool:
    try:
        buckets.get(bucket).objects.describe(key)
    except (BucketMissing, ObjectMissing):
        return False
    return True


def _signed_url(bucket: str, key: str, seconds: int) -> str:
    return f"/object/sign/{bucket}/{key}?token={tokens.mint('download', bucket, key, seconds)}"


def _expires_in(body: Params) -> int:
    """Return the requested lifetime in seconds. Raises ProtocolError if the token would expire too late."""
    seconds = body.integer("expiresIn", minimum=1)
    if seconds > MAX_TIMESTAMP - int(time.time()):
        raise ProtocolError("InvalidParameter", "Invalid Parameter expiresIn")
    return seconds


def _check_transform(body: Params) -> None:
    """Validate the requested image transformation. It is not applied: images are served unchanged."""
    transform = body.nested("transform")
    for name, minimum, maximum in TRANSFORM_NUMBERS:
        if name in transform:
            transform.integer(name, minimum=minimum, maximum=maximum)
    for name, choices in TRANSFORM_CHOICES:
        if name in transform:
            transform.choice(name, choices)
