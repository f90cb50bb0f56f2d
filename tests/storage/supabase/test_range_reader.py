"""Responses to range requests as servers other than the local store send them."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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


class Gateway(BaseHTTPRequestHandler):
    """Sends whole objects so that their size is not told, in chunks or compressed, and ranges as they are."""

    protocol_version = "HTTP/1.1"
    headers_of_whole: dict[str, str]
    content_of_whole: bytes
    ranges: list[str | None]

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.ranges.append(wanted)
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Type", "text/plain")
        if wanted:
            self.send_header("Content-Length", str(len(BODY)))
            self.send_header("Content-Range", f"bytes 0-{len(BODY) - 1}/{len(BODY)}")
        for name, value in ({} if wanted else self.headers_of_whole).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(BODY if wanted else self.content_of_whole)

    def log_message(self, *arguments: Any) -> None:
        pass


@contextmanager
def asked(server: ThreadingHTTPServer, settings: Any) -> Iterator[None]:
    """Let the store ask this server."""
    with server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        settings.SUPABASE_URL = f"http://127.0.0.1:{server.server_port}"
        settings.SUPABASE_SECRET_KEY = "sb_secret_of_this_test"
        yield
        client.close()
        server.shutdown()


@pytest.fixture
def server(settings) -> Iterator[OverlongServer]:
    running = OverlongServer()
    with asked(running, settings):
        yield running


def test_no_bytes_are_waited_for_beyond_the_end_of_the_object(server: OverlongServer):
    with SupabaseStorage("media").read("a") as file:
        assert file.read() == BODY
        server.has_been_read.set()

    assert server.answered.wait(10)
    assert server.was_read_at_once


COMPRESSED = gzip.compress(BODY)


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        ({"Transfer-Encoding": "chunked"}, b"5\r\n%s\r\n0\r\n\r\n" % BODY),
        ({"Content-Encoding": "gzip", "Content-Length": str(len(COMPRESSED))}, COMPRESSED),
    ],
    ids=["chunked", "compressed"],
)
def test_a_size_that_a_gateway_hides_is_asked_for(settings, headers: dict[str, str], content: bytes):
    told = {"headers_of_whole": headers, "content_of_whole": content, "ranges": []}
    handler: Any = type("Hiding", (Gateway,), told)
    with asked(ThreadingHTTPServer(("127.0.0.1", 0), handler), settings):
        opened = SupabaseStorage("media").open_object("a")
        with opened.file as file:
            assert (opened.size, opened.content_type, file.read()) == (len(BODY), "text/plain", BODY)

    assert handler.ranges == [None, "bytes=0-"]
