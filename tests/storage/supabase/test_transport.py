"""Connections to Supabase are reused, never shared by two requests, and closed after a broken response."""

import faulthandler
import gc
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from storage.supabase import deadlines, transport
from storage.supabase.transport import DeadlineTransport

BODY = b"otter" * 1000
TOGETHER = 8


class Server:
    """Counts who connects. `/meet` answers when TOGETHER have asked, `/cut` breaks off, `/mute` says nothing,
    and after `/last` it closes."""

    def __init__(self) -> None:
        self.connections: set[tuple[str, int]] = set()
        self.open: set[tuple[str, int]] = set()
        self.met = threading.Barrier(TOGETHER)
        self.end = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                outer.open.add(self.client_address)

            def finish(self) -> None:
                outer.open.discard(self.client_address)
                super().finish()

            def do_GET(self) -> None:
                outer.connections.add(self.client_address)
                if self.path == "/meet":
                    outer.met.wait(10)
                if self.path == "/mute":
                    outer.end.wait(10)
                self.send_response(200)
                self.send_header("Content-Length", str(len(BODY)))
                self.end_headers()
                self.wfile.write(BODY[:10] if self.path == "/cut" else BODY)
                self.close_connection = self.path in ("/cut", "/last")

            def log_message(self, *arguments: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *arguments: Any) -> None:
                """The client has gone."""

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def has_open(self, number: int) -> bool:
        """True once this many connections are open; closing takes a moment to arrive here."""
        for _ in range(200):
            if len(self.open) == number:
                return True
            time.sleep(0.01)
        return False

    def stop(self) -> None:
        self.end.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.stop()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(transport=DeadlineTransport(), timeout=5) as made:
        yield made


def test_one_line_carries_one_call_after_another(server: Server, client: httpx.Client):
    for _ in range(5):
        assert client.get(f"{server.url}/").content == BODY

    assert len(server.connections) == 1


def test_calls_at_once_have_a_line_each_and_leave_it_to_the_next(server: Server, client: httpx.Client):
    with ThreadPoolExecutor(TOGETHER) as threads:
        for _ in range(3):
            found = threads.map(lambda _: client.get(f"{server.url}/meet").content, range(TOGETHER))
            assert set(found) == {BODY}

    assert len(server.connections) == TOGETHER


def test_a_line_is_not_used_by_others_before_its_answer_was_read(server: Server, client: httpx.Client):
    with client.stream("GET", f"{server.url}/") as open_answer:
        assert client.get(f"{server.url}/").content == BODY
        assert len(server.connections) == 2
        assert open_answer.read() == BODY

    assert client.get(f"{server.url}/").content == BODY
    assert len(server.connections) == 2


@pytest.mark.parametrize("read", [0, 1])
def test_an_answer_that_is_closed_early_is_not_taken_for_the_next(
    server: Server, client: httpx.Client, read: int
):
    with client.stream("GET", f"{server.url}/") as left_open:
        pieces = left_open.iter_raw(10)
        for _ in range(read):
            next(pieces)

    assert client.get(f"{server.url}/").content == BODY


def test_an_answer_that_nobody_closes_takes_nothing_from_others(server: Server, client: httpx.Client):
    forgotten = [
        client.send(client.build_request("GET", f"{server.url}/"), stream=True) for _ in range(TOGETHER)
    ]

    assert client.get(f"{server.url}/").content == BODY
    for answer in forgotten:
        answer.close()


