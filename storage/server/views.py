"""The local store's HTTP face: what a client of Supabase Storage finds under /storage/v1/."""

from collections.abc import Callable
from functools import wraps

import structlog
from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from storage import buckets, keys, tokens
from storage.base import ObjectExists, ObjectMissing, StorageUnavailable
from storage.buckets import Bucket
from storage.local import LocalStorage
from storage.server import bodies, objects
from storage.server.refusals import Refusal, no_such_route, refuse

View = Callable[..., HttpResponseBase]

EXPOSED = (
    "Accept-Ranges, Authorization, Content-Disposition, Content-Length, Content-Range, Content-Type, ETag, "
    "Last-Modified, Location, Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, Upload-Concat, "
    "Upload-Defer-Length, Upload-Expires, Upload-Length, Upload-Metadata, Upload-Offset, X-Request-ID"
)

logger = structlog.get_logger("storage.server")


def route(*methods: str) -> Callable[[View], View]:
    """A route of the protocol: its methods, its errors, and the headers of the gateway in front."""

    def decorate(view: View) -> View:
        @csrf_exempt  # no cookie opens anything here
        @wraps(view)
        def answer(request: HttpRequest, *args: str, **kwargs: str) -> HttpResponseBase:
            if request.method == "OPTIONS":
                return _for_every_origin(request, HttpResponse())
            try:
                if request.method not in methods:
                    raise no_such_route(request)
                response = view(request, *args, **kwargs)
            except Exception as error:
                response = refuse(_as_refusal(error))
            response.headers["X-Content-Type-Options"] = "nosniff"
            response.headers["Content-Security-Policy"] = "sandbox"  # it shares its origin with the admin
            response.xframe_options_exempt = True  # type: ignore[attr-defined]  # an app may show a PDF in a frame
            return _for_every_origin(request, response)

        return answer

    return decorate


@route("PUT")
def signed_upload(request: HttpRequest, bucket: str, key: str) -> HttpResponseBase:
    """Create the object that the token names. Of several at once, one does."""
    grant = tokens.check(_token(request), "upload", bucket, key)
    found = _bucket(bucket)
    store = _store(found)
    body = bodies.incoming(request, _limit(found))
    if not found.takes(body.content_type):
        raise Refusal("InvalidMimeType", f"mime type {body.content_type} is not supported")
    if not grant.upsert and store.exists(keys.check(key)):
        raise ObjectExists(key)
    store.write(
        key,
        body.pieces,
        content_type=body.content_type,
        cache_control=body.cache_control,
        replace=grant.upsert,
    )
    return JsonResponse({"Key": f"{bucket}/{key}"})


@route("GET", "HEAD")
def signed_download(request: HttpRequest, bucket: str, key: str) -> HttpResponseBase:
    """Serve the object that the token names."""
    grant = tokens.check(_token(request), "download", bucket, key)
    return objects.serve(request, _store(_bucket(bucket)), key, expires=grant.expires_at)


@route("GET", "HEAD")
def public_download(request: HttpRequest, bucket: str, key: str) -> HttpResponseBase:
    """Serve an object of a public bucket; a private one does not exist here."""
    found = _bucket(bucket)
    if not found.store.public:
        raise Refusal("NoSuchBucket")
    return objects.serve(request, _store(found), key)


@route()
def nothing(request: HttpRequest) -> HttpResponseBase:
    """Any other path."""
    raise no_such_route(request)


def _token(request: HttpRequest) -> str:
    token = request.GET.get("token")
    if token is None:
        raise Refusal("InvalidRequest", "querystring must have required property 'token'")
    return token


def _bucket(name: str) -> Bucket:
    try:
        return buckets.declared()[name]
    except KeyError:
        raise Refusal("NoSuchBucket") from None


def _store(bucket: Bucket) -> LocalStorage:
    assert isinstance(bucket.store, LocalStorage)  # these routes are mounted with STORAGE=local only
    return bucket.store


def _limit(bucket: Bucket) -> int:
    return min(bucket.file_size_limit or settings.STORAGE_FILE_SIZE_LIMIT, settings.STORAGE_FILE_SIZE_LIMIT)


def _as_refusal(error: Exception) -> Refusal:
    """One table from our errors to the protocol's. No path of this machine is in any of them."""
    match error:
        case Refusal():
            return error
        case tokens.InvalidToken():
            return Refusal(error.code, str(error))
        case keys.InvalidKey():
            return Refusal("InvalidKey")
        case SuspiciousOperation():  # such as a query of a thousand fields
            return Refusal("InvalidRequest")
        case ObjectMissing():
            return Refusal("NoSuchKey")
        case ObjectExists():
            return Refusal("KeyAlreadyExists")
        case StorageUnavailable():
            logger.error("store_in_trouble", exc_info=error)
            return Refusal("SlowDown", headers={"Retry-After": "5"})
    logger.error("unhandled", exc_info=error)
    return Refusal("InternalError")


def _for_every_origin(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """CORS as the gateway gives it: any origin, no credentials; the token is the whole authority."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Expose-Headers"] = EXPOSED
    if request.method == "OPTIONS":
        asked = request.headers.get("Access-Control-Request-Headers", "")
        response.headers["Access-Control-Allow-Headers"] = asked or "*"
        response.headers["Access-Control-Allow-Methods"] = "GET, HEAD, PUT, PATCH, POST, DELETE, OPTIONS"
        response.headers["Access-Control-Max-Age"] = "3600"
    return response
