"""The same signed URL again, as long as half its life is left: so browsers and CDNs have what they had.

Kept in Django's cache. A cache that is down costs a new token, and nothing else.
"""

import hashlib
from collections.abc import Mapping, Sequence

import structlog
from django.conf import settings
from django.core.cache import cache

logger = structlog.get_logger("storage.url_cache")


def get_many(bucket: str, keys: Sequence[str], seconds: int) -> dict[str, str]:
    """By key, those that were made for this long and are still good for half of it."""
    names = {_name(bucket, key): key for key in keys}
    try:
        known = cache.get_many(names)
    except Exception as error:  # each cache raises its own
        logger.warning("cache_down", exc_info=error)
        return {}
    return {names[name]: token for name, (life, token) in known.items() if life == seconds}


def set_many(bucket: str, tokens: Mapping[str, str], seconds: int) -> None:
    if not tokens or seconds < 2:
        return
    known = {_name(bucket, key): (seconds, token) for key, token in tokens.items()}
    try:
        cache.set_many(known, timeout=seconds // 2)
    except Exception as error:
        logger.warning("cache_down", exc_info=error)


def delete(bucket: str, key: str) -> None:
    try:
        cache.delete(_name(bucket, key))
    except Exception as error:
        logger.warning("cache_down", exc_info=error)


def _name(bucket: str, key: str) -> str:
    place = f"{settings.SUPABASE_URL} {bucket}/{key}"
    return f"storage.token.{hashlib.sha256(place.encode()).hexdigest()}"