def collect_in(function: str) -> Callable[[Any, str, Any], None]:
    """Return a profile function that collects garbage whenever this function is called."""

    def profile(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_name == function:
            gc.collect()

    return profile


def test_an_answer_that_nobody_closes_may_be_collected_while_the_pool_is_locked(
    server: Server, client: httpx.Client
):
    answer = client.send(client.build_request("GET", f"{server.url}/"), stream=True)
    pieces = answer.iter_raw(10)
    next(pieces)
    cycle: list[Any] = [answer, pieces]
    cycle.append(cycle)

    gc.disable()
    faulthandler.dump_traceback_later(30, exit=True)  # a lock that is never released would hang all tests
    sys.setprofile(collect_in("_assign_requests_to_connections"))  # httpcore holds the lock there
    try:
        del answer, pieces, cycle
        assert client.get(f"{server.url}/").content == BODY
    finally:
        sys.setprofile(None)
        faulthandler.cancel_dump_traceback_later()
        gc.enable()

    assert len(server.connections) == 2
    assert server.has_open(1)


def test_what_broke_off_does_not_spoil_the_next_call(
    server: Server, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
):
    for _ in range(3):
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(f"{server.url}/cut")
        assert client.get(f"{server.url}/").content == BODY

    monkeypatch.setattr(transport, "REQUEST_SECONDS", 0.2)
    with pytest.raises(httpx.ReadTimeout):
        client.get(f"{server.url}/mute")
    monkeypatch.undo()
    assert client.get(f"{server.url}/").content == BODY


def test_a_server_that_closed_its_side_is_called_anew(server: Server, client: httpx.Client):
    for number in range(1, 4):
        assert client.get(f"{server.url}/last").content == BODY
        assert len(server.connections) == number
        time.sleep(0.1)  # until the news has come


def test_an_idle_connection_is_not_used_again(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(transport, "IDLE_SECONDS", 0.05)
    with httpx.Client(transport=DeadlineTransport(), timeout=5) as client:
        assert client.get(f"{server.url}/").content == BODY
        time.sleep(0.1)
        assert client.get(f"{server.url}/").content == BODY

    assert len(server.connections) == 2


def test_a_thread_that_ends_closes_its_connections(server: Server):
    with httpx.Client(transport=DeadlineTransport(), timeout=5) as client:
        with ThreadPoolExecutor(TOGETHER) as threads:
            list(threads.map(lambda _: client.get(f"{server.url}/meet"), range(TOGETHER)))
            assert server.has_open(TOGETHER)

        assert server.has_open(0)


def test_closing_ends_every_connection(server: Server):
    with httpx.Client(transport=DeadlineTransport()) as client:
        client.get(f"{server.url}/")
        assert server.has_open(1)

    assert server.has_open(0)


@pytest.mark.parametrize("size", [0, 10, transport.BUFFER_SIZE - 1000])
def test_a_small_request_leaves_in_one_piece(size: int):
    """A server wakes for each."""
    arrived: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection = listening.accept()[0]
            with connection:
                arrived.append(connection.recv(2**20))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        with httpx.Client(transport=DeadlineTransport(), timeout=5) as client:
            client.post(url, content=iter([b"x" * size]), headers={"Content-Length": str(size)})
        thread.join()

    head, _, body = arrived[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST / HTTP/1.1")
    assert len(body) == size


def test_a_large_request_arrives_whole():
    """What was kept for the next piece is neither lost nor sent twice."""
    content = bytes(range(256)) * 4096
    arrived = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection = listening.accept()[0]
            with connection:
                while len(arrived) < len(content) or not arrived.endswith(content):
                    arrived.extend(connection.recv(2**16))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        pieces = (content[start : start + 9999] for start in range(0, len(content), 9999))
        with httpx.Client(transport=DeadlineTransport(), timeout=5) as client:
            client.post(url, content=pieces, headers={"Content-Length": str(len(content))})
        thread.join()

    assert bytes(arrived).partition(b"\r\n\r\n")[2] == content


SILENT = ("127.0.0.3", "127.0.0.4", "127.0.0.5")
on_this_machine = pytest.mark.allow_hosts(["127.0.0.1", "127.0.0.2", *SILENT])


@pytest.fixture
def port() -> Iterator[int]:
    """A port that does not answer at SILENT: connecting to it neither succeeds nor fails."""
    with ExitStack() as opened:
        number = 0
        for address in SILENT:
            listening = opened.enter_context(socket.create_server((address, number), backlog=0))
            number = listening.getsockname()[1]
            for _ in range(3):  # the queue of the listening socket is full then
                waiting = opened.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(listening.getsockname())
        yield number


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets the name `storage.example.org` have these addresses."""
    getaddrinfo = socket.getaddrinfo

    def let(*addresses: str) -> None:
        def resolve(host: str, port: int, *arguments: Any, **options: Any) -> Any:
            hosts = addresses if host == "storage.example.org" else (host,)
            return [found for each in hosts for found in getaddrinfo(each, port, *arguments, **options)]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)

    return let


@on_this_machine
@pytest.mark.parametrize("first", ["127.0.0.2", SILENT[0]], ids=["refuses", "is silent"])
def test_the_next_address_is_tried(first: str, port: int, resolves: Callable[..., None]):
    resolves(first, "127.0.0.1")
    with socket.create_server(("127.0.0.1", port)) as listening:

        def answer() -> None:
            with listening.accept()[0] as connection:
                connection.recv(2**16)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with httpx.Client(transport=DeadlineTransport()) as client, deadlines.deadline(1):
            assert client.get(f"http://storage.example.org:{port}/").status_code == 200


@on_this_machine
def test_all_addresses_share_one_deadline(port: int, resolves: Callable[..., None]):
    resolves(*SILENT)
    shares: list[float] = []
    connect = socket.create_connection

    def watched(address: Any, timeout: float, *arguments: Any, **options: Any) -> Any:
        shares.append(timeout)
        return connect(address, timeout, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch, httpx.Client(transport=DeadlineTransport()) as client:
        patch.setattr(socket, "create_connection", watched)
        with pytest.raises(httpx.ConnectTimeout), deadlines.deadline(0.3):
            client.get(f"http://storage.example.org:{port}/")

    assert len(shares) == len(SILENT)
    assert sum(shares) < 0.31


def test_a_child_process_leaves_the_connections_of_its_parent_alone(server: Server):
    with httpx.Client(transport=DeadlineTransport(), timeout=5) as client:
        assert client.get(f"{server.url}/").content == BODY
        child = os.fork()
        if not child:
            try:
                os._exit(0 if client.get(f"{server.url}/").content == BODY else 1)
            except BaseException:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert client.get(f"{server.url}/").content == BODY

    assert len(server.connections) == 2
