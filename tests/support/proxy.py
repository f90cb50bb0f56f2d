"""A proxy on loopback that passes HTTP on, and fails as it was told to, on the requests it was told of."""

import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import httpx

HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "host", "content-length", "date", "server"}

#: What becomes of one request: `passing` is its handler, `body` what it brought.
Fault = Callable[["Passing", bytes], None]


@dataclass
class Order:
    """`fault` on the requests that match, so many times."""

    on: re.Pattern[str]
    fault: Fault
    times: int


class Proxy:
    """`seen`: the requests that came, as `GET /path`. Faults are for the path behind `/storage/v1`."""

    def __init__(self, upstream: str) -> None:
        self.seen: list[str] = []
        self.orders: list[Order] = []
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.upstream = httpx.Client(
            base_url=upstream, timeout=30, verify=False
        )  # what it has no use for takes long
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
        self.upstream.close()

    def fail(self, fault: Fault, on: str = "", times: int = 10**6) -> None:
        """`on`: a regular expression of `METHOD /path`."""
        self.orders.append(Order(re.compile(on), fault, times))

    def count(self, on: str = "") -> int:
        return sum(bool(re.search(on, each)) for each in self.seen)

    def taken(self, line: str) -> Fault:
        with self.lock:
            self.seen.append(line)
            for order in self.orders:
                if order.times and order.on.search(line):
                    order.times -= 1
                    return order.fault
        return passed_on


class Listening(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    proxy: Proxy

    def handle_error(self, *about: Any) -> None:
        """Connections that break are what this is for."""


class Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Listening

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self.take
        raise AttributeError(name)

    def take(self) -> None:
        path = urlsplit(self.path).path.removeprefix("/storage/v1")
        fault = self.server.proxy.taken(f"{self.command} {path}")
        if fault is cut_request:
            return fault(self, b"")
        fault(self, self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def upstream(self, body: bytes) -> httpx.Response:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        return self.server.proxy.upstream.request(self.command, self.path, headers=headers, content=body)

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def relay(self, answer: httpx.Response) -> None:
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
        self.answer(answer.status_code, kept, answer.content)

    def slam(self) -> None:
        """End the connection with a reset."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, *about: Any) -> None:
        """`seen` has it."""


# --- Faults ---------------------------------------------------------------------------------------------


def passed_on(passing: Passing, body: bytes) -> None:
    passing.relay(passing.upstream(body))


def says(status: int, body: bytes = b"", **headers: str) -> Fault:
    """This answer, and nothing reaches the server."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda passing, _: passing.answer(status, named, body)


def reset(passing: Passing, body: bytes) -> None:
    """Nothing reaches the server."""
    passing.slam()


def lost(passing: Passing, body: bytes) -> None:
    """The server does it, and nobody hears of it."""
    passing.upstream(body)
    passing.slam()


def cut(passing: Passing, body: bytes) -> None:
    """The answer ends in the middle."""
    answer = passing.upstream(body)
    head = f"HTTP/1.1 {answer.status_code} X\r\nContent-Length: {len(answer.content) + 10}\r\n"
    kept = (f"{name}: {value}\r\n" for name, value in answer.headers.items() if name not in HOP_BY_HOP)
    passing.wfile.write((head + "".join(kept) + "\r\n").encode() + answer.content[: len(answer.content) // 2])
    passing.wfile.flush()
    passing.close_connection = True


def cut_request(passing: Passing, _: bytes) -> None:
    """The body is taken to its middle."""
    passing.rfile.read(int(passing.headers.get("Content-Length", 0)) // 2)
    passing.slam()


def hangs(passing: Passing, body: bytes) -> None:
    passing.server.proxy.over.wait(10)
    passing.slam()


def drips(passing: Passing, body: bytes) -> None:
    """A byte now and then, of headers that never end."""
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
    """One bit of what is sent is another when it arrives."""
    middle = len(body) // 2
    passing.relay(passing.upstream(body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]))
