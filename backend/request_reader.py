"""Reads requests from a connection, within a time that depends on how much has arrived."""

import math
import re
import time
from collections.abc import Callable
from enum import Enum, auto
from select import POLLIN

from gunicorn.http.unreader import SocketUnreader

from backend.client_socket import ClientSocket

PATIENCE = 20  # seconds that a client may be silent or too slow
FIRST_PATIENCE = 5  # seconds for the first bytes of a long body: other requests may wait for the thread
MIN_RATE = 8 * 1024  # bytes a second: more slowly, a request uses up the client's PATIENCE
STOP_LINGER = 2  # seconds that a worker which stops waits for a request on an idle connection
LINGER_SECONDS = 10  # for the client to read the response before the connection is closed
LINGER_BYTES = 64 * 1024 * 1024  # that the client may still send meanwhile
MAX_HEAD = 32 * 1024  # bytes of the request line and all headers
MAX_SHORT_BODY = 64 * 1024  # bytes: longer bodies are not collected in memory
MAX_BUFFER = MAX_HEAD + MAX_SHORT_BODY  # bytes that a connection has in memory before it has a thread
MAX_TOKEN_LINE = 16 * 1024  # bytes of an Authorization header

NOT_HTTP = re.compile(rb"[^\r!-~]")  # a request line begins with a method, or an empty line comes before it
END_OF_HEAD = re.compile(rb"\n\r?\n")
CONTENT_LENGTH = re.compile(rb"\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r?\n", re.IGNORECASE)
#: Then the body has no known length, or the client waits for an answer before it sends the body.
UNKNOWN_LENGTH = re.compile(rb"\n(transfer-encoding|expect):", re.IGNORECASE)
LONG_TOKEN = re.compile(rb"\nauthorization:[^\n]{%d}" % MAX_TOKEN_LINE, re.IGNORECASE)

#: What has just arrived on a connection, for the one thread that calls `collect` and `drop`. A new buffer
#: each time would leave the memory of the process in pieces: 9 MiB more after 10,000 requests
#: (`bench/worker_memory.py`).
ARRIVED = memoryview(bytearray(MAX_BUFFER))

now = time.monotonic


class Progress(Enum):
    """How much of a request has arrived."""

    PART = auto()  # a part of its head, or the head and a part of a short body
    WHOLE = auto()
    LONG = auto()  # its head: the body is long, or of unknown length
    TOO_LONG = auto()  # a head over MAX_HEAD
    NOT_HTTP = auto()  # such as TLS, whose client waits for an answer


def progress(received: bytes) -> Progress:
    """Return how much of the request has arrived. gunicorn parses it later, and refuses what is malformed."""
    if NOT_HTTP.match(received):
        return Progress.NOT_HTTP
    found = END_OF_HEAD.search(received)
    head_size = found.end() if found else len(received)
    if head_size > MAX_HEAD:
        return Progress.TOO_LONG
    if not found:
        return Progress.PART
    head = received[:head_size]
    if UNKNOWN_LENGTH.search(head):
        return Progress.LONG
    length = int(match[1]) if (match := CONTENT_LENGTH.search(head)) else 0
    if length > MAX_SHORT_BODY:
        return Progress.LONG
    return Progress.WHOLE if len(received) - head_size >= length else Progress.PART


class RequestReader(SocketUnreader):
    """Reads requests from a connection.

    A request may wait for the client until `deadline`, PATIENCE seconds after its first look. Each byte
    postpones that by 1 / MIN_RATE seconds, up to PATIENCE seconds from now. So a slow request ends after
    PATIENCE + length / MIN_RATE seconds at the latest, and one that is fast at first may not stall later.
    """

    def __init__(self, sock: ClientSocket) -> None:
        super().__init__(sock)
        self.start_request()

    def start_request(self) -> None:
        """Forget the previous request. The time of the next one starts when it is looked for."""
        self.deadline = self.end = math.inf
        self.may_wait = False  # True for a long request that has a turn
        self.is_closing = False
        self.on_timeout: Callable[[], None] = lambda: None

    @property
    def received(self) -> bytes:
        received: bytes = self.buf.getvalue()
        return received

    @property
    def is_idle(self) -> bool:
        return not self.received

    @property
    def last_moment(self) -> float:
        return min(self.deadline, self.end)

    @property
    def is_late(self) -> bool:
        return now() >= self.last_moment

    def collect(self) -> Progress:
        """Read what has arrived of the next request, without waiting, and return how much that is.

        A connection that the client has closed is WHOLE: the parser handles it. If the client sends many
        requests at once, the rest stays in the socket.
        """
        self.deadline = min(self.deadline, now() + PATIENCE)
        if len(self.received) >= MAX_BUFFER:
            return progress(self.received)
        try:
            size = self.sock.recv_into(ARRIVED, MAX_BUFFER - len(self.received))
            data = bytes(ARRIVED[:size])
        except BlockingIOError:
            return progress(self.received)
        except OSError:
            data = b""
        if not data:
            return Progress.WHOLE
        self.end = math.inf
        self._postpone(len(data))
        self.unread(self.take_buffered() + data)
        return progress(self.received)

    def start_closing(self) -> None:
        """Let the client read the response, after which it closes the connection."""
        self.start_request()
        self.is_closing = True
        self.finish_within(LINGER_SECONDS)
        self.bytes_to_drop = LINGER_BYTES

    def drop(self) -> bool:
        """Drop what has arrived. Return False if the client has closed the connection, or sends too much."""
        try:
            size = self.sock.recv_into(ARRIVED)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.bytes_to_drop -= size
        return size > 0 and self.bytes_to_drop > 0

    def start_body(self) -> None:
        """Start the time of a long body, when the request has its thread."""
        self.deadline = now() + FIRST_PATIENCE

    def finish_within(self, seconds: float) -> None:
        """Let the rest of the request take at most this time, or less if that was said before."""
        self.end = min(self.end, now() + seconds)

    def read(self, size: int | None = None, read_ahead: int | None = None) -> bytes:
        """Read `size` bytes, fewer only at the end; without a size, what comes next.

        What is read ahead is copied each time that a part of it is taken, so only small parts are worth it.
        """
        is_large = size is not None and size >= MAX_SHORT_BODY
        return bytes(super().read(size, None if is_large else read_ahead))

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return the next bytes. Raises TimeoutError if the client is too slow, or nobody may wait for it."""
        while True:
            try:
                data: bytes = super().chunk(size_hint)
            except BlockingIOError:
                self._wait_for_data()
            else:
                self._postpone(len(data))
                return data

    def _wait_for_data(self) -> None:
        try:
            self.sock.wait(POLLIN, self.last_moment - now() if self.may_wait else 0)
        except TimeoutError:
            self.on_timeout()
            raise

    def _postpone(self, size: int) -> None:
        self.deadline = min(self.deadline + size / MIN_RATE, now() + PATIENCE)
