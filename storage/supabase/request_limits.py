"""Limits for the calls of Storage within HTTP requests: their time, their number, and a circuit breaker.

They keep a Storage server that does not answer from taking all threads. Of the commands only the sweep has
them. All state is that of one process: it decides when to ask Storage, never what is stored.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from storage import budget
from storage.errors import StorageError, StorageMisconfigured, StorageUnavailable
from storage.supabase.circuit_breaker import CircuitBreaker
from storage.supabase.concurrency import ConcurrencyLimit


class UnknownError(StorageUnavailable):
    """Storage answered that the request is wrong, for a reason that is not known here."""


def is_failure(error: StorageError) -> bool:
    """Return whether this error says that Storage does not work."""
    return isinstance(error, StorageUnavailable) and not isinstance(
        error, StorageMisconfigured | UnknownError
    )


def waiting() -> AbstractContextManager[None]:
    """Take a place, and spend the budget of the request, while the block waits for Storage.

    Does nothing outside of a request, or within another such block. The block raises StorageUnavailable if
    there is no place, or nothing left of the budget.
    """
    return _limited(nullcontext)


def calling() -> AbstractContextManager[None]:
    """The same for a call with its retries. Also raises StorageUnavailable while the circuit is open."""
    return _limited(_breaker.guard)


@contextmanager
def _limited(guard: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    shared = budget.current()
    if shared is None or shared.is_running:
        yield
        return
    with shared.spending(), _limit.place(shared.left), guard():
        yield


def reset() -> None:
    """Forget failures, and which places are taken. Blocks that are running give the old places back."""
    global _limit, _breaker
    _limit, _breaker = ConcurrencyLimit(), CircuitBreaker(is_failure)


_limit, _breaker = ConcurrencyLimit(), CircuitBreaker(is_failure)
os.register_at_fork(after_in_child=reset)  # the threads with these places are not in the child
