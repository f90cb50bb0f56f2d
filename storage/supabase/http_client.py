"""The HTTP client of Supabase Storage: single requests, the SDK's client, and their errors as StorageError.

The transport adds the secret key, so that no request object, error or log contains it.
"""

import re
import time
from contextvars import ContextVar
from functools import lru_cache
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import httpx
from django.conf import settings
from django.utils.http import parse_http_date_safe

from storage import keys
from storage.errors import (
    ObjectExists,
    ObjectMissing,
    ObjectRefused,
    StorageMisconfigured,
    StorageUnavailable,
)
from storage.supabase import request_limits
from storage.supabase.request_limits import UnknownError
from storage.supabase.transport import DeadlineTransport, Headers

if TYPE_CHECKING:
    from storage3 import SyncStorageClient

TIMEOUT = httpx.Timeout(15, connect=5)  # seconds without a byte
INVALID_URL_ERRORS = (httpx.UnsupportedProtocol, httpx.InvalidURL)
HEADERS = {"User-Agent": "vivarium"}

#: Whether the SDK has received a response in the current call.
has_response: ContextVar[bool] = ContextVar("has_response", default=False)


def _key_headers() -> Headers:
    """Return headers with the secret key. It is in no local variable, because tracebacks may show these."""
    if not re.fullmatch("[!-~]+", settings.SUPABASE_SECRET_KEY):  # errors and logs would quote such a header
        raise StorageMisconfigured("SUPABASE_SECRET_KEY is malformed.")
    return [
        (b"apikey", settings.SUPABASE_SECRET_KEY.encode()),
        (b"Authorization", b"Bearer " + settings.SUPABASE_SECRET_KEY.encode()),
    ]


transport = DeadlineTransport(headers=_key_headers, waiting=request_limits.waiting)


def send(
    method: str, url: str, *, stream: bool = False, headers: dict[str, str] | None = None, **options: Any
) -> httpx.Response:
    """Send one request and return its successful response: see `client.request`. Raises httpx.HTTPError."""
    extensions = {"timeout": TIMEOUT.as_dict()}
    sent = httpx.Request(
        method, url, headers={**HEADERS, **(headers or {})}, extensions=extensions, **options
    )
    # Not sent with httpx.Client: its hooks, redirects and cookies take time and are not needed.
    response = transport.handle_request(sent)
    response.request = sent
    status = response.status_code
    accepted = response.is_success or (stream and status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
    if not (stream and accepted):
        try:
            response.read()
        finally:
            response.close()
    if not accepted:
        response.raise_for_status()
    return response


@lru_cache(maxsize=1)
def sdk(endpoint: str) -> "SyncStorageClient":
    """Return the SDK's client, which all threads share."""
    from storage3 import SyncStorageClient  # noqa: PLC0415  (slow to load, and not needed for most calls)

    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))  # all threads share the client
    hooks = {"response": [lambda response: has_response.set(True)]}
    client = httpx.Client(
        transport=transport, headers=HEADERS, timeout=TIMEOUT, cookies=no_cookies, event_hooks=hooks
    )
    return SyncStorageClient(f"{endpoint}/", {}, http_client=client)


def translated(error: Exception, what: str) -> Exception:
    """Return the exception for an error of the SDK or of HTTP. `what` names the object or bucket."""
    response = _error_response(error)
    if response is not None:
        return error_from_response(response, what)
    if isinstance(error, httpx.NetworkError):
        return StorageUnavailable(f"Supabase Storage did not answer: {type(error).__name__}: {error}")
    if isinstance(error, INVALID_URL_ERRORS):
        return StorageMisconfigured("SUPABASE_URL is malformed.")
    if isinstance(error, httpx.TransportError):
        return StorageUnavailable(f"Supabase Storage did not answer: {type(error).__name__}")
    return StorageUnavailable(f"Supabase Storage sent an invalid response: {type(error).__name__}")


def error_from_response(response: httpx.Response, what: str) -> Exception:
    """Return the exception for an error response. It contains only the code of the response's body."""
    status, code = _status_and_code(response)
    match code:
        case "NoSuchKey" | "not_found":
            return ObjectMissing(what)
        case "KeyAlreadyExists" | "Duplicate":
            return ObjectExists(what)
        case "InvalidKey":
            return keys.InvalidKey("Invalid key")
        case "EntityTooLarge" | "InvalidMimeType":
            return ObjectRefused(f"The bucket does not accept this object: {code}")
        case "NoSuchBucket":
            return StorageMisconfigured(
                f"There is no bucket for {what!r}, or SUPABASE_SECRET_KEY is not this project's secret key: "
                "run `manage.py check_supabase`."
            )
    if status in (401, 403) or code in ("AccessDenied", "InvalidJWT", "InvalidSignature"):
        return StorageMisconfigured(
            "Supabase Storage refuses SUPABASE_SECRET_KEY: run `manage.py check_supabase`."
        )
    if response.is_redirect:
        return StorageMisconfigured("SUPABASE_URL redirects to another address: set it to that one.")
    if status == 429 or status >= 500:
        return StorageUnavailable(f"Supabase Storage answered {status}", _retry_after(response))
    if status == 404:
        return StorageMisconfigured("SUPABASE_URL or a bucket is wrong: run `manage.py check_supabase`.")
    if status == 409:
        return ObjectExists(what)
    if status in (413, 415):
        return ObjectRefused(f"The bucket does not accept this object: {status}")
    return UnknownError(f"Supabase Storage answered {status} {code}".rstrip())


def _status_and_code(response: httpx.Response) -> tuple[int, str]:
    """Return the status and code in the body. A body that is not Storage's, as of a gateway, has none."""
    try:
        body = response.json()
        return int(body.get("statusCode", response.status_code)), str(
            body.get("code") or body.get("error") or ""
        )
    except (ValueError, AttributeError, TypeError, RecursionError, OverflowError):
        return response.status_code, ""


def _retry_after(response: httpx.Response) -> float | None:
    """Return Retry-After in seconds, which it has as a number or as a date (RFC 9110, 10.2.3)."""
    text = response.headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    date = parse_http_date_safe(text)
    return None if date is None else max(date - time.time(), 0)


def _error_response(error: BaseException | None) -> httpx.Response | None:
    """Return the response of an HTTP error, which the SDK may have wrapped once or twice; else None."""
    while error is not None:
        if isinstance(error, httpx.HTTPStatusError):
            return error.response
        error = error.__cause__ or error.__context__
    return None
