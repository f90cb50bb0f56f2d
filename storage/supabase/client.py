"""The client of Supabase Storage: calls of the SDK, and requests that the SDK lacks, with retries and limits.

The HTTP libraries are loaded by the first call: without them, commands start faster.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from django.conf import settings

from storage import budget, keys
from storage.errors import StorageError, StorageMisconfigured, StorageUnavailable
from storage.supabase import request_limits

if TYPE_CHECKING:
    import httpx
    from storage3 import SyncStorageClient

Result = TypeVar("Result")

ATTEMPTS = 3  # each takes at most REQUEST_SECONDS; with the pauses between them, below 100 seconds
MAX_RETRY_AFTER = 5  # seconds between two attempts; if the server asks for more, the caller gets the error
PROGRAMMING_ERRORS = (TypeError, AttributeError, NameError, AssertionError, ImportError, NotImplementedError)


def call(act: "Callable[[SyncStorageClient], Result]", what: str) -> Result:
    """Call the SDK, with retries. `what` names the object or bucket in errors. Raises StorageError."""
    from storage.supabase.http_client import has_response  # noqa: PLC0415  (slow to load)

    with translate_errors(what):
        sdk = load_sdk()

    def attempt() -> Result:
        has_response.set(False)
        with translate_errors(what, is_response=has_response.get):
            return act(sdk)

    return retry(attempt)


def request(
    method: str, *path: str, what: str = "", stream: bool = False, **options: Any
) -> "httpx.Response":
    """Send one request, without retries, and return its successful response.

    The response is read to its end unless `stream`; then 416 also counts as success. `what` names the object
    or bucket in errors, by default the last part of the path. `options` are those of `httpx.Request`.
    Raises StorageError.
    """
    from storage.supabase import http_client  # noqa: PLC0415  (slow to load)

    with _limits(), translate_errors(what or path[-1], is_response=lambda: False):
        url = f"{_endpoint()}/" + "/".join(quote(part) for part in path)
        return http_client.send(method, url, stream=stream, **options)


def json_object(response: "httpx.Response", what: str) -> dict[str, Any]:
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
        from storage.supabase.http_client import translated  # noqa: PLC0415  (slow to load)

        new_error = translated(error, self.what)
        del error, frames
        try:
            raise new_error
        finally:
            new_error.__context__ = None


def retry(act: Callable[[], Result]) -> Result:
    """Call `act` up to ATTEMPTS times, with random pauses, while it raises StorageUnavailable.

    Within a request there are no more attempts when its budget is used up.
    """
    import stamina  # noqa: PLC0415  (slow to load)

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


def prepare() -> None:
    """Load the libraries and certificates, once. Call it where the time for that must not count."""
    import stamina  # noqa: F401, PLC0415  (slow to load)

    from storage.supabase import http_client  # noqa: F401, PLC0415  (slow to load)
    from storage.supabase.transport import ssl_context  # noqa: PLC0415  (slow to load)

    ssl_context()


def _limits() -> AbstractContextManager[None]:
    """Return the limits for a call, which do not include the time that the first call needs to prepare."""
    prepare()
    return request_limits.calling()


def close() -> None:
    """Close every connection and drop the SDK's client; the next call creates new ones. Forget failures."""
    from storage.supabase import http_client  # noqa: PLC0415  (slow to load)

    http_client.transport.close()
    http_client.sdk.cache_clear()
    request_limits.reset()


def _endpoint() -> str:
    return f"{settings.SUPABASE_URL}/storage/v1"


def load_sdk() -> "SyncStorageClient":
    """Return the SDK's client, which all threads share. The first call imports the SDK, which is slow."""
    from storage.supabase import http_client  # noqa: PLC0415  (slow to load)

    return http_client.sdk(_endpoint())
