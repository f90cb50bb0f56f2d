"""The Redis that tests may use, if one is running."""

import os

import pytest
import redis

REDIS = os.environ.get("TEST_CACHE_URL", "redis://127.0.0.1:6379/0")


def redis_answers() -> bool:
    try:
        with redis.Redis.from_url(REDIS) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


needs_redis = pytest.mark.skipif(
    "CI" not in os.environ and not redis_answers(), reason=f"no Redis at {REDIS}: set TEST_CACHE_URL"
)
