"""CircuitBreaker: after several failures in a row, calls fail at once for some seconds."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from storage.errors import StorageError, StorageUnavailable

MAX_FAILURES = 5  # in a row; then the circuit is open
OPEN_SECONDS = 3  # after the last failure; then one call goes ahead

logger = structlog.get_logger("storage.supabase")


class CircuitBreaker:
    """Counts the failures of one process.

    While the circuit is open, calls raise StorageUnavailable. After OPEN_SECONDS one call goes ahead, while
    the others still fail: its success closes the circuit, its failure starts the time again.

    `is_failure` returns whether this StorageError says that Storage does not work. After any other
    StorageError it does: it has answered. Other exceptions say nothing about it.
    """

    def __init__(self, is_failure: Callable[[StorageError], bool]) -> None:
        self._is_failure = is_failure
        self._lock = threading.Lock()
        self._failures = 0  # since the last success
        self._failed_at = 0.0  # by time.monotonic
        self._probing = False  # while the circuit is open, one call has gone ahead

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Raise StorageUnavailable if the circuit is open; else count the outcome of this block."""
        is_probe = self._enter()
        failed: bool | None = None
        try:
            yield
            failed = False
        except StorageError as error:
            failed = self._is_failure(error)
            raise
        finally:
            self._leave(is_probe, failed)

    def _enter(self) -> bool:
        """Return whether this call goes ahead while the others fail."""
        with self._lock:
            if self._failures < MAX_FAILURES:
                return False
            if self._probing or time.monotonic() < self._failed_at + OPEN_SECONDS:
                raise StorageUnavailable(
                    "Supabase Storage has failed several times in a row, and is not asked for some seconds"
                )
            self._probing = True
            return True

    def _leave(self, is_probe: bool, failed: bool | None) -> None:
        with self._lock:
            before = self._failures
            if is_probe:
                self._probing = False
            if failed:
                self._failures += 1
                self._failed_at = time.monotonic()
            elif failed is False:
                self._failures = 0
        if failed and before + 1 == MAX_FAILURES:
            logger.warning("storage_circuit_opened", failures=MAX_FAILURES)
        elif failed is False and before >= MAX_FAILURES:
            logger.info("storage_circuit_closed")
