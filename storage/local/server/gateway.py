"""The view of the local Storage server: CORS, security headers, and the translation of exceptions."""

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from storage.local.server import routes
from storage.local.server.errors import as_protocol_error, error_response

EXPOSED_HEADERS = (
    "Accept-Ranges, Authorization, Content-Disposition, Content-Length, Content-Range, Content-Type, ETag, "
    "Forwarded, Last-Modified, Location, Retry-After, Tus-Complete, Tus-Extension, Tus-Max-Size, "
    "Tus-Resumable, Tus-Version, Upload-Concat, Upload-Defer-Length, Upload-Expires, Upload-Length, "
    "Upload-Metadata, Upload-Offset, X-Forwarded-Host, X-Forwarded-Proto, X-HTTP-Method-Override, "
    "X-Request-ID, X-Requested-With"
)
ALLOWED_METHODS = "GET, HEAD, PUT, PATCH, POST, DELETE, OPTIONS"


@csrf_exempt  # no cookie authenticates a request here
def storage_api(request: HttpRequest) -> HttpResponseBase:
    """Answer a request for any path under /storage/v1/."""
    try:
        response = _preflight(request) or routes.dispatch(request)
    except Exception as error:
        response = error_response(as_protocol_error(error))
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "sandbox"  # files are served from the origin of the admin
    response.xframe_options_exempt = True  # type: ignore[attr-defined]  # an app may show a PDF in a frame
    response.headers["Access-Control-Allow-Origin"] = "*"  # no credentials: only the token gives access
    response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
    return response


def _preflight(request: HttpRequest) -> HttpResponse | None:
    """Return the answer to a CORS preflight request, None for another request.

    OPTIONS requests for resumable uploads are answered by `tus_uploads.options`.
    """
    if request.method != "OPTIONS" or routes.is_resumable(request):
        return None
    requested = request.headers.get("Access-Control-Request-Headers", "")
    return HttpResponse(
        headers={
            "Access-Control-Allow-Headers": requested or "*",
            "Access-Control-Allow-Methods": ALLOWED_METHODS,
            "Access-Control-Max-Age": "3600",
        }
    )
