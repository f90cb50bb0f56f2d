"""How Supabase Storage is asked: one HTTP client a process, errors that become ours, a key that nobody sees.

The SDK's storage client runs on it, as do the calls that the SDK does not have.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import httpx
import stamina
from django.conf import settings
from django.utils.http import parse_http_date_safe

from storage import keys
from storage.errors import (
    ObjectExists,
    ObjectMissing,
    ObjectRefused,
    StorageError,
    StorageMisconfigured,
    StorageUnavailable,
)
from storage.supabase.lines import Lines

if TYPE_CHECKING:
    from storage3 import SyncStorageClient

Result = TypeVar("Result")

TIMEOUT = httpx.Timeout(15, connect=5, pool=5)  # seconds without a sign of life
ATTEMPTS = 3  # each with its DEADLINE: with the waits, below 100 seconds
LONGEST_WAIT = 5  # seconds between two of them; when the server asks for more, the caller hears it
NO_ADDRESS = (httpx.UnsupportedProtocol, httpx.InvalidURL)
NO_SUCH_RANGE = 416  # who reads in ranges takes it for the end
HEADERS = {"User-Agent": "vivarium"}

_clients: dict[int, "Client"] = {}  # by process


class Client(httpx.Client):
    """Sends at once: Storage has no use for hooks, redirects and cookies, and httpx takes its time for them.

    With that, and with lines instead of a pool, a call takes a third less: see `bench/calls.py`.
    """

    def __init__(self) -> None:
        self.lines = Lines()
        super().__init__(transport=self.lines, timeout=TIMEOUT, headers=HEADERS)

    def send(self, request: httpx.Request, *, stream: bool = False, **options: Any) -> httpx.Response:
        with _with_key(request):
            response = self.lines.handle_request(request)
        response.request = request
        if not stream:
            try:
                response.read()
            finally:
                response.close()
        return response


@contextmanager
def _with_key(request: httpx.Request) -> Iterator[None]:
    """For just as long as it is on its way: no error or log finds the key there."""
    if not re.fullmatch("[!-~]+", settings.SUPABASE_SECRET_KEY):  # errors and logs repeat such a header
        raise StorageMisconfigured("SUPABASE_SECRET_KEY is not of the form it should have.")
    without = request.headers
    request.headers = httpx.Headers(
        [
            *without.multi_items(),
            ("apikey", settings.SUPABASE_SECRET_KEY),
            ("Authorization", f"Bearer {settings.SUPABASE_SECRET_KEY}"),
        ]
    )
    try:
        yield
    finally:
        request.headers = without


def sdk() -> "SyncStorageClient":
    return _sdk(os.getpid(), _endpoint())


def request(
    method: str, *path: str, what: str = "", streamed: bool = False, **options: Any
) -> httpx.Response:
    """The answer of a call, read to its end unless `streamed`. `what` it is about, if not its path's end.

    Raises as `ours` does.
    """
    url = f"{_endpoint()}/" + "/".join(quote(part) for part in path)
    return ours(lambda: _answer(method, url, streamed, **options), what or path[-1])


def _answer(method: str, url: str, streamed: bool, **options: Any) -> httpx.Response:
    headers = {**HEADERS, **options.pop("headers", {})}
    patience = {"timeout": TIMEOUT.as_dict()}
    sent = httpx.Request(method, url, headers=headers, extensions=patience, **options)
    response = _http().send(sent, stream=streamed)
    if not (response.is_success or (streamed and response.status_code == NO_SUCH_RANGE)):
        response.read()
        response.raise_for_status()
    return response


def json_object(response: httpx.Response, what: str) -> dict[str, Any]:
    """What an answer says: a gateway's page, which may come with 200, is none of Storage's."""
    said = ours(response.json, what)
    if not isinstance(said, dict):
        raise StorageUnavailable("Supabase Storage's answer makes no sense")
    return said


def ours(act: Callable[[], Result], what: str) -> Result:
    """The throat: what the SDK and the wire raise becomes StorageError. `what` names the object or bucket.

    It is raised outside of `except`, without a cause: in the frames of the old error stands the key.
    """
    try:
        return act()
    except (StorageError, keys.InvalidKey):
        raise
    except Exception as error:
        problem = _translated(error, what)
    raise problem


def _translated(error: Exception, what: str) -> Exception:
    response = _response_behind(error)
    if response is not None:
        return fact(response, what)
    if isinstance(error, httpx.NetworkError):
        return StorageUnavailable(f"Supabase Storage did not answer: {type(error).__name__}: {error}")
    if isinstance(error, NO_ADDRESS):
        return StorageMisconfigured("SUPABASE_URL is not of the form it should have.")
    if isinstance(error, httpx.TransportError):
        return StorageUnavailable(f"Supabase Storage did not answer: {type(error).__name__}")
    return StorageUnavailable(f"Supabase Storage's answer makes no sense: {type(error).__name__}")


def retry(act: Callable[[], Result]) -> Result:
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
    return error.retry_after <= LONGEST_WAIT and timedelta(seconds=max(error.retry_after, 0))


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
    if response.is_redirect:
        return StorageMisconfigured("SUPABASE_URL leads to another address: set it to that one.")
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
    except (ValueError, AttributeError, TypeError, RecursionError, OverflowError):
        return response.status_code, ""


def _retry_after(response: httpx.Response) -> float | None:
    """In seconds, of a number of them or of a moment (RFC 9110, 10.2.3)."""
    text = response.headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    moment = parse_http_date_safe(text)
    return None if moment is None else max(moment - time.time(), 0)


def _response_behind(error: BaseException | None) -> httpx.Response | None:
    """The SDK wraps what httpx raised, once or twice."""
    while error is not None:
        if isinstance(error, httpx.HTTPStatusError):
            return error.response
        error = error.__cause__ or error.__context__
    return None


def _endpoint() -> str:
    return f"{settings.SUPABASE_URL}/storage/v1"


def _http() -> Client:
    """A process's own: connections must not be shared across a fork. Its threads share it."""
    mine = os.getpid()
    return _clients.get(mine) or _clients.setdefault(mine, Client())


@lru_cache(maxsize=1)
def _sdk(pid: int, endpoint: str) -> "SyncStorageClient":
    from storage3 import SyncStorageClient  # noqa: PLC0415  (slow to load, and not needed by who never asks)

    # No key among its headers: it shows them in its repr.
    return SyncStorageClient(f"{endpoint}/", {}, http_client=_http())
