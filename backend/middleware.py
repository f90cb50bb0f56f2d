"""Middleware: request ids, hosts, problems, the storage budget, API headers, security of the admin, bodies.

Paths are compared without the prefix under which a proxy mounts the site: `path_info`, never `path`.
"""

import re
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC
from functools import lru_cache
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import structlog
from django.conf import settings
from django.contrib.admindocs.views import simplify_regex
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port
from django.utils import timezone
from django.utils.cache import has_vary_header, patch_vary_headers
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext

from api.auth.principal import Principal
from api.errors import exception_handler, problem
from api.parsers import read_body
from backend.access_log import FIELDS
from storage.base import signed_stores
from storage.budget import request_budget

Handler = Callable[[HttpRequest], HttpResponse]
#: The paths whose views take a body, which is read before them. The Storage server reads uploads itself.
PATHS_WITH_BODIES = ("/api/v1/", "/admin/")
REQUEST_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)

logger = structlog.get_logger("backend.requests")


class RequestIDMiddleware:
    """Adds a request id to the logs and the response: the client's `X-Request-ID` if valid, or a new one.

    It also leaves the fields of the access log that only Django knows.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        client_id = request.headers.get("X-Request-ID", "")
        request_id = client_id if REQUEST_ID.fullmatch(client_id) else uuid4().hex
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        response = self.get_response(request)
        response.headers["X-Request-ID"] = request_id
        request.META[FIELDS] = log_fields(request)
        return response


def log_fields(request: HttpRequest) -> dict[str, str | None]:
    """Return the route, such as `/api/v1/documents/<pk>/`, and a hash of the principal's id.

    Both are None if the request did not come that far. The hash is the same for all requests of a member.
    """
    user = getattr(request, "user", None)
    principal = None
    if type(user) is Principal:  # in the admin it is a lazy object, which would query the database
        principal = _hash_of(user.id)
    return {"route": route_of(request), "principal": principal}


@lru_cache(maxsize=10_000)
def _hash_of(member: UUID) -> str:
    hashed: str = salted_hmac("vivarium.access_log", str(member), algorithm="sha256").hexdigest()
    return hashed[:16]


def route_of(request: HttpRequest) -> str | None:
    """Return the route of a request, with `<name>` for what varies; None if no view has it."""
    match = request.resolver_match
    return _readable(match.route) if match and match.route else None


@lru_cache(maxsize=1000)
def _readable(route: str) -> str:
    readable: str = simplify_regex(route)
    return readable


class HostMiddleware:
    """Refuses hosts that this server does not have. If PUBLIC_URL is set, absolute URLs start with it."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not _is_valid_host(request):
            logger.warning("disallowed_host", path=request.path)
            return problem("malformed", gettext("This server is not configured for the host of the request."))
        if settings.PUBLIC_URL:
            # The cached property that `build_absolute_uri` uses. The host stays as it is for CSRF checks.
            vars(request)["_current_scheme_host"] = origin_of(settings.PUBLIC_URL)
        return self.get_response(request)


def _is_valid_host(request: HttpRequest) -> bool:
    """Return True if the host is in ALLOWED_HOSTS, and its port exists: Django accepts any number."""
    try:
        _, port = split_domain_port(request.get_host())
    except DisallowedHost:
        return False
    return not port or (len(port) <= 5 and 0 < int(port) <= 65535)


def origin_of(url: str) -> str:
    """Return scheme, host and port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


class ProblemMiddleware:
    """Answers errors outside DRF with `application/problem+json`, also with DEBUG."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith("/"):  # such as `OPTIONS *`, which the URLconf cannot match
            return problem("not_found")
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if request.path_info.startswith("/admin/") and request.content_type != "application/json":
            return None  # Django's error pages for people; problems for the admin's script, which sends JSON
        response = exception_handler(error, {})
        if response is None:
            logger.error("unhandled_exception", path=request.path, method=request.method, exc_info=error)
        return response or problem("internal")


class StorageBudgetMiddleware:
    """Gives all calls of a remote store within one request STORAGE_TIMEOUT seconds together."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with request_budget(settings.STORAGE_TIMEOUT):
            return self.get_response(request)


class APIMiddleware:
    """For the API: uses UTC, and sets `Cache-Control` and `Vary`."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith("/api/v1/"):
            return self.get_response(request)
        is_utc = timezone.get_current_timezone_name() == "UTC"
        with nullcontext() if is_utc else timezone.override(UTC):  # TIME_ZONE is only for the admin
            response = self.get_response(request)
        if "Cache-Control" not in response.headers:
            response.headers["Cache-Control"] = "private, no-cache"
        if not has_vary_header(response, "Authorization"):
            patch_vary_headers(response, ["Authorization"])
        return response


class AdminSecurityMiddleware:
    """For the admin: sets Content-Security-Policy, and refuses queries that PostgreSQL cannot store.

    Only files and connections of this server and the storage are allowed. Inline scripts are forbidden, so
    that no text in the database can run as a script, and so are frames.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith("/admin/"):
            return self.get_response(request)
        if "%00" in request.META.get("QUERY_STRING", ""):
            response: HttpResponse = problem(
                "malformed", gettext("The query contains a NUL character, which PostgreSQL cannot store.")
            )
        else:
            response = self.get_response(request)
        response.headers["Content-Security-Policy"] = content_security_policy()
        return response


class RequestBodyMiddleware:
    """Reads the body into memory, and refuses one that is too large, too slow or incomplete."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith(PATHS_WITH_BODIES) and (code := read_body(request)):
            return problem(code)
        return self.get_response(request)


def content_security_policy() -> str:
    """Return the value of the header Content-Security-Policy."""
    stores = " ".join(sorted({store.origin for store in signed_stores()}))
    images = " ".join([stores, *sorted({f"{store.cdn_url}/" for store in signed_stores() if store.cdn_url})])
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "font-src 'self'",
            f"img-src 'self' data: blob: {images}",  # blob: the preview of an image that is not uploaded yet
            f"connect-src 'self' {stores}",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "object-src 'none'",
        ]
    )
