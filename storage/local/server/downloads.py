"""Handlers that serve objects and their metadata."""

from collections.abc import Callable
from functools import partial

from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.http import http_date

from storage import keys, tokens
from storage.errors import ObjectMissing
from storage.local import buckets
from storage.local.buckets import BucketMissing, LocalBucket
from storage.local.server.auth import has_service_key
from storage.local.server.errors import ProtocolError
from storage.local.server.params import query_params
from storage.local.server.representations import info_json
from storage.local.server.responses import serve

#: Answers a request for one object.
Responder = Callable[[HttpRequest, LocalBucket, str], HttpResponseBase]


def signed(request: HttpRequest, bucket: str, key: str) -> HttpResponseBase:
    """Serve the object of a signed URL."""
    grant = tokens.check(query_params(request).text("token"), "download", bucket, key)
    return serve(request, buckets.get(bucket).objects, key, expires=grant.expires_at)


def _serve_object(request: HttpRequest, bucket: LocalBucket, key: str) -> HttpResponseBase:
    return serve(request, bucket.objects, key)


def _serve_info(request: HttpRequest, bucket: LocalBucket, key: str) -> HttpResponseBase:
    info = bucket.objects.describe(keys.check_characters(key))
    headers = {
        "ETag": info.etag,
        "Last-Modified": http_date(info.last_modified.timestamp()),
        "Cache-Control": info.cache_control,
    }
    return JsonResponse(info_json(bucket.name, info), headers=headers)


def _if_public(respond: Responder, request: HttpRequest, bucket: str, key: str) -> HttpResponseBase:
    """Serve only public buckets. A private bucket is answered as missing."""
    found = buckets.get(bucket)
    if not found.public:
        raise BucketMissing(bucket)
    return respond(request, found, key)


def _if_allowed(respond: Responder, request: HttpRequest, bucket: str, key: str) -> HttpResponseBase:
    """Serve everything to the service key, else only public buckets. An invalid token counts as none."""
    try:
        is_allowed = has_service_key(request)
    except ProtocolError:
        return _if_public(respond, request, bucket, key)
    return _if_public_or(is_allowed, respond, request, bucket, key)


def _if_authenticated(respond: Responder, request: HttpRequest, bucket: str, key: str) -> HttpResponseBase:
    """Do the same as `_if_allowed`, but raise ProtocolError for an invalid token."""
    return _if_public_or(has_service_key(request), respond, request, bucket, key)


def _if_public_or(
    is_allowed: bool, respond: Responder, request: HttpRequest, bucket: str, key: str
) -> HttpResponseBase:
    found = buckets.get(bucket)
    if not (is_allowed or found.public):
        raise ObjectMissing(key)
    return respond(request, found, key)


public = partial(_if_public, _serve_object)
get = partial(_if_allowed, _serve_object)
authenticated = partial(_if_authenticated, _serve_object)
public_info = partial(_if_public, _serve_info)
info = partial(_if_allowed, _serve_info)
authenticated_info = partial(_if_authenticated, _serve_info)
