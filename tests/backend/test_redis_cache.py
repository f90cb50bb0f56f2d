"""The Redis cache makes one client for each pool, and gives up on a server that hangs."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from uuid import uuid4

import pytest
import redis

from backend.redis_cache import RedisCache
from tests.backend.test_settings import read
from tests.conftest import missing


def test_a_client_is_made_once():
    cache = RedisCache("redis://127.0.0.1:9/0", {})._cache

    assert cache.get_client("a") is cache.get_client("b", write=True)


def test_reading_and_writing_have_clients_of_their_own_if_there_are_replicas():
    cache = RedisCache("redis://127.0.0.1:9/0,redis://127.0.0.1:9/1", {})._cache

    assert cache.get_client("a") is not cache.get_client("a", write=True)


def test_the_settings_choose_it_with_time_limits():
    [caches] = read("CACHES", DEBUG="true", CACHE_URL="redis://127.0.0.1:6379/3?socket_timeout=0.5")

    assert caches["default"]["BACKEND"] == "backend.redis_cache.RedisCache"
    assert caches["default"]["OPTIONS"]["socket_connect_timeout"] == 2


def test_a_server_that_hangs_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        limits = {"OPTIONS": {"socket_timeout": 0.2, "socket_connect_timeout": 0.2}}
        started = monotonic()
        with pytest.raises(redis.exceptions.RedisError):
            RedisCache(address, limits).get("a")

    assert monotonic() - started < 10


@pytest.fixture
def cache() -> Iterator[RedisCache]:
    made = RedisCache("redis://127.0.0.1:6379/14", {"KEY_PREFIX": uuid4().hex})
    try:
        made.get("a")
    except redis.exceptions.RedisError:
        missing("Redis is needed on 127.0.0.1:6379")
    return made


def test_a_counter_adds_up_and_ends(cache: RedisCache):
    assert [cache.count("a", number, 60) for number in (1, 2, 3)] == [1, 3, 6]
    assert cache.get("a") == 6
    assert 0 < cache._cache.get_client().ttl(cache.make_key("a")) <= 60
    assert cache.count("b", 5, 60) == 5
    cache.decr("b", 5)
    assert cache.count("b", 1, 60) == 1


def test_a_counter_loses_nothing(cache: RedisCache):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: cache.count("a", 1, 60), range(200)))

    assert sorted(found) == list(range(1, 201))
