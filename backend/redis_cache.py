"""Django's Redis cache, with one client for each pool: to make a client takes longer than a call."""

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


class RedisCache(redis.RedisCache):
    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = RedisCacheClient
