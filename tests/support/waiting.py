"""Waits for what other threads and processes do."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def wait_until(find: Callable[[], Found], seconds: float = 30, interval: float = 0.1) -> Found:
    """Call `find` again and again, and return its first result that is true."""
    until = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < until, f"it did not happen within {seconds} seconds"
        time.sleep(interval)
    return found
