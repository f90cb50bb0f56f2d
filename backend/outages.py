"""Logs an outage once a minute, not once for each request that it fails.

An event is about an outage if its logger call says so: `logger.warning("…", outage="storage")`. Such a line
has the causes of its exception instead of a traceback, because the code is not what has failed.
"""

import logging
import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any

import structlog
from structlog.typing import EventDict

INTERVAL = 60.0  # seconds

_lock = threading.Lock()
#: By the event and what is out: when a line was last logged, and how many were dropped since.
_logged: dict[tuple[str, str], tuple[float, int]] = {}


def limit_outages(_: Any, __: str, event: EventDict) -> EventDict:
    """A structlog processor. Drops an event about an outage that was logged within the last INTERVAL."""
    outage = event.get("outage")
    if outage is None:
        return event
    event["dropped"] = _count((str(event["event"]), str(outage)))
    if error := event.pop("exc_info", None):
        event["causes"] = [_shown(cause) for cause in _causes(error)]
    return event


def is_not_repeated(record: logging.LogRecord) -> bool:
    """A filter for the logger of a library: False for what it logged within the last INTERVAL.

    It may be added twice: `dictConfig` adds it each time that logging is configured.
    """
    if not getattr(record, "is_counted", False):
        record.is_counted = True
        try:
            _count((record.name, str(record.msg)))
        except structlog.DropEvent:
            return False
    return True


def forget() -> None:
    """Log the next event of each outage, whenever the last one was."""
    with _lock:
        _logged.clear()


def _count(key: tuple[str, str]) -> int:
    """Return how many events were dropped since the last line. Raises DropEvent to drop this one."""
    with _lock:
        logged_at, dropped = _logged.get(key, (None, 0))
        if logged_at is not None and monotonic() - logged_at < INTERVAL:
            _logged[key] = logged_at, dropped + 1
            raise structlog.DropEvent
        _logged[key] = monotonic(), 0
    return dropped


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception and what it was raised from."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _shown(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]
