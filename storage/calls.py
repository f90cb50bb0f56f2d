"""Tells observers about the calls of stores: which method was called, how it ended, and how long it took."""

import logging
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from time import perf_counter
from typing import ParamSpec, TypeVar

from storage.errors import (
    ObjectExists,
    ObjectMissing,
    ObjectRefused,
    StorageMisconfigured,
    StorageUnavailable,
)

logger = logging.getLogger("storage.calls")
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

#: Called after each call with the name of the method, the outcome, and the seconds that it took.
observers: list[Callable[[str, str, float], None]] = []

#: The outcome for each exception. The first class that matches decides; any other exception is an "error".
OUTCOMES: dict[type[Exception], str] = {
    ObjectMissing: "missing",
    ObjectExists: "exists",
    ObjectRefused: "refused",
    StorageMisconfigured: "misconfigured",
    StorageUnavailable: "unavailable",
}

#: Whether a method of a store is running. What it calls of the store is a part of the same call.
_is_running: ContextVar[bool] = ContextVar("is_running", default=False)


def observed(method: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Return the method of a store, which then tells the observers about each of its calls."""

    @wraps(method)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        if not observers or _is_running.get():
            return method(*args, **kwargs)
        token, started = _is_running.set(True), perf_counter()
        outcome = "ok"
        try:
            return method(*args, **kwargs)
        except BaseException as error:
            outcome = next((name for kind, name in OUTCOMES.items() if isinstance(error, kind)), "error")
            raise
        finally:
            _is_running.reset(token)
            seconds = perf_counter() - started
            for observe in observers:
                try:
                    observe(method.__name__, outcome, seconds)
                except Exception:  # the call is done, whatever the observer does
                    logger.exception("observer_failed")

    return call
