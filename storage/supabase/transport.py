"""DeadlineTransport: an httpx transport with a deadline for each request as a whole.

httpx limits each wait for the network, but not their sum: a server that sends one byte at a time could hold a
thread for hours.
"""

import math
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import lru_cache
from typing import Any
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet, finalize

import httpcore
import httpx

from storage import budget
from storage.supabase.deadlines import deadline, remaining, transfer_seconds
from storage.supabase.open_responses import OpenResponse, inside_httpcore

REQUEST_SECONDS = 20  # for a request and its response, without the time that their bodies take
IDLE_SECONDS = 5  # after which a connection is not used again
WRITE_SIZE = 256 * 1024  # bytes that are written at once; the deadline is checked before each
BUFFER_SIZE = 16 * 1024  # bytes of a request that are collected before they are sent

Headers = Iterable[tuple[bytes, bytes]]

#: The httpx error for each error of httpcore.
HTTPX_ERRORS: dict[type[Exception], type[httpx.TransportError]] = {
    httpcore.ConnectTimeout: httpx.ConnectTimeout,
    httpcore.ReadTimeout: httpx.ReadTimeout,
    httpcore.WriteTimeout: httpx.WriteTimeout,
    httpcore.ConnectError: httpx.ConnectError,
    httpcore.ReadError: httpx.ReadError,
    httpcore.WriteError: httpx.WriteError,
    httpcore.ProxyError: httpx.ProxyError,
    httpcore.UnsupportedProtocol: httpx.UnsupportedProtocol,
    httpcore.LocalProtocolError: httpx.LocalProtocolError,
    httpcore.RemoteProtocolError: httpx.RemoteProtocolError,
}


class DeadlineTransport(httpx.BaseTransport):
    """Safe for use by any number of threads and forked processes.

    Each thread has its own connection pool: httpcore checks every connection of a pool before and after each
    request, which takes longer than the request itself if all threads share one pool (`bench/calls.py`).

    `headers` is called for each request. The headers that it returns are sent, but are not added to the
    `httpx.Request`, so that no error or log contains them. `keep_alive`: reuse connections. `trust_env`: use
    the proxies of HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY. `waiting` is entered for each request, and
    for each chunk of a response that is read afterwards.
    """

    def __init__(
        self,
        headers: Callable[[], Headers] = tuple,
        *,
        keep_alive: bool = True,
        trust_env: bool = False,
        waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._headers = headers
        self._keep_alive = keep_alive
        self._trust_env = trust_env
        self._waiting = waiting
        self._local = threading.local()
        self._pools: WeakSet[httpcore.ConnectionPool] = WeakSet()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        started = time.monotonic()
        upload_seconds = transfer_seconds(int(request.headers.get("Content-Length", 0)))
        seconds = REQUEST_SECONDS + upload_seconds
        assert isinstance(request.stream, httpx.SyncByteStream)
        url = request.url
        sent = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=[*request.headers.raw, *self._headers()],
            content=request.stream,
            extensions={**request.extensions, "timeout": _with_upload(request, upload_seconds)},
        )
        pool = self._pool(_environment_proxy(url) if self._trust_env else "")
        with (
            self._waiting(),
            deadline(seconds),
            budget.transferring(upload_seconds),
            _httpx_errors(),
            inside_httpcore(),
        ):
            response = pool.handle_request(sent)
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=DeadlineStream(response, seconds - (time.monotonic() - started), self._waiting),
            extensions=response.extensions,
        )

    def pools(self) -> list[httpcore.ConnectionPool]:
        """Return the pool of each thread, including those inherited from the parent process by a fork."""
        return list(self._pools)

    def close(self) -> None:
        """Close every connection; the next request opens a new one."""
        with inside_httpcore():
            for pool in self.pools():
                pool.close()

    def _pool(self, proxy: str) -> httpcore.ConnectionPool:
        """Return this thread's pool for requests by this proxy, or by none."""
        if getattr(self._local, "process_id", None) != os.getpid():
            self._local.process_id, self._local.pools = os.getpid(), {}
        pools: dict[str, httpcore.ConnectionPool] = self._local.pools
        if proxy not in pools:
            options: dict[str, Any] = {
                "ssl_context": ssl_context(),
                "max_connections": None,
                "max_keepalive_connections": None if self._keep_alive else 0,
                "keepalive_expiry": IDLE_SECONDS,
                "network_backend": DeadlineBackend(),
            }
            pools[proxy] = ProxyPool(**_proxy_options(proxy), **options) if proxy else DirectPool(**options)
            self._pools.add(pools[proxy])
        return pools[proxy]


