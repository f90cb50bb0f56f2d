"""The client of Supabase Storage: calls of the SDK, requests that the SDK lacks, and errors as StorageError.

The transport adds the secret key, so that no request object, error or log contains it.
"""

import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from datetime import timedelta
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import httpx
import stamina
from django.conf import settings
from django.utils.http import parse_http_date_safe

from storage import budget, keys
from storage.errors import (
    ObjectExists,
    ObjectMissing,
    ObjectRefused,
    StorageError,
    StorageMisconfigured,
    StorageUnavailable,
)
from storage.supabase import request_limits
from storage.supabase.request_limits import UnknownError
from storage.supabase.transport import DeadlineTransport, Headers, ssl_context

if TYPE_CHECKING:
    from storage3 import SyncStorageClient

Result = TypeVar("Result")

TIMEOUT = httpx.Timeout(15, connect=5)  # seconds without a byte
ATTEMPTS = 3  # each takes at most REQUEST_SECONDS; with the pauses between them, below 100 seconds
MAX_RETRY_AFTER = 5  # seconds between two attempts; if the server asks for more, the caller gets the error
INVALID_URL_ERRORS = (httpx.UnsupportedProtocol, httpx.InvalidURL)
PROGRAMMING_ERRORS = (TypeError, AttributeError, NameError, AssertionError, ImportError, NotImplementedError)
RANGE_NOT_SATISFIABLE = 416  # the requested range starts after the last byte of the object
HEADERS = {"User-Agent": "vivarium"}

#: Whether the SDK has received a response in the current call.
_has_response: ContextVar[bool] = ContextVar("has_response", default=False)


def _key_headers() -> Headers:
    """Return headers with the secret key. It is in no local variable, because tracebacks may show these."""
    if not re.fullmatch("[!-~]+", settings.SUPABASE_SECRET_KEY):  # errors and logs would quote such a header
        raise StorageMisconfigured("SUPABASE_SECRET_KEY is malformed.")
    return [
        (b"apikey", settings.SUPABASE_SECRET_KEY.encode()),
        (b"Authorization", b"Bearer " + settings.SUPABASE_SECRET_KEY.encode()),
    ]


transport = DeadlineTransport(headers=_key_headers, waiting=request_limits.waiting)


def call(act: "Callable[[SyncStorageClient], Result]", what: str) -> Result:
    """Call the SDK, with retries. `what` names the object or bucket in errors. Raises StorageError."""

    with translate_errors(what):
        sdk = load_sdk()

    def attempt() -> Result:
        _has_response.set(False)
        with translate_errors(what, is_response=_has_response.get):
            return act(sdk)

    return retry(attempt)


def request(method: str, *path: str, what: str = "", stream: bool = False, **options: Any) -> httpx.Response:
    """Send one request, without retries, and return its successful response.

    The response is read to its end unless `stream`; then 416 also counts as success. `what` names the object
    or bucket in errors, by default the last part of the path. `options` are those of `httpx.Request`.
    Raises StorageError.
    """
    headers = {**HEADERS, **options.pop("headers", {})}
    with _limits(), translate_errors(what or path[-1], is_response=lambda: False):
        url = f"{_endpoint()}/" + "/".join(quote(part) for part in path)
        extensions = {"timeout": TIMEOUT.as_dict()}
        sent = httpx.Request(method, url, headers=headers, extensions=extensions, **options)
        # Not sent with httpx.Client: its hooks, redirects and cookies take time and are not needed.
        response = transport.handle_request(sent)
        response.request = sent
        accepted = response.is_success or (stream and response.status_code == RANGE_NOT_SATISFIABLE)
        if not (stream and accepted):
            try:
                response.read()
            finally:
                response.close()
        if not accepted:
            response.raise_for_status()
        return response


def json_object(response: httpx.Response, what: str) -> dict[str, Any]:
    """Return the JSON object in a response. Raises StorageUnavailable for anything else, such as HTML."""
    with translate_errors(what):
        body = response.json()
    if not isinstance(body, dict):
        raise StorageUnavailable("Supabase Storage sent an invalid response")
    return body


class translate_errors:  # noqa: N801  (used as `with translate_errors(…):`)
    """Translate errors of the SDK and of HTTP to StorageError. `what` names the object or bucket.

    A programming error such as a TypeError is translated only if it comes from reading a response, which the
    SDK does without checking its form: `is_response` returns whether there was one by then.

    The new error has no cause, context or traceback frame of the old one: these may contain the secret key.
    """

    def __init__(self, what: str, is_response: Callable[[], bool] = lambda: True) -> None:
        self.what = what
        self.is_response = is_response

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, frames: Any) -> None:
        if not isinstance(error, Exception) or isinstance(error, StorageError | keys.InvalidKey):
            return
        if isinstance(error, PROGRAMMING_ERRORS) and not self.is_response():
            return
        translated = _translated(error, self.what)
        del error, frames
        try:
            raise translated
        finally:
            translated.__context__ = None


def retry(act: Callable[[], Result]) -> Result:
    """Call `act` up to ATTEMPTS times, with random pauses, while it raises StorageUnavailable.

    Within a request there are no more attempts when its budget is used up.
    """
    pauses = {"wait_initial": 0.1, "wait_max": MAX_RETRY_AFTER, "wait_jitter": 0.5}
    with _limits():
        for attempt in stamina.retry_context(is_worth_retrying, attempts=ATTEMPTS, timeout=60, **pauses):
            with attempt:
                return act()
    raise AssertionError("unreachable")


def is_worth_retrying(error: Exception) -> bool | timedelta:
    """Return whether to call again, or how long to wait before that."""
    if not isinstance(error, StorageUnavailable) or isinstance(error, StorageMisconfigured):
        return False
    seconds_left = budget.ends_at() - time.monotonic()
    if error.retry_after is None:
        return seconds_left > 0
    longest = min(MAX_RETRY_AFTER, seconds_left)
    return error.retry_after <= longest and timedelta(seconds=max(error.retry_after, 0))


def _limits() -> AbstractContextManager[None]:
    """Return the limits for a call. The time in which the first call reads certificates does not count."""
    ssl_context()
    return request_limits.calling()


def close() -> None:
    """Close every connection and drop the SDK's client; the next call creates new ones. Forget failures."""
    transport.close()
    request_limits.reset()
    _sdk.cache_clear()


def _translated(error: Exception, what: str) -> Exception:
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


def _endpoint() -> str:
    return f"{settings.SUPABASE_URL}/storage/v1"


def load_sdk() -> "SyncStorageClient":
    """Return the SDK's client, which all threads share. The first call imports the SDK, which is slow."""
    return _sdk(_endpoint())


@lru_cache(maxsize=1)
def _sdk(endpoint: str) -> "SyncStorageClient":
    from storage3 import SyncStorageClient  # noqa: PLC0415  (slow to load, and not needed by every process)

    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))  # all threads share the client
    hooks = {"response": [lambda response: _has_response.set(True)]}
    client = httpx.Client(
        transport=transport, headers=HEADERS, timeout=TIMEOUT, cookies=no_cookies, event_hooks=hooks
    )
    return SyncStorageClient(f"{endpoint}/", {}, http_client=client)
