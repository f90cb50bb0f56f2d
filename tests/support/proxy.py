"""An HTTP proxy on loopback between a client and a server, which records requests and applies faults.

It also stands for Supabase's gateway: it may know API keys, and tell a wrong time.
"""

import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import httpx

NOT_FORWARDED = {"host", "connection", "content-length", "transfer-encoding", "accept-encoding"}
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # loading them takes long
NOT_RETURNED = {"connection", "keep-alive", "date", "server", "content-length", "transfer-encoding"}

#: What is done with one request: `passing` is its handler, `body` its body.
Handling = Callable[["Passing", bytes], None]
#: Chooses what is done with a call by its number (from 1 on), method and path; None: it is passed on.
Plan = Callable[[int, str, str], Handling | None]


@dataclass
class Fault:
    """Answer with `status`; without one, pass the request on, with these disturbances."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Callable[[bytes], bytes] = b'{"message":"made up"}'  # or made from the server's body
    delay: float = 0  # seconds
    forwards: bool = False  # the server carries the request out, although `status` is answered
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None  # the server has answered, the client does not know
    corrupt: bool = False  # change the first byte of the request's body
    cut: bool = False  # close the connection in the middle of the answer
    lost: bool = False  # close the connection instead of answering

    def __call__(self, passing: "Passing", content: bytes) -> None:
        time.sleep(self.delay)
        if self.status:
            came = passing.upstream(content).content if self.forwards else b""
            body = self.body(came) if callable(self.body) else self.body
            return passing.answer(self.status, self.headers, body)
        self.before()
        if self.corrupt and content:
            content = bytes([content[0] ^ 1]) + content[1:]
        answer = passing.upstream(content)
        self.after()
        if self.lost:
            passing.hang_up()
        elif self.cut:
            passing.relay_half(answer)
        else:
            passing.relay(answer)


@dataclass
class Order:
    """Do `handling` with the requests that match, so many times."""

    on: re.Pattern[str]
    handling: Handling
    times: int


class Proxy:
    """`upstream` is the address of the server behind it, "" if there is none.

    `asked` holds the method, the path and the headers of each request, in their order.
    """

    def __init__(self, upstream: str = "", plan: Plan | None = None) -> None:
        self.plan = plan
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.orders: list[Order] = []
        self.keys: dict[str, str] = {}  # the API keys that it knows, and the token put in the place of each
        self.clock: Callable[[], str] | None = None  # the `Date` header, if it is not the true time
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.upstream = upstream
        self.server = Listening(("127.0.0.1", 0), Passing)
        self.server.proxy = self
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()

    @property
    def calls(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path, _ in self.asked]

    @property
    def seen(self) -> list[str]:
        """The requests as `GET /path`, without `/storage/v1` and without the query."""
        return [_line(method, path) for method, path in self.calls]

    def count(self, on: str = "") -> int:
        return sum(bool(re.search(on, each)) for each in self.seen)

    def fail(self, handling: Handling, on: str = "", times: int = 10**6) -> None:
        """`on`: a regular expression, searched in `METHOD /path` as `seen` has it."""
        self.orders.append(Order(re.compile(on), handling, times))

    def on(self, method: str, path: str, *, times: int = 10**6, **how: Any) -> None:
        """Answer as `Fault` says: by default 200 without a body. `path` is a regular expression."""
        fault = Fault(**{"status": 200, "body": b"", **how})
        self.fail(fault, on=f"^{method} .*(?:{path.removeprefix('/storage/v1')})", times=times)

    def take(self, method: str, path: str, headers: dict[str, str]) -> Handling:
        with self.lock:
            self.asked.append((method, path, headers))
            number, line = len(self.asked), _line(method, path)
            for order in self.orders:
                if order.times and order.on.search(line):
                    order.times -= 1
                    return order.handling
        return (self.plan and self.plan(number, method, path)) or passed_on


def _line(method: str, path: str) -> str:
    return f"{method} {urlsplit(path).path.removeprefix('/storage/v1')}"


class Listening(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    proxy: Proxy

    def handle_error(self, *about: Any) -> None:
        """Connections that break are what this is for."""


class Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Listening

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # every method
            return self.take
        raise AttributeError(name)

    def take(self) -> None:
        handling = self.server.proxy.take(self.command, self.path, dict(self.headers))
        if handling is cut_request:
            return handling(self, b"")
        handling(self, self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def upstream(self, body: bytes) -> httpx.Response:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in NOT_FORWARDED}
        keys, given = self.server.proxy.keys, self.headers.get("apikey", "")
        if keys and given:
            if given not in keys:
                return httpx.Response(401, json={"message": "Unregistered API key"})
            headers["Authorization"] = f"Bearer {keys[given]}"
        # A client for each request: one that all share could be closed while it connects, and its socket is
        # then left open.
        with httpx.Client(base_url=self.server.proxy.upstream, timeout=60, verify=NO_CERTIFICATES) as client:
            return client.request(self.command, self.path, headers=headers, content=body)

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self._head(status, headers, len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def relay(self, answer: httpx.Response) -> None:
        self.answer(answer.status_code, _returned(answer), answer.content)

    def relay_half(self, answer: httpx.Response) -> None:
        """Announce more than there is, send half of it, and close the connection."""
        self._head(answer.status_code, _returned(answer), len(answer.content) + 10)
        self.wfile.write(answer.content[: len(answer.content) // 2])
        self.wfile.flush()
        self.hang_up()

    def hang_up(self) -> None:
        """End the connection in order."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def slam(self) -> None:
        """End the connection with a reset."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _head(self, status: int, headers: dict[str, str], length: int) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def date_time_string(self, timestamp: float | None = None) -> str:
        clock = self.server.proxy.clock
        return clock() if clock else super().date_time_string(timestamp)

    def log_message(self, *about: Any) -> None:
        """The proxy remembers what it was asked."""


def _returned(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.lower() not in NOT_RETURNED}


# --- Faults ---------------------------------------------------------------------------------------------


def passed_on(passing: Passing, body: bytes) -> None:
    passing.relay(passing.upstream(body))


def delayed(seconds: float) -> Plan:
    return lambda number, method, path: Fault(delay=seconds)


def says(status: int, body: bytes = b"", **headers: str) -> Handling:
    """This answer, and nothing reaches the server."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda passing, _: passing.answer(status, named, body)


