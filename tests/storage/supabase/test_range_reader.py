"""Responses to range requests as servers other than the local store send them."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from storage.supabase import SupabaseStorage, client

BODY = b"otter"


class OverlongServer(ThreadingHTTPServer):
    """Announces as many bytes as were asked for, sends the five that there are, and keeps the connection."""

    daemon_threads = True
    was_read_at_once = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.has_been_read, self.answered = threading.Event(), threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: OverlongServer

    def do_GET(self) -> None:
        length = int(self.headers["Range"].rpartition("-")[2]) + 1
        self.send_response(206)
        self.send_header("Content-Length", str(length))
        self.send_header("Content-Range", f"bytes 0-{length - 1}/{len(BODY)}")
        self.end_headers()
        self.wfile.write(BODY)
        self.wfile.flush()
        self.server.was_read_at_once = self.server.has_been_read.wait(5)
        self.close_connection = True
        self.server.answered.set()

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server(settings) -> Iterator[OverlongServer]:
    with OverlongServer() as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        settings.SUPABASE_URL = f"http://127.0.0.1:{running.server_port}"
        settings.SUPABASE_SECRET_KEY = "sb_secret_of_this_test"
        yield running
        client.close()
        running.shutdown()


def test_no_bytes_are_waited_for_beyond_the_end_of_the_object(server: OverlongServer):
    with SupabaseStorage("media").read("a") as file:
        assert file.read() == BODY
        server.has_been_read.set()

    assert server.answered.wait(10)
    assert server.was_read_at_once
