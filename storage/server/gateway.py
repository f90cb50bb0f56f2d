"""What stands in front of every route: CORS, the errors of the protocol, and harmless headers."""

import structlog
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from storage import keys, tokens
from storage.base import ObjectExists, ObjectMissing, StorageUnavailable
from storage.local_buckets import BucketExists, BucketMissing, BucketNotEmpty
from storage.server import routes
from storage.server.refusals import Refusal, refuse

EXPOSED = (
    "Accept-Ranges, Authorization, Content-Disposition, Content-Length, Content-Range, Content-Type, ETag, "
    "Last-Modified, Location, Tus-Complete, Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, "
    "Upload-Concat, Upload-Defer-Length, Upload-Expires, Upload-Length, Upload-Metadata, Upload-Offset, "
    "X-HTTP-Method-Override, X-Request-ID"
)
METHODS = "GET, HEAD, PUT, PATCH, POST, DELETE, OPTIONS"

logger = structlog.get_logger("storage.server")


@csrf_exempt  # no cookie opens anything here
def answer(request: HttpRequest) -> HttpResponseBase:
    """Any path under /storage/v1/."""
    try:
        response = _preflight(request) or routes.dispatch(request)
    except Exception as error:
        response = refuse(as_refusal(error))
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "sandbox"  # it shares its origin with the admin
    response.xframe_options_exempt = True  # type: ignore[attr-defined]  # an app may show a PDF in a frame
    response.headers["Access-Control-Allow-Origin"] = "*"  # no credentials: the token is the whole authority
    response.headers["Access-Control-Expose-Headers"] = EXPOSED
    return response


def as_refusal(error: Exception) -> Refusal:
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
        case BucketMissing():
            return Refusal("NoSuchBucket")
        case BucketExists():
            return Refusal("BucketAlreadyExists")
        case BucketNotEmpty():
            return Refusal("ResourceNotEmpty")
        case StorageUnavailable():
            logger.error("store_in_trouble", exc_info=error)
            return Refusal("SlowDown", headers={"Retry-After": "5"})
    logger.error("unhandled", exc_info=error)
    return Refusal("InternalError")


def _preflight(request: HttpRequest) -> HttpResponse | None:
    """What a browser asks before it sends; an OPTIONS of resumable uploads is answered by them."""
    if request.method != "OPTIONS" or routes.is_resumable(request):
        return None
    asked = request.headers.get("Access-Control-Request-Headers", "")
    return HttpResponse(
        headers={
            "Access-Control-Allow-Headers": asked or "*",
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Max-Age": "3600",
        }
    )
