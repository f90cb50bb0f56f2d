"""Deadlines for all network waits of a block, and the time that the bytes of a body may take."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from storage import budget

MINIMUM_RATE = 256 * 1024  # bytes a second: a body of n bytes adds n / MINIMUM_RATE seconds to the deadline

_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)  # by time.monotonic
#: In bytes a second. 0 stands for MINIMUM_RATE.
_minimum_rate: ContextVar[int] = ContextVar("minimum_rate", default=0)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Make network calls in this block fail after `seconds`. An earlier outer deadline still applies."""
    token = _deadline.set(min(_deadline.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _deadline.reset(token)


@contextmanager
def minimum_rate(rate: int) -> Iterator[None]:
    """Use another MINIMUM_RATE (bytes a second) in this block, for connections that are slow or shared."""
    token = _minimum_rate.set(rate)
    try:
        yield
    finally:
        _minimum_rate.reset(token)


def transfer_seconds(size: int) -> float:
    """Return the number of seconds that a body of so many bytes may take."""
    return size / (_minimum_rate.get() or MINIMUM_RATE)


def remaining(timeout: float | None, error: type[Exception]) -> float | None:
    """Return the seconds to wait at most: `timeout`, or the time until the deadline if that is shorter.

    The budget of a request is a deadline too, while one of its storage calls is running.
    """
    seconds = min(_deadline.get(), budget.ends_at()) - time.monotonic()
    if seconds <= 0:
        raise error("the request took too long")
    return seconds if timeout is None else min(timeout, seconds)
