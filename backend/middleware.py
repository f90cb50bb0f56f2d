"""What every request meets before and after its view."""

import re
from collections.abc import Callable
from datetime import UTC
from uuid import uuid4

import structlog
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.cache import has_vary_header, patch_vary_headers
from django.utils.translation import gettext

from api.errors import exception_handler, problem
from api.parsers import read_chunked
from storage.base import signed_stores

Handler = Callable[[HttpRequest], HttpResponse]
STALLED = 30  # seconds without a byte in either direction, after which a connection is given up
REQUEST_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)

logger = structlog.get_logger("backend.requests")


class RequestContext:
    """Binds `X-Request-ID` (the client's if it is plain, else a new one) to the logs, and echoes it."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        asked = request.headers.get("X-Request-ID", "")
        request_id = asked if REQUEST_ID.fullmatch(asked) else uuid4().hex
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        if connection := request.META.get("gunicorn.socket"):
            connection.settimeout(STALLED)  # else a body that never comes holds its thread for ever
        response = self.get_response(request)
        response.headers["X-Request-ID"] = request_id
        return response


class ProblemMiddleware:
    """Answers what goes wrong outside DRF in problem+json, also with DEBUG, when Django shows HTML."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            request.get_host()
        except DisallowedHost:
            logger.warning("bad_host", path=request.path)
            return problem("malformed", gettext("This server does not answer to the host of the request."))
        if not request.path_info.startswith("/"):  # `OPTIONS *`: what no route can match
            return problem("not_found")
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if request.path.startswith("/admin/") and request.content_type != "application/json":
            return None  # people get Django's pages; the admin's script, which sends JSON, gets problems
        known = exception_handler(error, {})
        if known is None:
            logger.error("unhandled", path=request.path, method=request.method, exc_info=error)
        return known or problem("internal")


class ApiHeaders:
    """Reads chunked bodies, which Django does not, tells times in UTC, and says what caches may keep."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith("/api/v1/"):
            return self.get_response(request)
        if code := read_chunked(request):
            return problem(code)
        with timezone.override(UTC):  # every time of the API, whatever TIME_ZONE the admin has
            response = self.get_response(request)
        if "Cache-Control" not in response.headers:
            response.headers["Cache-Control"] = "private, no-cache"
        if not has_vary_header(response, "Authorization"):
            patch_vary_headers(response, ["Authorization"])
        return response


class AdminContentSecurityPolicy:
    """Lets a page of the admin load nothing but its own files, and speak to nobody but us and the store.

    Nothing inline runs there, whatever a name in the database holds; and nobody frames it.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith("/admin/"):
            return self.get_response(request)
        if "%00" in request.META.get("QUERY_STRING", ""):
            response = problem(
                "malformed", gettext("PostgreSQL keeps no NUL, and so there is none to look for.")
            )
        else:
            response = self.get_response(request)
        response.headers["Content-Security-Policy"] = content_security_policy()
        return response


def content_security_policy() -> str:
    stores = " ".join(sorted({store.origin for store in signed_stores()}))
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "font-src 'self'",
            f"img-src 'self' data: blob: {stores}",  # blob: the preview of a picture that is not sent yet
            f"connect-src 'self' {stores}",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "object-src 'none'",
        ]
    )
