"""The time that all storage calls of one HTTP request may take together.

A store that is reached over a network counts the time within its calls, and raises StorageUnavailable when
the budget is used up. Commands have no budget, except for each task of the sweep.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from storage.errors import StorageUnavailable


class Budget:
    """`seconds` that blocks of `spending()` may take together. Used by one thread."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.left = seconds  # of these, before the block that is running
        self.ends_at = math.inf  # by time.monotonic, while a block is running

    @property
    def is_running(self) -> bool:
        return self.ends_at < math.inf

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Count the time of this block. Raises StorageUnavailable if nothing is left."""
        if self.left <= 0:
            raise StorageUnavailable("The storage calls of this request have used up STORAGE_TIMEOUT")
        self.ends_at = time.monotonic() + self.left
        try:
            yield
        finally:
            self.left = self.ends_at - time.monotonic()
            self.ends_at = math.inf


_budget: ContextVar[Budget | None] = ContextVar("budget", default=None)


@contextmanager
def request_budget(seconds: float) -> Iterator[None]:
    """Give all storage calls of this block, which handles a request, one budget."""
    token = _budget.set(Budget(seconds))
    try:
        yield
    finally:
        _budget.reset(token)


def current() -> Budget | None:
    """Return the budget of the request that is being handled, if there is one."""
    return _budget.get()


def is_used_up() -> bool:
    """Return True if the request that is being handled has no time left for storage calls."""
    budget = _budget.get()
    return budget is not None and budget.left <= 0


def ends_at() -> float:
    """Return when the running call must end, by time.monotonic."""
    budget = _budget.get()
    return math.inf if budget is None else budget.ends_at


@contextmanager
def transferring(seconds: float) -> Iterator[None]:
    """Do not count the first `seconds` of this block: they are needed to send a body."""
    budget = _budget.get()
    if budget is None:
        yield
        return
    budget.ends_at += seconds
    started = time.monotonic()
    try:
        yield
    finally:
        budget.ends_at -= max(seconds - (time.monotonic() - started), 0)


def give_back(seconds: float) -> None:
    """Give back the time that some bytes may take, after they have arrived.

    Never more than the whole budget is left, so a store that stops sending cannot keep the request longer.
    """
    budget = _budget.get()
    if budget is not None and budget.is_running:
        budget.ends_at = min(budget.ends_at + seconds, time.monotonic() + budget.seconds)
