"""Responses to clients, who may be slow by a clock that the tests move."""

import os
import socket
from collections.abc import Callable, Iterator
from operator import methodcaller
from pathlib import Path
from select import POLLOUT, poll
from typing import BinaryIO

import pytest

from backend import client_socket
from backend.client_socket import BLOCK, STALL_TIMEOUT, ClientSocket

CONTENT = bytes(range(256)) * 8000


class Pair:
    """Both ends of a connection. The client receives only while the server waits for it."""

    def __init__(self) -> None:
        one, self.client = socket.socketpair()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        self.server = ClientSocket.of(one)
        self.client.settimeout(30)
        self.time = 1000.0
        self.received = b""

    def send(self, send: Callable[[ClientSocket], object], seconds: float, size: int) -> bytes:
        """Send something to a client that takes `seconds` to receive `size` bytes.

        Return what the client has received when the connection is closed.
        """
        self.seconds_of_byte = seconds / size
        try:
            send(self.server)
        finally:
            self.server.close()
            while self.receive():
                pass
        return self.received

    def receive(self) -> bytes:
        data = self.client.recv(10_000)
        self.received += data
        return data

    def register(self, server: ClientSocket, events: int) -> None:
        assert (server, events) == (self.server, POLLOUT)

    def poll(self, milliseconds: float) -> bool:
        """Stand for a poll object. The clock moves as the client receives."""
        seconds = len(self.receive()) * self.seconds_of_byte
        self.time += seconds
        return seconds * 1000 <= milliseconds


@pytest.fixture
def pair(monkeypatch) -> Iterator[Pair]:
    pair = Pair()
    monkeypatch.setattr(client_socket, "now", lambda: pair.time)
    monkeypatch.setattr(client_socket, "poll", lambda: pair)
    with pair.server, pair.client:
        yield pair


@pytest.fixture
def file(tmp_path: Path) -> Iterator[BinaryIO]:
    (tmp_path / "file").write_bytes(CONTENT)
    with (tmp_path / "file").open("rb") as file:
        yield file


#: Each way to send CONTENT.
WAYS = ["sendfile", "sendall", "send"]


@pytest.fixture(params=WAYS)
def send(request, file: BinaryIO) -> Callable[[ClientSocket], object]:
    what = file if request.param == "sendfile" else CONTENT
    return methodcaller(request.param, what)


def test_a_part_of_a_file(pair: Pair, file: BinaryIO):
    assert pair.send(methodcaller("sendfile", file, 1000, 500_000), 0, BLOCK) == CONTENT[1000:501_000]


def test_the_number_of_bytes_is_returned(pair: Pair, file: BinaryIO):
    sent = []

    pair.send(lambda server: sent.extend([server.send(b"abc"), server.sendfile(file)]), 0, BLOCK)

    assert sent == [3, len(CONTENT)]


def test_a_slow_client_may_take_long_for_a_whole_response(pair: Pair, send):
    assert pair.send(send, STALL_TIMEOUT / 3, BLOCK) == CONTENT


def test_a_block_must_arrive_in_time(pair: Pair, send):
    """It is not enough that any byte does."""
    with pytest.raises(TimeoutError):
        pair.send(send, STALL_TIMEOUT / 3, BLOCK // 4)

    assert 0 < len(pair.received) < 2 * BLOCK


def test_a_client_that_receives_nothing(pair: Pair, send, monkeypatch):
    monkeypatch.setattr(client_socket, "poll", poll)
    monkeypatch.setattr(client_socket, "STALL_TIMEOUT", 0.05)

    with pytest.raises(TimeoutError) as caught:
        send(pair.server)

    assert caught.value.__suppress_context__, "The log has one traceback."


def test_what_is_sent_now_waits_for_nobody(pair: Pair):
    pair.server.send_now(CONTENT)

    with pytest.raises(BlockingIOError):
        pair.server.send_now(CONTENT)


def test_nobody_makes_it_blocking(pair: Pair):
    for make_blocking in (methodcaller("setblocking", True), methodcaller("settimeout", None)):
        make_blocking(pair.server)

    assert not os.get_blocking(pair.server.fileno())
    with pytest.raises(BlockingIOError):
        pair.server.recv(1)


def test_a_file_that_is_shorter_than_announced(pair: Pair, file: BinaryIO):
    """The response cannot be completed, so the connection must not be used again."""
    with pytest.raises(OSError, match="shorter"):
        pair.send(methodcaller("sendfile", file, 0, len(CONTENT) + 1), 0, BLOCK)
