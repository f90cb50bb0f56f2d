"""Caches the tokens of signed URLs, so that a URL stays the same and browsers and CDNs can cache it.

The same token is returned for a key while at least half of its lifetime is left. The tokens are in Django's
cache, which all processes share if CACHE_URL names a server. If it is down, each process makes its own.

A process remembers a token for REMEMBERED_SECONDS, so that the URLs that are asked for most need no call of
the cache. For so long it may return the token from before another process deleted the object, also if an
object with the same key was created since.
"""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from django.conf import settings
from django.core.cache import cache

from storage.tokens import expiry

REMEMBERED_SECONDS = 10
MAX_REMEMBERED = 2000  # tokens of each process, about 1 MB
logger = structlog.get_logger("storage.url_cache")


@dataclass(frozen=True, slots=True)
class Remembered:
    """A token that this process knows. `lifetime` in seconds, `until` in seconds since 1970."""

    token: str = field(repr=False)
    lifetime: int
    until: float


remembered: dict[str, Remembered] = {}


def get_many(bucket: str, keys: Sequence[str], seconds: int) -> dict[str, str]:
    """Return the cached tokens, by key, that were made for this lifetime and have half of it left."""
    names = {_cache_key(bucket, key): key for key in keys}
    now = time.time()
    known = {
        name: found.token
        for name in names
        if (found := remembered.get(name)) and found.lifetime == seconds and now < found.until
    }
    if unknown := [name for name in names if name not in known]:
        try:
            cached = cache.get_many(unknown)
        except Exception as error:  # each cache backend raises its own exceptions
            logger.warning("url_cache_failed", outage="cache", exc_info=error)
            cached = {}
        fitting = {name: token for name, (lifetime, token) in cached.items() if lifetime == seconds}
        _remember(fitting, seconds)
        known |= fitting
    return {names[name]: token for name, token in known.items()}


def set_many(bucket: str, tokens: Mapping[str, str], seconds: int) -> None:
    """Cache new tokens, by key, for half of their lifetime of `seconds`."""
    if not tokens or seconds < 2:
        return
    named = {_cache_key(bucket, key): token for key, token in tokens.items()}
    _remember(named, seconds)
    try:
        cache.set_many({name: (seconds, token) for name, token in named.items()}, timeout=seconds // 2)
    except Exception as error:
        logger.warning("url_cache_failed", outage="cache", exc_info=error)


def delete(bucket: str, key: str) -> None:
    name = _cache_key(bucket, key)
    try:
        cache.delete(name)
    except Exception as error:
        logger.warning("url_cache_failed", outage="cache", exc_info=error)
    finally:
        remembered.pop(name, None)  # at last: another thread may just have read it from the cache


def forget() -> None:
    """Forget what this process remembers."""
    remembered.clear()


def _remember(tokens: Mapping[str, str], seconds: int) -> None:
    if len(remembered) + len(tokens) > MAX_REMEMBERED:
        forget()
    now = time.time()
    for name, token in tokens.items():
        half_life = expiry(token).timestamp() - seconds / 2
        remembered[name] = Remembered(token, seconds, min(now + REMEMBERED_SECONDS, half_life))


def _cache_key(bucket: str, key: str) -> str:
    """Return the cache key of an object's token: a hash, since object keys may be too long for a cache."""
    location = f"{settings.SUPABASE_URL} {bucket}/{key}"
    return f"storage.token.{hashlib.sha256(location.encode()).hexdigest()}"
