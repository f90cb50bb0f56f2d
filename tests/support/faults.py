"""A proxy between a client and a server that counts calls, and goes wrong as it is told to."""

import http.client
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Fault:
    """What becomes of one call. Without `status` it reaches the server, once `before` has run."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None  # the server has done it, the client does not know
    corrupt: bool = False  # the first byte of what is sent
    cut: bool = False  # the answer, in the middle of its body
    lost: bool = False  # the answer, as a whole


#: What is to become of a call: the number of it from 1 on, its method, its path.
Plan = Callable[[int, str, str], Fault | None]


class Proxy:
    """`calls` has the method and the path of each, in their order."""

    def __init__(self, url: str, plan: Plan = lambda number, method, path: None) -> None:
        self.upstream, self.plan = urlsplit(url).netloc, plan
        self.calls: list[tuple[str, str]] = []
        self.lock = threading.Lock()

    def __enter__(self) -> "Proxy":
        handler = type("Handler", (_Handler,), {"proxy": self})
        self.server = _Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def decide(self, method: str, path: str) -> Fault:
        with self.lock:
            self.calls.append((method, path))
            number = len(self.calls)
        return self.plan(number, method, path) or Fault()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no trouble of ours."""


class _Handler(BaseHTTPRequestHandler):
    proxy: Proxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_any(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.proxy.decide(self.command, self.path)
        if fault.status:
            return self._answer(fault.status, fault.headers, b'{"message":"made up"}')
        fault.before()
        if fault.corrupt and content:
            content = bytes([content[0] ^ 1]) + content[1:]
        status, headers, body = self._ask(content)
        fault.after()
        if fault.lost or fault.cut:
            if fault.cut:
                self._answer(status, headers, body, most=len(body) // 2)
                self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._answer(status, headers, body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_any  # noqa: N815

    def _ask(self, content: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.proxy.upstream, timeout=60)
        try:
            connection.request(self.command, self.path, content or None, dict(self.headers))
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: dict[str, str], body: bytes, most: int | None = None) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", headers.get("Content-Length", str(len(body))))
        self.end_headers()
        self.wfile.write(body[:most])

    def log_message(self, *args: Any) -> None:
        """Quiet."""


def delayed(seconds: float) -> Plan:
    return lambda number, method, path: Fault(before=lambda: time.sleep(seconds))
