"""Django's Redis cache, with one client for each pool, and counters that take one call.

To make a client takes longer than a call.
"""

from functools import cached_property
from typing import Any

from django.core.cache.backends import redis


class RedisCacheClient(redis.RedisCacheClient):
    @cached_property
    def _clients(self) -> dict[Any, Any]:
        return {}

    def get_client(self, key: Any = None, *, write: bool = False) -> Any:
        """Return the client of a pool. It can be used by several threads."""
        pool = self._get_connection_pool(write)  # type: ignore[attr-defined]
        client = self._clients.get(pool)
        return client or self._clients.setdefault(pool, self._client(connection_pool=pool))  # type: ignore[attr-defined]

    def count(self, key: str, delta: int, seconds: float) -> int:
        """Add to a counter, which begins with 0 and lives for so many seconds, and return the sum."""
        pipeline = self.get_client(key, write=True).pipeline(transaction=False)
        pipeline.set(key, 0, ex=int(seconds), nx=True)  # so the counter has an end, unless it ends just now
        pipeline.incrby(key, delta)
        _, total = pipeline.execute()
        return int(total)


class RedisCache(redis.RedisCache):
    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = RedisCacheClient

    def count(self, key: str, delta: int, seconds: float) -> int:
        """Add to a counter, and return the sum: atomic, and one call, unlike `add` and `incr`."""
        client: Any = self._cache
        return int(client.count(self.make_and_validate_key(key), delta, seconds))
