"""The key set as processes share it, through Django's cache, and whose turn it is to ask for a new one.

A cache that is down costs the sharing and nothing else: then every process cares for itself.
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
GLANCE = 0.05  # seconds between two looks at what another process hears
PAUSE = 10  # seconds without the cache after it failed

_left_alone_until = -inf  # on the monotonic clock


@dataclass(frozen=True, slots=True)
class Shared:
    """`text` as the endpoint gave it; `fetched_at` in seconds since 1970; `generation`: see `purge`."""

    text: str
    fetched_at: float
    generation: str


def read(url: str) -> tuple[str, Shared | None]:
    """The generation, "" if nobody ever purged, and the set that somebody fetched. One round trip."""
    names = _name(url, "generation"), _name(url, "set")
    found: dict[str, Any] = _try(lambda: cache.get_many(names), {})
    generation, entry = found.get(names[0], ""), found.get(names[1])
    return str(generation), Shared(*entry) if isinstance(entry, tuple) and len(entry) == 3 else None


def write(url: str, entry: Shared, seconds: float) -> None:
    parts = (entry.text, entry.fetched_at, entry.generation)
    _try(lambda: cache.set(_name(url, "set"), parts, timeout=seconds), None)
    if entry.generation:  # a cache that was emptied hears again which one it is
        _try(lambda: cache.add(_name(url, "generation"), entry.generation, timeout=None), None)


def take_turn(url: str, turn: str, seconds: float) -> bool:
    """Whether this process is the one that asks the endpoint this time."""
    return _try(lambda: cache.add(_name(url, turn), "asking", timeout=seconds), True)


def tell(url: str, turn: str, answered: bool, seconds: float) -> None:
    """How it went, for those who wait for it."""
    outcome = "answered" if answered else "failed"
    _try(lambda: cache.set(_name(url, turn), outcome, timeout=seconds), None)


def follow(url: str, turn: str, patience: float) -> bool:
    """Wait for the process whose turn it is. Whether it was answered: not if it is not heard of."""
    until = monotonic() + patience
    while (outcome := _try(lambda: cache.get(_name(url, turn)), None)) == "asking" and monotonic() < until:
        sleep(GLANCE)
    return outcome == "answered"


def purge(url: str) -> None:
    """Begin a new generation: what was fetched in an older one, or is under way, counts nowhere any more.

    Raises what the cache raises.
    """
    cache.set(_name(url, "generation"), uuid4().hex, timeout=None)
    cache.delete(_name(url, "set"))


def _name(url: str, what: str) -> str:
    return f"signing-keys:{sha256(url.encode()).hexdigest()[:16]}:{what}"


def _try(call: Callable[[], Any], otherwise: T) -> T:
    """A cache that hangs takes seconds to fail: after a failure it is left alone for a while."""
    global _left_alone_until
    if monotonic() < _left_alone_until:
        return otherwise
    try:
        answer: T = call()
        return answer
    except Exception as error:  # each cache raises its own
        logger.warning("keys_not_shared", reason=type(error).__name__)
        _left_alone_until = monotonic() + PAUSE
        return otherwise