class _ThreadPool:
    """A connection pool that is closed when its thread ends.

    After a fork, the child leaves it alone: another thread of the parent may have held its lock.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.process_id = os.getpid()

    def __del__(self) -> None:
        if self.process_id == os.getpid():
            self.close()  # type: ignore[attr-defined]


class DirectPool(_ThreadPool, httpcore.ConnectionPool):
    pass


class ProxyPool(_ThreadPool, httpcore.HTTPProxy):
    pass


class DeadlineStream(httpx.SyncByteStream):
    """The body of a response, which must be read within the remaining `seconds`.

    Time spent by the consumer between chunks does not count, and each chunk adds its transfer time.
    """

    def __init__(
        self,
        response: httpcore.Response,
        seconds: float,
        waiting: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.response: OpenResponse | None = OpenResponse(response)
        self.seconds = seconds
        self._waiting = waiting
        # It keeps the response from the garbage collector, which takes this stream if nobody closes it.
        self._close = finalize(self, self.response.close)
        self._close.atexit = False

    def __iter__(self) -> Iterator[bytes]:
        assert self.response is not None
        response = self.response
        while True:
            with self._waiting():
                started = time.monotonic()
                with deadline(self.seconds), _httpx_errors():
                    chunk = response.next_chunk()
                if chunk is None:
                    return
                seconds = transfer_seconds(len(chunk))
                budget.give_back(seconds)
            self.seconds += seconds - (time.monotonic() - started)
            yield chunk

    def close(self) -> None:
        """Also drop the reference to the response: httpx keeps this stream in a reference cycle."""
        self._close()
        self.response = None


class DeadlineBackend(httpcore.SyncBackend):
    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *args: Any, **options: Any
    ) -> httpcore.NetworkStream:
        """Try the addresses of the host in turn: each has an equal share of the time that is left."""
        seconds = remaining(timeout, httpcore.ConnectTimeout)
        with deadline(math.inf if seconds is None else seconds):
            addresses = _resolve(host, port)
            for number, address in enumerate(addresses, start=1):
                left = remaining(None, httpcore.ConnectTimeout)
                share = left and left / (len(addresses) - number + 1)
                try:
                    return DeadlineConnection(super().connect_tcp(address, port, share, *args, **options))
                except (httpcore.ConnectError, httpcore.ConnectTimeout):
                    if number == len(addresses):
                        raise
        raise AssertionError("unreachable")


class DeadlineConnection(httpcore.NetworkStream):
    """A connection that observes the deadline, and sends a small request in one packet.

    httpcore writes headers and body separately, and each packet would wake the server.
    """

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self.stream = stream
        self.unsent = b""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with suppress(
            httpcore.WriteError
        ):  # as in httpcore: the server may have sent a response before it closed the connection
            self._flush(timeout)
        return self.stream.read(max_bytes, remaining(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.unsent += buffer
        if len(self.unsent) > BUFFER_SIZE:
            self._flush(timeout)

    def _flush(self, timeout: float | None) -> None:
        buffer, self.unsent = self.unsent, b""
        for start in range(0, len(buffer), WRITE_SIZE):
            chunk = buffer[start : start + WRITE_SIZE]
            self.stream.write(chunk, remaining(timeout, httpcore.WriteTimeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        timeout = remaining(timeout, httpcore.ConnectTimeout)
        return DeadlineConnection(self.stream.start_tls(ssl_context, server_hostname, timeout))

    def close(self) -> None:
        self.stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)


def _resolve(host: str, port: int) -> list[str]:
    """Return the IP addresses of the host. Raises httpcore.ConnectError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore.ConnectError(str(error)) from error
    return list(dict.fromkeys(str(address[4][0]) for address in found))


def _environment_proxy(url: httpx.URL) -> str:
    """Return the URL of the proxy that the environment names for this URL, "" if there is none."""
    if proxy_bypass(url.host):
        return ""
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all") or ""
    return proxy if "://" in proxy or not proxy else f"http://{proxy}"


def _proxy_options(url: str) -> dict[str, Any]:
    proxy = httpx.Proxy(url)
    address = httpcore.URL(
        scheme=proxy.url.raw_scheme, host=proxy.url.raw_host, port=proxy.url.port, target=b"/"
    )
    return {"proxy_url": address, "proxy_auth": proxy.raw_auth}


def _with_upload(request: httpx.Request, seconds: float) -> dict[str, Any]:
    """Return the request's timeouts, with a longer `read`: sent bytes may still be in local buffers."""
    timeout = dict(request.extensions.get("timeout", {}))
    if timeout.get("read") is not None:
        timeout["read"] += seconds
    return timeout


@contextmanager
def _httpx_errors() -> Iterator[None]:
    try:
        yield
    except tuple(HTTPX_ERRORS) as error:
        raise HTTPX_ERRORS[type(error)](str(error)) from error


def ssl_context() -> ssl.SSLContext:
    """Return an SSL context with the trusted certificates. Cached, because reading them is slow."""
    with _ssl_lock:  # threads that need it at the same time do not read them several times
        return _ssl_context()


_ssl_lock = threading.Lock()
_ssl_context = lru_cache(maxsize=1)(httpx.create_ssl_context)
