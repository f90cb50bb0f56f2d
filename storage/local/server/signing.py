"""Tokens for those who have no key: to read one object, or to create one."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse

from storage import keys, tokens
from storage.errors import ObjectMissing
from storage.local import buckets
from storage.local.buckets import BucketMissing
from storage.local.server.auth import is_service, must_be_service
from storage.local.server.errors import ProtocolError
from storage.local.server.params import Fields, body_of
from storage.local.server.uploads import must_be_free

LONGEST = 100 * 366 * 24 * 3600  # seconds: clocks, and JSON's numbers, end somewhere
MOST = 1000  # keys in one call
NUMBERS = (("width", 0, None), ("height", 0, None), ("quality", 20, 100))
CHOICES = (("resize", ("cover", "contain", "fill")), ("format", ("origin", "avif")))
NOT_FOUND = "Either the object does not exist or you do not have access to it"


def download(request: HttpRequest, bucket: str, key: str) -> JsonResponse:
    """The URL is not percent-encoded, as with the real server: clients do it."""
    seconds = _seconds(body := body_of(request))
    _transform(body)
    may = is_service(request)
    if not _exists(bucket, keys.spelled(key)) or not may:
        raise ProtocolError("NoSuchKey")
    return JsonResponse({"signedURL": _signed_url(bucket, key, seconds)})


def downloads(request: HttpRequest, bucket: str) -> JsonResponse:
    """One answer for each key, also for those that cannot be read."""
    body = body_of(request)
    seconds, paths = _seconds(body), body.texts("paths", most=MOST)
    may = is_service(request)
    return JsonResponse([_one_of_many(bucket, key, seconds, may) for key in paths], safe=False)


def upload(request: HttpRequest, bucket: str, key: str) -> JsonResponse:
    """Whether the name is a legal one shows when something is sent, as with the real server."""
    must_be_service(request)
    upsert = request.headers.get("X-Upsert") == "true"
    try:
        found = buckets.find(bucket)
    except BucketMissing:
        raise ProtocolError("NoRelatedBucket") from None
    if not upsert:
        must_be_free(found, key)
    token = tokens.mint("upload", bucket, key, settings.UPLOAD_URL_TTL, upsert=upsert)
    return JsonResponse({"url": f"/object/upload/sign/{bucket}/{key}?token={token}", "token": token})


def _one_of_many(bucket: str, key: str, seconds: int, may: bool) -> dict[str, Any]:
    there = may and _exists(bucket, key)
    return {
        "error": None if there else NOT_FOUND,
        "path": key,
        "signedURL": _signed_url(bucket, key, seconds) if there else None,
    }


def _exists(bucket: str, key: str) -> bool:
    try:
        buckets.find(bucket).objects.describe(key)
    except (BucketMissing, ObjectMissing):
        return False
    return True


def _signed_url(bucket: str, key: str, seconds: int) -> str:
    return f"/object/sign/{bucket}/{key}?token={tokens.mint('download', bucket, key, seconds)}"


def _seconds(body: Fields) -> int:
    return min(body.integer("expiresIn", minimum=1), LONGEST)


def _transform(body: Fields) -> None:
    """Pictures are served as they are; what is asked of them is checked all the same."""
    asked = body.inner("transform")
    for name, least, most in NUMBERS:
        if name in asked:
            asked.integer(name, minimum=least, maximum=most)
    for name, choices in CHOICES:
        if name in asked:
            asked.choice(name, choices)
