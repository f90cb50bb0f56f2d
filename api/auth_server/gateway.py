"""The view of the local Auth server: CORS, and the translation of exceptions.

As at the gateway of Supabase, every origin may call it and the header `apikey` may have any value.
"""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from api.auth_server import routes
from api.auth_server.errors import VERSION_HEADER, error_response

ALLOWED_METHODS = "GET, POST, PUT, PATCH, DELETE, OPTIONS"
ALLOWED_HEADERS = f"Authorization, Content-Type, apikey, X-Client-Info, {VERSION_HEADER}"
#: Without the version in it, supabase-js does not find the code of an error.
EXPOSED_HEADERS = f"X-Total-Count, Link, {VERSION_HEADER}"


@csrf_exempt  # no cookie authenticates a request here
def auth_api(request: HttpRequest) -> HttpResponse:
    """Answer a request for any path under /auth/v1/."""
    try:
        response = _preflight(request) if request.method == "OPTIONS" else routes.dispatch(request)
    except Exception as error:
        response = error_response(request, error)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Access-Control-Allow-Origin"] = "*"  # no credentials: only the token gives access
    response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
    return response


def _preflight(request: HttpRequest) -> HttpResponse:
    """Return the answer to a CORS preflight request. All headers that are asked for are allowed."""
    requested = request.headers.get("Access-Control-Request-Headers", "")
    return HttpResponse(
        status=204,
        headers={
            "Access-Control-Allow-Headers": requested or ALLOWED_HEADERS,
            "Access-Control-Allow-Methods": ALLOWED_METHODS,
            "Access-Control-Max-Age": "3600",
        },
    )
