"""How long a request may take: a clock that the tests move, and a pair of sockets."""

import socket
from collections.abc import Iterator

import pytest

from backend import request_reader
from backend.client_socket import ClientSocket
from backend.request_reader import (
    FIRST_PATIENCE,
    MAX_BUFFER,
    MAX_HEAD,
    MAX_SHORT_BODY,
    MIN_RATE,
    PATIENCE,
    Progress,
    RequestReader,
    progress,
)

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(request_reader, "now", clock)
    return clock


class Wire:
    """A client and the reader of its connection."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.client, end = socket.socketpair()
        self.end = ClientSocket.of(end)
        self.reader = RequestReader(self.end)

    def send(self, data: bytes, after: float = 0) -> Progress:
        self.clock.time += after
        self.client.sendall(data)
        return self.reader.collect()

    def start_body(self) -> None:
        """Give the request a thread."""
        self.reader.may_wait = True
        self.reader.start_body()

    def send_body(self, data: bytes, after: float = 0) -> bytes:
        """Send a part of a long body, which its thread then reads."""
        self.clock.time += after
        self.client.sendall(data)
        return self.reader.read(len(data))


@pytest.fixture
def wire(clock: Clock) -> Iterator[Wire]:
    wire = Wire(clock)
    yield wire
    wire.client.close()
    wire.end.close()


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        (b"", Progress.PART),
        (HEAD, Progress.PART),
        (HEAD + b"\r\n", Progress.WHOLE),
        (HEAD + b"Content-Length: 0\r\n\r\n", Progress.WHOLE),
        (HEAD + b"Content-Length: 3\r\n\r\nab", Progress.PART),
        (HEAD + b"content-length:3\r\n\r\nabc", Progress.WHOLE),
        (HEAD + b"Content-Length: 3\r\n\r\nabcGET", Progress.WHOLE),
        (HEAD + b"X-Content-Length: 3\r\n\r\n", Progress.WHOLE),
        (HEAD + b"\r\nContent-Length: 3\r\n\r\n", Progress.WHOLE),
        (HEAD + b"Content-Length: %d\r\n\r\n" % MAX_SHORT_BODY, Progress.PART),
        (HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_SHORT_BODY + 1), Progress.LONG),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", Progress.LONG),
        (HEAD + b"EXPECT: 100-continue\r\nContent-Length: 3\r\n\r\n", Progress.LONG),
        (b"GET / HTTP/1.1\nHost: x\n\n", Progress.WHOLE),  # gunicorn refuses it
        (b"\r\n\r\n", Progress.WHOLE),
        (HEAD + b"X: " + b"a" * MAX_HEAD, Progress.TOO_LONG),
        (HEAD + b"X: " + b"a" * MAX_HEAD + b"\r\n\r\n", Progress.TOO_LONG),
        (b"\r", Progress.PART),
        (b"\x16\x03\x01", Progress.NOT_HTTP),
    ],
)
def test_a_request_has_a_thread_when_it_is_whole_or_long(received: bytes, expected: Progress):
    assert progress(received) is expected


def test_a_request_that_drips_is_late_after_the_patience(wire: Wire):
    wire.send(HEAD)
    for _ in range(PATIENCE // 8):
        assert wire.send(b"X", after=8) is Progress.PART
        assert not wire.reader.is_late

    wire.send(b"X", after=8)

    assert wire.reader.is_late


def test_each_request_of_a_connection_has_a_time_of_its_own(wire: Wire):
    wire.send(HEAD + b"\r\n", after=PATIENCE - 1)
    wire.reader.take_buffered()
    wire.reader.start_request()

    wire.clock.time += 1000
    assert not wire.reader.is_late
    wire.send(HEAD)
    assert not wire.reader.is_late


def test_of_many_requests_at_once_only_a_part_is_in_memory(wire: Wire):
    request = HEAD + b"\r\n"
    wire.end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * MAX_BUFFER)
    wire.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MAX_BUFFER)
    wire.client.setblocking(False)
    sent = wire.client.send(request * (3 * MAX_BUFFER // len(request)))
    answered = b""

    while wire.reader.collect() is Progress.WHOLE and len(answered) < sent - len(request):
        assert len(wire.reader.received) <= MAX_BUFFER
        answered += wire.reader.read(len(request))
        wire.reader.start_request()

    assert sent > 2 * MAX_BUFFER
    assert answered == (request * sent)[: len(answered)]


def test_a_long_body_may_take_as_long_as_it_keeps_the_rate(wire: Wire):
    wire.send(HEAD + b"Content-Length: 50000000\r\n\r\n")
    wire.reader.take_buffered()
    wire.start_body()

    for _ in range(1000):
        assert wire.send_body(b"x" * MIN_RATE, after=1) == b"x" * MIN_RATE
    assert not wire.reader.is_late


def test_a_long_body_that_is_too_slow_ends(wire: Wire):
    closing: list[bool] = []
    wire.reader.on_timeout = lambda: closing.append(True)
    wire.start_body()
    for _ in range(2 * FIRST_PATIENCE - 1):
        wire.send_body(b"x" * (MIN_RATE // 2), after=1)

    wire.send_body(b"x" * (MIN_RATE // 2), after=2)
    with pytest.raises(TimeoutError):
        wire.reader.read(1)

    assert closing


def test_a_body_that_was_fast_may_not_stall_for_longer_than_the_patience(wire: Wire):
    wire.start_body()
    for _ in range(1000):
        wire.send_body(b"x" * MIN_RATE)

    wire.clock.time += PATIENCE

    assert wire.reader.is_late


def test_the_thread_waits_for_the_next_bytes_no_longer_than_the_deadline(wire: Wire, clock: Clock):
    wire.start_body()
    clock.time += FIRST_PATIENCE - 0.01

    with pytest.raises(TimeoutError):
        wire.reader.read(1)


def test_no_thread_waits_for_a_request_without_a_turn(wire: Wire):
    wire.send(HEAD + b"Content-Length: 3\r\n\r\n")

    wire.reader.take_buffered()
    with pytest.raises(TimeoutError):
        wire.reader.read(3)


def test_a_connection_that_the_client_closed_needs_no_patience(wire: Wire):
    wire.send(HEAD)
    wire.client.close()

    assert wire.reader.collect() is Progress.WHOLE


def test_a_large_part_of_a_body_is_not_read_ahead(wire: Wire):
    """What follows it stays in the socket. Else it would be copied with each part that is taken of it."""
    wire.client.sendall(b"a" * MAX_SHORT_BODY + b"b" * 1000)
    wire.start_body()

    assert wire.reader.read(MAX_SHORT_BODY, read_ahead=MAX_SHORT_BODY + 1000) == b"a" * MAX_SHORT_BODY
    assert wire.reader.received == b""
    assert wire.reader.read(10, read_ahead=1000) == b"b" * 10
