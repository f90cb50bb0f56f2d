"""What every request meets before and after its view."""

import re
from collections.abc import Callable
from uuid import uuid4

import structlog
from django.core.exceptions import (
    DisallowedHost,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.cache import has_vary_header, patch_vary_headers

from api.errors import problem
from api.parsers import read_chunked

Handler = Callable[[HttpRequest], HttpResponse]
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
        response = self.get_response(request)
        response.headers["X-Request-ID"] = request_id
        return response


class Problems:
    """Answers what goes wrong outside DRF in problem+json, also with DEBUG, when Django shows HTML."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            request.get_host()
        except DisallowedHost:
            logger.warning("bad_host", path=request.path)
            return problem("malformed", "This server does not answer to the host of the request.")
        if not request.path_info.startswith("/"):  # `OPTIONS *`: what no route can match
            return problem("not_found")
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if request.path.startswith("/admin/"):
            return None
        if isinstance(error, Http404):
            return problem("not_found")
        if isinstance(error, PermissionDenied):
            return problem("permission_denied")
        if isinstance(error, RequestDataTooBig):
            return problem("too_large")
        if isinstance(error, SuspiciousOperation):
            return problem("malformed")
        logger.error("unhandled", path=request.path, method=request.method, exc_info=error)
        return problem("internal")


class ApiManners:
    """Reads chunked bodies, which Django does not, and says what caches may keep."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith("/api/v1/"):
            return self.get_response(request)
        if code := read_chunked(request):
            return problem(code)
        response = self.get_response(request)
        if "Cache-Control" not in response.headers:
            response.headers["Cache-Control"] = "private, no-cache"
        if not has_vary_header(response, "Authorization"):
            patch_vary_headers(response, ["Authorization"])
        return response
