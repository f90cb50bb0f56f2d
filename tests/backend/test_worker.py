"""Clients that send too slowly or too much to a real server get an answer, and nobody waits for them."""

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import jwt
import pytest
from django.conf import settings

from api.auth.tokens import MAX_TOKEN_LENGTH
from backend.request_reader import MAX_HEAD, MIN_RATE
from tests.support.server import ROOT, Server

MANY = 50  # more than the threads of a server
HUGE = 590_000_000
FORM = "Content-Type: application/x-www-form-urlencoded"
ORIGIN = "http://localhost:3000"


class Client:
    """A connection that sends a request as slowly as a test wants."""

    def __init__(self, server: Server, line: str, *headers: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        self.send("\r\n".join([f"{line} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", *headers, ""]))

    def send(self, text: str) -> None:
        self.socket.sendall(text.encode())

    def drip(self) -> bool:
        """Send a byte. Return False if the server has closed the connection."""
        try:
            self.socket.sendall(b"x")
        except OSError:
            return False
        return True

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Return the status, the headers and the body of the answer, after which the connection closes."""
        received = b""
        while data := self.socket.recv(65536):
            received += data
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        if headers.get("transfer-encoding") == "chunked":
            body = body.split(b"\r\n")[1]
        return int(first.split()[1]), headers, body

    def close(self) -> None:
        self.socket.close()


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Iterator[Server]:
    """One process with few threads. Its temporary files are in `tmp`, and its log has what it imports."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "tmp").mkdir()
    variables = {"THREADS": "4", "TMPDIR": str(folder / "tmp"), "PYTHONPROFILEIMPORTTIME": "1"}
    with Server(folder, workers=1, **variables) as server:
        yield server


def test_a_worker_loads_what_requests_need_before_one_does(small: Server):
    """Given no request for a QR code, then its library is loaded."""
    until = time.monotonic() + 30
    while "| segno.writers" not in small.log.read_text() and time.monotonic() < until:
        time.sleep(0.05)

    assert "| segno.writers" in small.log.read_text()


def test_a_token_that_is_too_long_is_named_to_the_app(server: Server):
    """Up to the limit of the headers by the API, above it by the server."""
    for length in (MAX_TOKEN_LENGTH + 1, MAX_HEAD + 1):
        answer = httpx.get(
            f"{server.url}/api/v1/documents/",
            headers={"authorization": f"Bearer {'a' * length}", "origin": ORIGIN},
        )

        assert (answer.status_code, answer.json()["code"]) == (431, "token_too_long")
        assert answer.headers["Access-Control-Allow-Origin"] in (ORIGIN, "*")


def test_a_token_with_many_groups_is_accepted(server: Server):
    claims = jwt.decode(server.token("alice@example.org"), options={"verify_signature": False})
    for groups in (600, 1000):
        claims["user_metadata"] = {"groups": ["penguins"] * groups}
        token = jwt.encode(claims, settings.DEMO_JWT_SECRET)
        assert 9_000 < len(token) <= MAX_TOKEN_LENGTH

        answer = httpx.get(f"{server.url}/api/v1/documents/", headers={"authorization": f"Bearer {token}"})

        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("path", ["/admin/login/", "/api/v1/documents/", "/api/v1/webhooks/storage/"])
def test_a_declared_length_over_the_limit_is_refused_before_a_byte_is_read(small: Server, path: str):
    client = Client(small, f"POST {path}", FORM, f"Content-Length: {HUGE}", "")

    status, headers, body = client.answer()

    assert (status, json.loads(body)["code"]) == (413, "too_large")
    assert headers["connection"] == "close"
    client.close()


def test_a_form_of_the_admin_is_never_written_to_disk(small: Server):
    """A chunked one is refused as soon as it is too long."""
    part = '--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n' + "x" * 100_000
    form = "Content-Type: multipart/form-data; boundary=b"
    client = Client(small, "POST /admin/login/", form, "Transfer-Encoding: chunked", "")
    chunk = f"{len(part):x}\r\n{part}\r\n"
    for _ in range(11):
        client.send(chunk)

    status, _, body = client.answer()

    assert (status, json.loads(body)["code"]) == (413, "too_large")
    assert list((small.folder / "tmp").iterdir()) == []
    client.close()


@pytest.mark.parametrize(
    ("method", "path", "content_type", "declared"),
    [
        ("POST", "/storage/v1/object/media/x", "multipart/form-data; boundary=b", HUGE),
        ("PUT", "/storage/v1/object/media/x", "image/png", HUGE),
        ("POST", "/storage/v1/object/list/media", "application/json", 2_000_000),
    ],
)
def test_the_storage_server_refuses_a_declared_length_in_its_own_words(
    small: Server, method: str, path: str, content_type: str, declared: int
):
    authorization = f"Authorization: Bearer {small.service_key()}"
    length = f"Content-Length: {declared}"
    client = Client(small, f"{method} {path}", authorization, f"Content-Type: {content_type}", length, "")

    status, _, body = client.answer()

    assert (status, json.loads(body)["code"]) == (400, "EntityTooLarge")
    client.close()


def test_a_connection_is_used_again_after_a_short_body_that_was_not_read(server: Server):
    with httpx.Client(base_url=server.url) as client:
        for _ in range(3):
            answer = client.post("/api/nowhere/", content=b"x" * 60_000)
            assert answer.status_code == 404
            assert "close" not in answer.headers.get("connection", "")


def test_two_requests_may_be_sent_at_once(server: Server):
    client = Client(server, "POST /api/nowhere/", "Content-Length: 3", "")
    client.send("abcGET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")

    received = b""
    while data := client.socket.recv(65536):
        received += data

    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"404", b"200"]
    client.close()