def reset(passing: Passing, body: bytes) -> None:
    """Nothing reaches the server."""
    passing.slam()


def lost(passing: Passing, body: bytes) -> None:
    """The server carries the request out, and its answer does not arrive."""
    passing.upstream(body)
    passing.slam()


def cut(passing: Passing, body: bytes) -> None:
    """The answer ends in the middle."""
    passing.relay_half(passing.upstream(body))


def cut_request(passing: Passing, _: bytes) -> None:
    """The connection is reset in the middle of the request's body."""
    passing.rfile.read(int(passing.headers.get("Content-Length", 0)) // 2)
    passing.slam()


def hangs(passing: Passing, body: bytes) -> None:
    """No answer, for longer than anybody waits."""
    passing.server.proxy.over.wait(120)
    passing.slam()


def drips(passing: Passing, body: bytes) -> None:
    """A byte every 20 ms, of headers that never end."""
    _drip(passing, b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 2000)


def drips_body(passing: Passing, body: bytes) -> None:
    head = b"HTTP/1.1 206 OK\r\nContent-Length: 2000\r\nContent-Range: bytes 0-1999/2000\r\n\r\n"
    passing.wfile.write(head)
    _drip(passing, b" " * 2000)


def _drip(passing: Passing, text: bytes) -> None:
    for byte in text:
        passing.wfile.write(bytes([byte]))
        passing.wfile.flush()
        time.sleep(0.02)


def flips(passing: Passing, body: bytes) -> None:
    """One bit of the request's body is changed on its way."""
    middle = len(body) // 2
    passing.relay(passing.upstream(body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]))
