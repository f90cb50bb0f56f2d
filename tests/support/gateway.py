"""A gateway on loopback before a Storage server, as Supabase has one: it knows keys, and may answer wrong."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

NOT_FORWARDED = ("host", "connection", "content-length", "accept-encoding")
NOT_RETURNED = ("connection", "date", "server", "content-length", "transfer-encoding")


@dataclass
class Rule:
    """What it does with some requests; the others go through. `forwards`: not before they were done."""

    method: str
    path: str
    status: int = 200
    body: bytes | Callable[[bytes], bytes] = b""
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0
    forwards: bool = False
    times: int = 1_000_000


class Gateway:
    """`target` is the address of the server behind it, "" if there is none."""

    def __init__(self, target: str = "") -> None:
        self.target = target
        self.rules: list[Rule] = []
        self.keys: dict[str, str] = {}  # those that it knows, and what it puts in their place
        self.clock: Callable[[], str] | None = None
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.behind = httpx.Client(
            verify=False
        )  # the address is not https, and certificates take long to load
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def on(self, method: str, path: str, **how: Any) -> None:
        """`path` is a pattern, found anywhere in the path."""
        self.rules.append(Rule(method, path, **how))

    def rule_for(self, method: str, path: str) -> Rule | None:
        for rule in self.rules:
            if rule.times and rule.method == method and re.search(rule.path, path):
                rule.times -= 1
                return rule
        return None


@contextmanager
def gateway(target: str = "") -> Iterator[Gateway]:
    serving = Gateway(target)
    thread = threading.Thread(target=serving.http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield serving
    finally:
        serving.http.shutdown()
        serving.http.server_close()
        serving.behind.close()


def _handler(gateway: Gateway) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):  # every method
                return self.answer
            raise AttributeError(name)

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            gateway.asked.append((self.command, self.path, dict(self.headers)))
            rule = gateway.rule_for(self.command, self.path)
            if rule is None:
                return self.say(*self.forwarded(body))
            time.sleep(rule.seconds)
            _, _, came = self.forwarded(body) if rule.forwards else (0, {}, b"")
            said = rule.body(came) if callable(rule.body) else rule.body
            self.say(rule.status, rule.headers, said)

        def forwarded(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
            headers = {
                name: value for name, value in self.headers.items() if name.lower() not in NOT_FORWARDED
            }
            given = headers.get("apikey", "")
            if gateway.keys and given:
                if given not in gateway.keys:
                    return 401, {"Content-Type": "application/json"}, b'{"message":"Unregistered API key"}'
                headers["Authorization"] = f"Bearer {gateway.keys[given]}"
            came = gateway.behind.request(
                self.command, gateway.target + self.path, headers=headers, content=body
            )
            kept = {name: value for name, value in came.headers.items() if name not in NOT_RETURNED}
            return came.status_code, kept, came.content

        def say(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return gateway.clock() if gateway.clock else super().date_time_string(timestamp)

        def log_message(self, *arguments: Any) -> None:
            pass

    return Handler
