"""Caches the tokens of signed URLs, so that a URL stays the same and browsers and CDNs can cache it.

The same token is returned for a key while at least half of its lifetime is left. The tokens are in Django's
cache; if that is down, a new token is made for every call.
"""

import hashlib
from collections.abc import Mapping, Sequence

import structlog
from django.conf import settings
from django.core.cache import cache

logger = structlog.get_logger("storage.url_cache")


def get_many(bucket: str, keys: Sequence[str], seconds: int) -> dict[str, str]:
    """Return the cached tokens, by key, that were made for this lifetime and have half of it left."""
    names = {_cache_key(bucket, key): key for key in keys}
    try:
        cached = cache.get_many(names)
    except Exception as error:  # each cache backend raises its own exceptions
        logger.warning("url_cache_failed", outage="cache", exc_info=error)
        return {}
    return {names[name]: token for name, (lifetime, token) in cached.items() if lifetime == seconds}


def set_many(bucket: str, tokens: Mapping[str, str], seconds: int) -> None:
    """Cache new tokens, by key, for half of their lifetime of `seconds`."""
    if not tokens or seconds < 2:
        return
    entries = {_cache_key(bucket, key): (seconds, token) for key, token in tokens.items()}
    try:
        cache.set_many(entries, timeout=seconds // 2)
    except Exception as error:
        logger.warning("url_cache_failed", outage="cache", exc_info=error)


def delete(bucket: str, key: str) -> None:
    try:
        cache.delete(_cache_key(bucket, key))
    except Exception as error:
        logger.warning("url_cache_failed", outage="cache", exc_info=error)


def _cache_key(bucket: str, key: str) -> str:
    """Return the cache key of an object's token: a hash, since object keys may be too long for a cache."""
    location = f"{settings.SUPABASE_URL} {bucket}/{key}"
    return f"storage.token.{hashlib.sha256(location.encode()).hexdigest()}"
