"""HTTP requests without the API key, as a browser sends them, and explanations for those that fail."""

import socket
import ssl
import time
from collections.abc import Iterator
from functools import lru_cache

import httpx

from storage.findings import Finding, ok, redact_url, warning
from storage.supabase.configuration import project_ref
from storage.supabase.http_client import HEADERS
from storage.supabase.transport import DeadlineTransport

TIMEOUT = 10  # seconds for each wait on the network
SLOW_MS = 1000  # milliseconds; a call takes about 2 on the same machine, and rarely 300 across an ocean


class CheckFailed(Exception):
    """A check found a problem: what is wrong, and how to solve it."""

    def __init__(self, what: str, cure: str) -> None:
        super().__init__(what)
        self.what = what
        self.cure = cure


class Stopwatch:
    """Measures the milliseconds since its creation."""

    def __init__(self) -> None:
        self.started = time.perf_counter()

    @property
    def ms(self) -> float:
        return round((time.perf_counter() - self.started) * 1000, 1)


def send(
    method: str, url: str, headers: dict[str, str] | None = None, content: bytes = b""
) -> httpx.Response:
    """Return the response, whatever its status; redirects are not followed. Raises CheckFailed."""
    try:
        return _client().request(method, url, headers=headers, content=content)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise _explain(error, url) from None


def elapsed_ms(response: httpx.Response) -> float:
    """Return the milliseconds from the DNS lookup to the last byte of the response."""
    return round(response.elapsed.total_seconds() * 1000, 1)


def ok_or_slow(name: str, what: str, ms: float) -> Finding:
    """Return an `ok` finding, or a warning if the call took SLOW_MS or longer."""
    if ms < SLOW_MS:
        return ok(name, what, ms)
    cure = (
        "Run the API in the project's region; check the network between them, and the project's compute size."
    )
    return warning(name, f"{what} It is slow.", cure, ms=ms)


def is_html(response: httpx.Response) -> bool:
    return "html" in response.headers.get("content-type", "")


@lru_cache(maxsize=1)
def _client() -> httpx.Client:
    """Return a client without keep-alive, so that every measured time includes connecting."""
    transport = DeadlineTransport(keep_alive=False)
    return httpx.Client(transport=transport, headers=HEADERS, timeout=TIMEOUT)


def _explain(error: Exception, url: str) -> CheckFailed:
    where = redact_url(url)
    for cause in _causes(error):
        match cause:
            case socket.gaierror():
                return CheckFailed(f"The host name of {where} cannot be resolved (DNS).", _dns_cure(url))
            case ssl.SSLCertVerificationError():
                cure = (
                    "Install a certificate of a trusted authority for this host name, or set SSL_CERT_FILE "
                    "to the certificate of your own authority."
                )
                return CheckFailed(f"The certificate of {where} is not trusted.", cure)
            case ssl.SSLError():
                return CheckFailed(f"{where} does not speak TLS.", "Correct the port, or use http://.")
            case ConnectionRefusedError():
                cure = "Start the server (`supabase start`, `make run`), or correct the host and the port."
                return CheckFailed(f"{where} refused the connection: no server listens there.", cure)
            case httpx.TimeoutException():
                cure = "Check firewalls and proxies on the way, and the health of the project."
                return CheckFailed(f"{where} did not answer within {TIMEOUT} seconds.", cure)
    cure = "Check host, port and scheme, and proxies on the way."
    return CheckFailed(f"{where} did not send a valid HTTP response: {type(error).__name__}.", cure)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error, and the errors that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _dns_cure(url: str) -> str:
    if project_ref(url):
        return (
            "Compare the project reference with the one in the dashboard; a paused or deleted project has no "
            "DNS record."
        )
    return "Correct the host name; check this machine's DNS server."
