"""ConcurrencyLimit: lets at most half of the threads of a process wait for Storage at the same time."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from storage.errors import StorageUnavailable

PATIENCE = 0.5  # seconds without any progress, after which Storage does not answer


class ConcurrencyLimit:
    """Half of settings.THREADS places.

    If all are taken, a caller waits for its turn, because a burst of requests is no sign of a failure. But if
    no place has become free for PATIENCE seconds, all who wait are refused, and those who come later at once:
    their threads stay free for requests that need no storage.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = 0
        self._progress_at = 0.0  # when a place was taken, by time.monotonic
        self._queue: deque[threading.Event] = deque()  # empty while a place is free

    @contextmanager
    def place(self, timeout: float) -> Iterator[None]:
        """Take a place for this block, within `timeout` seconds. Raises StorageUnavailable."""
        self._take(timeout)
        try:
            yield
        finally:
            self._give()

    def _take(self, timeout: float) -> None:
        with self._lock:
            if self._taken < max(settings.THREADS // 2, 1):
                self._taken += 1
                self._progress_at = time.monotonic()
                return
            my_turn = threading.Event()
            self._queue.append(my_turn)
        gives_up_at = time.monotonic() + timeout
        while not my_turn.wait(self._patience_until(gives_up_at)):
            self._check_progress(my_turn, gives_up_at)

    def _patience_until(self, gives_up_at: float) -> float:
        return max(min(self._progress_at + PATIENCE, gives_up_at) - time.monotonic(), 0)

    def _check_progress(self, my_turn: threading.Event, gives_up_at: float) -> None:
        """Leave the queue and raise StorageUnavailable if there was no progress, or no time is left."""
        with self._lock:
            if not my_turn.is_set() and not self._patience_until(gives_up_at):
                self._queue.remove(my_turn)
                raise StorageUnavailable("Half of the threads of this process wait for Supabase Storage")

    def _give(self) -> None:
        """Give the place to the caller who has waited longest."""
        with self._lock:
            if self._queue:
                self._progress_at = time.monotonic()
                self._queue.popleft().set()
            else:
                self._taken -= 1
