"""OpenResponse: a response of httpcore that can be closed at any time, also by the garbage collector.

The garbage collector may run while this thread holds the lock of a connection pool. If it finds a response
that nobody closed, httpcore waits for the same lock, for ever: https://github.com/encode/httpcore/issues/996.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import httpcore


class OpenResponse:
    def __init__(self, response: httpcore.Response) -> None:
        assert isinstance(response.stream, Iterable)
        self.response = response
        self._chunks = iter(response.stream)

    def next_chunk(self) -> bytes | None:
        """Return the next bytes of the body, None at its end."""
        with inside_httpcore():
            return next(self._chunks, None)

    def close(self) -> None:
        """Close the response: now, or when this thread has left httpcore."""
        _thread.to_close.append(self)
        if not _thread.is_inside:
            with inside_httpcore():
                pass


class _Thread(threading.local):
    def __init__(self) -> None:
        self.is_inside = False
        self.to_close: list[OpenResponse] = []


_thread = _Thread()


@contextmanager
def inside_httpcore() -> Iterator[None]:
    """Do something that may take the lock of a pool; then close the responses that could not be closed."""
    if _thread.is_inside:
        yield
        return
    _thread.is_inside = True
    try:
        yield
    finally:
        try:
            while _thread.to_close:
                _thread.to_close.pop().response.close()
        finally:
            _thread.is_inside = False
