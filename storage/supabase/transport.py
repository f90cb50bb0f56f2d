"""A call ends, however slowly the other side speaks.

httpx bounds each wait on a connection and not their sum: a server that drips would hold a thread for hours.
"""

import math
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import httpcore
import httpx

DEADLINE = 20  # seconds for a request and its answer
SLOWEST = 256 * 1024  # bytes a second: what carries more may take so much longer
SMALL = 16 * 1024  # bytes of a request that are sent together

_until: ContextVar[float] = ContextVar("until", default=math.inf)
_slowest: ContextVar[int] = ContextVar("slowest", default=0)  # bytes a second; 0: SLOWEST


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What waits for the network in here gives up when the time is over; an outer bound holds as well."""
    before = _until.set(min(_until.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _until.reset(before)


@contextmanager
def no_slower_than(rate: int) -> Iterator[None]:
    """For lines that are slow, or shared: a call in here may take as long as so many bytes a second need."""
    before = _slowest.set(rate)
    try:
        yield
    finally:
        _slowest.reset(before)


def needed(size: int) -> float:
    """Seconds that so many bytes may travel."""
    return size / (_slowest.get() or SLOWEST)


class DeadlineTransport(httpx.HTTPTransport):
    """Any number of threads may use it at once, as far as its `limits` allow."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._pool._network_backend = DeadlineBackend()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        asked = time.monotonic()
        travel = needed(int(request.headers.get("Content-Length", 0)))
        allowed = DEADLINE + travel
        patience = request.extensions.get("timeout", {})
        # What was written may still lie in this machine's buffers when the wait for the answer begins.
        if patience.get("read") is not None:
            request.extensions["timeout"] = {**patience, "read": patience["read"] + travel}
        with within(allowed):
            response = super().handle_request(request)
        response.stream = Rest(response.stream, allowed - (time.monotonic() - asked))
        return response


class Rest(httpx.SyncByteStream):
    """What follows an answer's beginning. The time that its reader takes between two chunks is free."""

    def __init__(self, stream: Any, left: float) -> None:
        self.stream, self.left = stream, left

    def __iter__(self) -> Iterator[bytes]:
        chunks = iter(self.stream)
        while True:
            asked = time.monotonic()
            with within(self.left):
                chunk = next(chunks, None)
            if chunk is None:
                return
            self.left += needed(len(chunk)) - (time.monotonic() - asked)
            yield chunk

    def close(self) -> None:
        self.stream.close()


class DeadlineBackend(httpcore.SyncBackend):
    def connect_tcp(self, host: str, port: int, timeout: float | None = None, **options: Any) -> "Connection":  # type: ignore[override]
        timeout = _left(timeout, httpcore.ConnectTimeout)
        return Connection(super().connect_tcp(host, port, timeout, **options))


class Connection(httpcore.NetworkStream):
    """On which nobody waits for longer than `within` allows, and a small request leaves in one piece."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self.stream = stream
        self.unsent = b""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with suppress(httpcore.WriteError):  # as httpcore does: the other side may have said why it hung up
            self._flush(timeout)
        return self.stream.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Headers wait for their body: each chunk would wake the server for itself."""
        self.unsent += buffer
        if len(self.unsent) > SMALL:
            self._flush(timeout)

    def _flush(self, timeout: float | None) -> None:
        buffer, self.unsent = self.unsent, b""
        for start in range(0, len(buffer), SLOWEST):
            self.stream.write(buffer[start : start + SLOWEST], _left(timeout, httpcore.WriteTimeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> "Connection":
        timeout = _left(timeout, httpcore.ConnectTimeout)
        return Connection(self.stream.start_tls(ssl_context, server_hostname, timeout))

    def close(self) -> None:
        self.stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)


def _left(timeout: float | None, late: type[Exception]) -> float | None:
    left = _until.get() - time.monotonic()
    if left <= 0:
        raise late("the call took too long")
    return left if timeout is None else min(timeout, left)