SLOW = {
    "silent": ("GET /livez",),
    "a head": ("GET /livez", "X-Long: "),
    "a short body": ("POST /api/v1/documents/", "Content-Length: 1000", f"Origin: {ORIGIN}", ""),
    "a long body": ("POST /admin/login/", FORM, "Content-Length: 500000", ""),
    "chunks": ("POST /api/v1/documents/", "Transfer-Encoding: chunked", "", "ffff"),
    "a refused body": ("PUT /storage/v1/object/media/x", "Content-Length: 40000000", ""),
    "a body after 100 Continue": (
        "POST /admin/login/",
        FORM,
        "Expect: 100-continue",
        "Content-Length: 9",
        "",
        "",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", SLOW)
def test_others_are_served_while_many_clients_drip(small: Server, kind: str):
    dripping = [Client(small, *SLOW[kind]) for _ in range(MANY)]
    try:
        with small.client("bob@example.org") as bob:
            for _ in range(10):
                for client in dripping:
                    client.drip()
                assert httpx.get(f"{small.url}/livez", timeout=5).status_code == 200
                title = {"title": "Quick"}
                assert bob.post("/api/v1/documents/", json=title, timeout=5).status_code == 201
    finally:
        for client in dripping:
            client.close()


@pytest.mark.slow
def test_more_phones_than_threads_upload_at_once(small: Server):
    """A client that waits for `100 Continue` gets it when its request has a thread."""
    key = f"Authorization: Bearer {small.service_key()}"
    lines = (key, "Content-Length: 200000", "Content-Type: text/plain", "Expect: 100-continue", "", "")
    with ExitStack() as stack:
        phones = [
            Client(small, f"POST /storage/v1/object/media/phone-{number}.txt", *lines) for number in range(8)
        ]
        for phone in phones:
            stack.callback(phone.close)

        assert {phone.socket.recv(25) for phone in phones} == {b"HTTP/1.1 100 Continue\r\n\r\n"}
        for phone in phones:
            phone.send("x" * 200_000)
            phone.socket.shutdown(socket.SHUT_WR)

        assert [phone.answer()[0] for phone in phones] == [200] * len(phones)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["a head", "a short body", "a long body", "chunks"])
def test_who_drips_is_told_so_and_the_connection_closes(small: Server, kind: str):
    client = Client(small, *SLOW[kind])
    try:
        deadline = time.monotonic() + 60
        client.socket.settimeout(1)
        while time.monotonic() < deadline:
            client.drip()
            try:
                client.socket.recv(1, socket.MSG_PEEK)
                break
            except TimeoutError:
                continue
        client.socket.settimeout(30)
        status, headers, body = client.answer()
    finally:
        client.close()

    assert (status, json.loads(body)["code"]) == (408, "request_timeout")
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    if "short" in kind:
        assert headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.slow
def test_an_upload_that_drips_gets_the_error_of_the_storage_server(small: Server):
    authorization = f"Authorization: Bearer {small.service_key()}"
    client = Client(
        small, "PUT /storage/v1/object/media/slow.png", authorization, "Content-Length: 1000000", "", "x"
    )

    status, headers, body = client.answer()

    assert status == 408
    assert json.loads(body)["code"] == "RequestTimeout"
    assert headers["connection"] == "close"
    assert not (Path(small.media) / "media" / "slow.png").exists()
    client.close()


@pytest.mark.slow
def test_an_upload_that_is_slow_but_steady_is_received(small: Server):
    """Longer than any client may be silent, and more slowly than any phone sends."""
    content = b"x" * (4 * MIN_RATE)

    def slowly() -> Iterator[bytes]:
        for _ in range(30):
            time.sleep(1)
            yield content

    answer = httpx.put(
        f"{small.url}/storage/v1/object/media/steady.txt",
        content=slowly(),
        headers={"authorization": f"Bearer {small.service_key()}", "content-length": str(30 * len(content))},
        timeout=60,
    )

    assert answer.status_code == 200, answer.text


INTERRUPTED = """
import os, signal, types
from backend.worker import Worker

class Pool:
    shutdowns = 0

    def shutdown(self, wait):
        self.shutdowns += 1
        if self.shutdowns == 1:
            os.kill(os.getpid(), signal.SIGQUIT)

worker = Worker.__new__(Worker)
worker.tpool, worker.cfg = Pool(), types.SimpleNamespace(worker_int=lambda worker: None)
for number in (signal.SIGINT, signal.SIGQUIT):
    signal.signal(number, worker.handle_quit)
try:
    os.kill(os.getpid(), signal.SIGINT)
finally:
    print(worker.tpool.shutdowns, worker.alive)
"""


def test_the_signal_of_the_master_does_not_interrupt_that_of_ctrl_c():
    """The pool has a lock, for which an interrupted shutdown would wait."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], cwd=ROOT, capture_output=True, text=True, timeout=30
    )

    assert (done.returncode, done.stdout) == (0, "1 False\n"), done.stderr


@pytest.fixture
def crowded(tmp_path) -> Iterator[Server]:
    """A process that accepts 20 connections at once."""
    with Server(tmp_path, workers=1, GUNICORN_CMD_ARGS="--worker-connections 20", THREADS="4") as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["silent", "a head", "a long body"])
def test_clients_that_wait_make_room_for_others(crowded: Server, kind: str):
    waiting = [Client(crowded, *SLOW[kind]) for _ in range(MANY)]
    try:
        for _ in range(5):
            assert httpx.get(f"{crowded.url}/livez", timeout=5).status_code == 200
    finally:
        for client in waiting:
            client.close()


@pytest.mark.slow
def test_a_low_limit_of_open_files_does_not_end_the_process(tmp_path):
    low = 128 + len(os.listdir("/dev/fd"))  # this process has open files of other tests
    limit, maximum = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (low, maximum))
    try:
        server = Server(tmp_path, workers=1).__enter__()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, maximum))
    with ExitStack() as stack:
        stack.callback(server.stop)
        clients = [socket.create_connection(("127.0.0.1", server.port), timeout=5) for _ in range(2 * low)]
        for client in clients:
            stack.callback(client.close)

        assert httpx.get(f"{server.url}/livez", timeout=5).status_code == 200
        clients[0].sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert clients[0].recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.slow
def test_a_request_that_begins_while_the_process_stops_is_answered(tmp_path):
    with Server(tmp_path, workers=1) as server:
        clients = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(10)]
        assert httpx.get(f"{server.url}/livez").status_code == 200  # so the connections are accepted, too

        server.process.send_signal(signal.SIGHUP)
        for client in clients:
            time.sleep(0.1)
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")

        for client in clients:
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
            client.close()


FAILING = """
import backend.wsgi

def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    yield b"otter"
    if environ["REQUEST_METHOD"] == "POST":
        raise RuntimeError("failed")
"""


@pytest.mark.slow
def test_a_client_that_still_sends_gets_a_response_that_fails(tmp_path: Path):
    """The connection is closed when the client has closed it: else it could lose what it was sent."""
    (tmp_path / "failing.py").write_text(FAILING)
    config = f"exec(open({str(ROOT / 'gunicorn.conf.py')!r}).read())\nwsgi_app = 'failing:application'\n"
    (tmp_path / "gunicorn.conf.py").write_text(config)
    server = Server(tmp_path, workers=1, root=tmp_path, PYTHONPATH=str(ROOT))
    server.start()
    try:
        client = Client(server, "POST /", "Content-Length: 1000000", "")
        for _ in range(5):
            time.sleep(0.1)
            client.send("x" * 1000)
        status, _, body = client.answer()
        client.close()
    finally:
        server.stop()

    assert (status, body) == (200, b"otter")
    assert "RuntimeError: failed" in server.log.read_text()
