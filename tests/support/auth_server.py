"""Servers on loopback that play Supabase Auth, well or badly, and count who asks."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from uuid import uuid4

from tests.support.access_tokens import KEYS, jwk


class Loopback:
    """Answers every GET with `status`, `headers` and `body`, which may be changed at any time."""

    def __init__(self) -> None:
        self.status, self.body = 200, b""
        self.headers: dict[str, str] = {"Content-Type": "application/json"}
        self.asked: list[dict[str, str]] = []  # headers by their names in lower case, and `path`
        self.open = threading.Event()  # cleared: it takes the request and keeps silent
        self.open.set()
        self.drips = ""  # "headers" or "body": a byte at a time, until the client is gone
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                sent = {name.lower(): value for name, value in self.headers.items()}
                outer.asked.append({**sent, "path": self.path})
                outer.open.wait(10)
                try:
                    outer.respond(self)
                except OSError:
                    pass  # the client has given up

            def log_message(self, *arguments: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        # A path of its own: a port may be used again.
        self.url = f"http://127.0.0.1:{self.http.server_port}/{uuid4()}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def respond(self, handler: BaseHTTPRequestHandler) -> None:
        if self.drips == "headers":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            self.drip(handler)
        handler.send_response(self.status)
        for name, value in self.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        if self.drips == "body":
            self.drip(handler)
        handler.wfile.write(self.body)

    def drip(self, handler: BaseHTTPRequestHandler) -> None:
        for _ in range(500):
            handler.wfile.write(b" ")
            threading.Event().wait(0.02)

    @property
    def hits(self) -> int:
        return len(self.asked)

    def stop(self) -> None:
        self.open.set()
        self.http.shutdown()
        self.http.server_close()

    def __enter__(self) -> "Loopback":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


class KeyServer(Loopback):
    """A JWKS endpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.publish(*(jwk(name, key) for name, key in KEYS.items()))

    def publish(self, *keys: Any) -> None:
        self.status, self.body = 200, json.dumps({"keys": keys}).encode()

    def fail(self, status: int = 500, body: bytes = b"{}") -> None:
        self.status, self.body = status, body
