"""What stands in front of every route: CORS, the errors of the protocol, and harmless headers."""

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from storage.local.server import routes
from storage.local.server.errors import as_protocol_error, error_response

EXPOSED = (
    "Accept-Ranges, Authorization, Content-Disposition, Content-Length, Content-Range, Content-Type, ETag, "
    "Forwarded, Last-Modified, Location, Retry-After, Tus-Complete, Tus-Extension, Tus-Max-Size, "
    "Tus-Resumable, Tus-Version, Upload-Concat, Upload-Defer-Length, Upload-Expires, Upload-Length, "
    "Upload-Metadata, Upload-Offset, X-Forwarded-Host, X-Forwarded-Proto, X-HTTP-Method-Override, "
    "X-Request-ID, X-Requested-With"
)
METHODS = "GET, HEAD, PUT, PATCH, POST, DELETE, OPTIONS"


@csrf_exempt  # no cookie opens anything here
def answer(request: HttpRequest) -> HttpResponseBase:
    """Any path under /storage/v1/."""
    try:
        response = _preflight(request) or routes.dispatch(request)
    except Exception as error:
        response = error_response(as_protocol_error(error))
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "sandbox"  # it shares its origin with the admin
    response.xframe_options_exempt = True  # type: ignore[attr-defined]  # an app may show a PDF in a frame
    response.headers["Access-Control-Allow-Origin"] = "*"  # no credentials: the token is the whole authority
    response.headers["Access-Control-Expose-Headers"] = EXPOSED
    return response


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
