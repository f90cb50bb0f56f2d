"""How Supabase Storage is asked: one HTTP client a process, errors that become ours, a key that nobody sees.

The SDK's storage client runs on it, as do the calls that the SDK does not have.
"""

import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import httpx
import stamina
from django.conf import settings

from storage import keys
from storage.base import (
    ObjectExists,
    ObjectMissing,
    ObjectRefused,
    StorageError,
    StorageMisconfigured,
    StorageUnavailable,
)

if TYPE_CHECKING:
    from storage3 import SyncStorageClient

Result = TypeVar("Result")

TIMEOUT = httpx.Timeout(20, connect=5)  # seconds without a sign of life
DEADLINE = 25  # seconds for one answer, however slowly it drips; three of them and the waits are below 100
ATTEMPTS = 3
LONGEST_WAIT = 5  # seconds between two of them, also when the server asks for more
LIMITS = httpx.Limits(max_connections=64, max_keepalive_connections=16)
NO_SUCH_RANGE = 416  # who reads in ranges takes it for the end
HEADERS = {"User-Agent": "vivarium"}


class ServiceKey(httpx.Auth):
    """Puts the key on a request for just as long as it is on its way: no error or log finds it there."""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["apikey"] = settings.SUPABASE_SECRET_KEY
        request.headers["Authorization"] = f"Bearer {settings.SUPABASE_SECRET_KEY}"
        try:
            yield request
        finally:
            del request.headers["apikey"], request.headers["Authorization"]


class Deadline(httpx.HTTPTransport):
    """An answer that comes a byte at a time ends too; one that is streamed may take its time."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        if not request.extensions.get("streamed"):
            response.stream = Bounded(response.stream, time.monotonic() + DEADLINE)
        return response


class Bounded(httpx.SyncByteStream):
    def __init__(self, stream: Any, deadline: float) -> None:
        self.stream = stream
        self.deadline = deadline

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.stream:
            if time.monotonic() > self.deadline:
                raise httpx.ReadTimeout("the answer took too long")
            yield piece

    def close(self) -> None:
        self.stream.close()


def sdk() -> "SyncStorageClient":
    return _sdk(os.getpid(), _endpoint())


def request(method: str, *path: str, streamed: bool = False, **options: Any) -> httpx.Response:
    """The answer of a call, read to its end unless `streamed`. Raises as `ours` does."""
    url = f"{_endpoint()}/" + "/".join(quote(part) for part in path)
    client = _http(os.getpid())
    with ours(path[-1]):
        asked = client.build_request(method, url, **options)
        asked.extensions["streamed"] = streamed
        response = client.send(asked, stream=streamed)
        if response.is_error and not (streamed and response.status_code == NO_SUCH_RANGE):
            response.read()
            raise fact(response, path[-1])
    return response


@contextmanager
def ours(what: str) -> Iterator[None]:
    """The throat: what the SDK and the wire raise becomes StorageError. `what` names the object or bucket."""
    try:
        yield
    except (StorageError, keys.InvalidKey):
        raise
    except httpx.TransportError as error:
        raise StorageUnavailable(f"Supabase Storage did not answer: {type(error).__name__}") from error
    except Exception as error:
        response = _response_behind(error)
        if response is not None:
            raise fact(response, what) from error
        raise StorageUnavailable(
            f"Supabase Storage's answer makes no sense: {type(error).__name__}"
        ) from error


def retried(act: Callable[[], Result]) -> Result:
    """For what may be repeated: a few times, with pauses that chance spreads."""
    pauses = {"wait_initial": 0.1, "wait_max": LONGEST_WAIT, "wait_jitter": 0.5}
    for attempt in stamina.retry_context(_worth_repeating, attempts=ATTEMPTS, timeout=60, **pauses):
        with attempt:
            return act()
    raise AssertionError("unreachable")


def _worth_repeating(error: Exception) -> bool | timedelta:
    if not isinstance(error, StorageUnavailable) or isinstance(error, StorageMisconfigured):
        return False
    if error.retry_after is None:
        return True
    return timedelta(seconds=min(max(error.retry_after, 0), LONGEST_WAIT))


def fact(response: httpx.Response, what: str) -> Exception:
    """What an answer that is an error means to us. Nothing of its own words is kept but the code."""
    status, code = _status_and_code(response)
    match code:
        case "NoSuchKey" | "not_found":
            return ObjectMissing(what)
        case "KeyAlreadyExists" | "Duplicate":
            return ObjectExists(what)
        case "InvalidKey":
            return keys.InvalidKey("Invalid key")
        case "EntityTooLarge" | "InvalidMimeType":
            return ObjectRefused(f"The bucket does not take this object: {code}")
        case "NoSuchBucket":
            return StorageMisconfigured(
                f"There is no bucket for {what!r}, or SUPABASE_SECRET_KEY is not this project's secret key: "
                "run `manage.py check_supabase`."
            )
    if status in (401, 403) or code in ("AccessDenied", "InvalidJWT", "InvalidSignature"):
        return StorageMisconfigured(
            "Supabase Storage refuses SUPABASE_SECRET_KEY: run `manage.py check_supabase`."
        )
    if status == 429 or status >= 500:
        return StorageUnavailable(f"Supabase Storage answered {status}", _retry_after(response))
    if status == 404:
        return StorageMisconfigured("SUPABASE_URL or a bucket is wrong: run `manage.py check_supabase`.")
    if status == 409:
        return ObjectExists(what)
    if status in (413, 415):
        return ObjectRefused(f"The bucket does not take this object: {status}")
    return StorageUnavailable(f"Supabase Storage answered {status} {code}".rstrip())


def _status_and_code(response: httpx.Response) -> tuple[int, str]:
    """The true status stands in the body, if that is one of Storage's and not of a gateway."""
    try:
        body = response.json()
        return int(body.get("statusCode", response.status_code)), str(
            body.get("code") or body.get("error") or ""
        )
    except (ValueError, AttributeError, TypeError, RecursionError):
        return response.status_code, ""


def _retry_after(response: httpx.Response) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else None


def _response_behind(error: BaseException | None) -> httpx.Response | None:
    """The SDK wraps what httpx raised, once or twice."""
    while error is not None:
        if isinstance(error, httpx.HTTPStatusError):
            return error.response
        error = error.__cause__ or error.__context__
    return None


def _endpoint() -> str:
    return f"{settings.SUPABASE_URL}/storage/v1"


@lru_cache(maxsize=1)
def _http(pid: int) -> httpx.Client:
    """A process's own: connections must not be shared across a fork. Threads share it."""
    return httpx.Client(
        transport=Deadline(limits=LIMITS), timeout=TIMEOUT, auth=ServiceKey(), headers=HEADERS
    )


@lru_cache(maxsize=1)
def _sdk(pid: int, endpoint: str) -> "SyncStorageClient":
    from storage3 import SyncStorageClient  # noqa: PLC0415  (slow to load, and not needed by who never asks)

    # No key among its headers: it shows them in its repr.
    return SyncStorageClient(f"{endpoint}/", {}, http_client=_http(pid))
