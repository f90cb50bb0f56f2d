"""Lines to a server: as many as there are calls at once, each kept for the next one.

httpcore's pool looks at each of its connections before and after each call. Here each line is a pool of
one, and the last that was used is used first.
"""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

import httpx

from storage.supabase.transport import DeadlineTransport

ONE = httpx.Limits(max_connections=1, max_keepalive_connections=1)
IDLE = 5  # seconds after which a line is given up, as httpx does

Idle = deque[tuple[float, DeadlineTransport]]  # since when; the last that became so on the right


class Lines(httpx.BaseTransport):
    """Any number of threads may use it at once."""

    def __init__(self) -> None:
        self._trusted = httpx.create_ssl_context()  # slow to make
        self._idle: Idle = deque()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        line = self._line()
        try:
            response = line.handle_request(request)
        except BaseException:
            line.close()
            raise
        assert isinstance(response.stream, httpx.SyncByteStream)
        response.stream = Lent(response.stream, line, self._idle)
        return response

    def close(self) -> None:
        while self._idle:
            self._idle.pop()[1].close()

    def _line(self) -> DeadlineTransport:
        try:
            return self._idle.pop()[1]
        except IndexError:
            return DeadlineTransport(limits=ONE, verify=self._trusted)


class Lent(httpx.SyncByteStream):
    """What follows an answer's beginning; its line is free once it is closed."""

    def __init__(self, stream: httpx.SyncByteStream, line: DeadlineTransport, idle: Idle) -> None:
        self.stream, self.line, self.idle = stream, line, idle

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.stream)

    def close(self) -> None:
        self.stream.close()
        now = time.monotonic()
        with suppress(IndexError):  # others take from it too
            while self.idle[0][0] < now - IDLE:
                self.idle.popleft()[1].close()
        self.idle.append((now, self.line))
