"""Asks without a key, as a browser or a stranger would, and tells in plain words why there was no answer."""

import socket
import ssl
import time
from collections.abc import Iterator
from functools import lru_cache

import httpx

from storage.findings import Finding, ok, redact_url, warning
from storage.supabase.client import HEADERS
from storage.supabase.configuration import ref_of
from storage.supabase.transport import DeadlineTransport

TIMEOUT = 10  # seconds without a sign of life
SLOW = 1000  # milliseconds; one call takes some 2 on the same machine, and seldom 300 across an ocean


class Trouble(Exception):
    """What is wrong, and what to do about it."""

    def __init__(self, what: str, cure: str) -> None:
        super().__init__(what)
        self.what = what
        self.cure = cure


class Stopwatch:
    """Milliseconds since it was made."""

    def __init__(self) -> None:
        self.began = time.perf_counter()

    @property
    def ms(self) -> float:
        return round((time.perf_counter() - self.began) * 1000, 1)


def ask(method: str, url: str, headers: dict[str, str] | None = None, content: bytes = b"") -> httpx.Response:
    """The answer, whatever its status; redirects are not followed. Raises Trouble."""
    try:
        return _client().request(method, url, headers=headers, content=content)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise _trouble(error, url) from None


def ms_of(answer: httpx.Response) -> float:
    """From the first look for an address to the last byte."""
    return round(answer.elapsed.total_seconds() * 1000, 1)


def timed(name: str, what: str, ms: float) -> Finding:
    """That it went well, or a warning that it took long."""
    if ms < SLOW:
        return ok(name, what, ms)
    cure = "Serve in the project's region; look at the network between, and at the project's size."
    return warning(name, f"{what} It is slow.", cure, ms=ms)


def is_html(answer: httpx.Response) -> bool:
    return "html" in answer.headers.get("content-type", "")


@lru_cache(maxsize=1)
def _client() -> httpx.Client:
    """Each call on a connection of its own, so that its time is that of a stranger."""
    transport = DeadlineTransport(limits=httpx.Limits(max_keepalive_connections=0))
    return httpx.Client(transport=transport, headers=HEADERS, timeout=TIMEOUT)


def _trouble(error: Exception, url: str) -> Trouble:
    where = redact_url(url)
    for cause in _causes(error):
        match cause:
            case socket.gaierror():
                return Trouble(f"The host of {where} has no address (DNS).", _no_address(url))
            case ssl.SSLCertVerificationError():
                cure = (
                    "Give it one of a known authority for this very name, or name your own in SSL_CERT_FILE."
                )
                return Trouble(f"The certificate of {where} is not trusted.", cure)
            case ssl.SSLError():
                return Trouble(f"{where} does not speak TLS.", "Correct the port, or begin with http://.")
            case ConnectionRefusedError():
                cure = "Start the server (`supabase start`, `make run`), or correct the host and the port."
                return Trouble(f"Nobody listens at {where}.", cure)
            case httpx.TimeoutException():
                cure = "Look at firewalls and proxies between, and at the health of the project."
                return Trouble(f"{where} did not answer within {TIMEOUT} seconds.", cure)
    cure = "Look at host, port and scheme, and at proxies between."
    return Trouble(f"{where} did not answer as a web server does: {type(error).__name__}.", cure)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _no_address(url: str) -> str:
    if ref_of(url):
        return (
            "Compare the reference with the dashboard's; a project that is paused or deleted has no address."
        )
    return "Correct the host name; look at this machine's name server."
