"""Shares the key set between processes through Django's cache, and lets one process fetch it for all.

If the cache fails, nothing is shared: every process fetches for itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from math import inf
from time import monotonic, sleep
from typing import Any, TypeVar
from uuid import uuid4

import structlog
from django.core.cache import cache

logger = structlog.get_logger("api.auth.jwks_cache")
T = TypeVar("T")
POLL_INTERVAL = 0.05  # seconds between two reads of the result of another process
PAUSE_SECONDS = 10  # for which the cache is not used after it failed

_paused_until = -inf  # on the monotonic clock


@dataclass(frozen=True, slots=True)
class CachedKeySet:
    """`text` as the endpoint sent it; `fetched_at` in seconds since 1970; `generation`: see `purge`."""

    text: str
    fetched_at: float
    generation: str


def read(url: str) -> tuple[str, CachedKeySet | None]:
    """Return the generation, "" if there was no purge, and the cached key set. One round trip."""
    names = _name(url, "generation"), _name(url, "set")
    found: dict[str, Any] = _call(lambda: cache.get_many(names), {})
    generation, entry = found.get(names[0], ""), found.get(names[1])
    return str(generation), CachedKeySet(*entry) if isinstance(entry, tuple) and len(entry) == 3 else None


def write(url: str, entry: CachedKeySet, seconds: float) -> None:
    parts = (entry.text, entry.fetched_at, entry.generation)
    _call(lambda: cache.set(_name(url, "set"), parts, timeout=seconds), None)
    if entry.generation:  # restored, in case the cache was emptied
        _call(lambda: cache.add(_name(url, "generation"), entry.generation, timeout=None), None)


def claim_fetch(url: str, window: str, seconds: float) -> bool:
    """Return True if this process is the one that fetches in this time window.

    `window` is the generation and the number of the time window; `seconds` is how long the claim is kept.
    """
    return _call(lambda: cache.add(_name(url, window), "asking", timeout=seconds), True)


def report_fetch(url: str, window: str, succeeded: bool, seconds: float) -> None:
    """Publish the result of a claimed fetch for the processes that wait for it."""
    outcome = "answered" if succeeded else "failed"
    _call(lambda: cache.set(_name(url, window), outcome, timeout=seconds), None)


def wait_for_fetch(url: str, window: str, timeout: float) -> bool:
    """Wait for the process that claimed the fetch. Returns True if it succeeded, False after `timeout`."""
    until = monotonic() + timeout
    while (outcome := _call(lambda: cache.get(_name(url, window)), None)) == "asking" and monotonic() < until:
        sleep(POLL_INTERVAL)
    return outcome == "answered"


def purge(url: str) -> None:
    """Start a new generation: key sets of an older one, and fetches that began in it, are ignored.

    Raises whatever the cache raises.
    """
    cache.set(_name(url, "generation"), uuid4().hex, timeout=None)
    cache.delete(_name(url, "set"))


def _name(url: str, what: str) -> str:
    return f"signing-keys:{sha256(url.encode()).hexdigest()[:16]}:{what}"


def _call(call: Callable[[], Any], default: T) -> T:
    """Call the cache; return `default` if it fails.

    A cache that hangs takes seconds to fail, so after a failure it is not called for PAUSE_SECONDS.
    """
    global _paused_until
    if monotonic() < _paused_until:
        return default
    try:
        result: T = call()
        return result
    except Exception as error:  # each cache backend has its own exceptions
        logger.warning("jwks_cache_failed", outage="cache", exc_info=error)
        _paused_until = monotonic() + PAUSE_SECONDS
        return default
