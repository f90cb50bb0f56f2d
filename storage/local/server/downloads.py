"""Objects that go out, and what is known of them."""

from collections.abc import Callable
from functools import partial

from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.http import http_date

from storage import keys, tokens
from storage.errors import ObjectMissing
from storage.local import buckets
from storage.local.buckets import BucketMissing, LocalBucket
from storage.local.server.auth import is_service
from storage.local.server.errors import ProtocolError
from storage.local.server.params import query_of
from storage.local.server.representations import info_row
from storage.local.server.responses import serve

Show = Callable[[HttpRequest, LocalBucket, str], HttpResponseBase]


def signed(request: HttpRequest, bucket: str, key: str) -> HttpResponseBase:
    """Serve the object that the token names."""
    grant = tokens.check(query_of(request).text("token"), "download", bucket, key)
    return serve(request, buckets.find(bucket).objects, key, expires=grant.expires_at)


def _bytes(request: HttpRequest, bucket: LocalBucket, key: str) -> HttpResponseBase:
    return serve(request, bucket.objects, key)


def _info(request: HttpRequest, bucket: LocalBucket, key: str) -> HttpResponseBase:
    info = bucket.objects.describe(keys.spelled(key))
    headers = {
        "ETag": info.etag,
        "Last-Modified": http_date(info.last_modified.timestamp()),
        "Cache-Control": info.cache_control,
    }
    return JsonResponse(info_row(bucket.name, info), headers=headers)


def _in_public(show: Show, request: HttpRequest, bucket: str, key: str) -> HttpResponseBase:
    """From a public bucket; a private one does not exist here."""
    found = buckets.find(bucket)
    if not found.public:
        raise BucketMissing(bucket)
    return show(request, found, key)


def _if_allowed(show: Show, request: HttpRequest, bucket: str, key: str) -> HttpResponseBase:
    """For the service key everything, for others what is public; a bad token counts as none."""
    try:
        service = is_service(request)
    except ProtocolError:
        return _in_public(show, request, bucket, key)
    return _known_caller(show, request, bucket, key, service)


def _if_authenticated(show: Show, request: HttpRequest, bucket: str, key: str) -> HttpResponseBase:
    return _known_caller(show, request, bucket, key, is_service(request))


def _known_caller(show: Show, request: HttpRequest, bucket: str, key: str, service: bool) -> HttpResponseBase:
    found = buckets.find(bucket)
    if not (service or found.public):
        raise ObjectMissing(key)
    return show(request, found, key)


public = partial(_in_public, _bytes)
get = partial(_if_allowed, _bytes)
authenticated = partial(_if_authenticated, _bytes)
public_info = partial(_in_public, _info)
info = partial(_if_allowed, _info)
authenticated_info = partial(_if_authenticated, _info)
