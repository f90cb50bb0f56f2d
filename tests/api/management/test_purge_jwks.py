"""The purge, and the herd, in real processes that share a real Redis; and what the command says."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import StringIO

import httpx
import pytest
import redis
from django.core.cache import cache
from django.core.management import call_command
from django.core.management.base import CommandError

from api.auth import jwks_cache
from api.auth.jwks_client import REFRESH_AGE, JWKSClient, KeysUnavailable, UnknownKey
from tests.support.access_tokens import EC, KEYS, issued, jwk
from tests.support.auth_server import KeyServer
from tests.support.redis_server import REDIS, needs_redis
from tests.support.server import Server
from tests.support.whoami import opens

WRITTEN = "*signing-keys:*"


@pytest.fixture(autouse=True)
def _routes(settings, clock) -> None:
    settings.ROOT_URLCONF = "tests.support.whoami"


def test_a_purge_drops_the_set_in_all_processes_and_all_fetch_one_anew(
    key_server: KeyServer, others: list[JWKSClient]
):
    for other in others:
        other.refresh_if_due()
    key_server.publish(jwk("RS256", KEYS["RS256"]))

    jwks_cache.purge(key_server.url)

    for other in others:
        other.refresh_if_due()
        with pytest.raises(UnknownKey):
            other.key("ES256")
        assert other.key("RS256").key_id == "RS256"
    assert key_server.hits == 2


def test_a_purge_in_an_outage_leaves_nothing_that_opens(key_server: KeyServer, others: list[JWKSClient]):
    others[0].refresh_if_due()
    key_server.fail()

    jwks_cache.purge(key_server.url)
    others[0].refresh_if_due()

    with pytest.raises(KeysUnavailable):
        others[0].key("ES256")


def test_a_set_that_was_under_way_during_a_purge_does_not_count(
    key_server: KeyServer, others: list[JWKSClient]
):
    key_server.open.clear()
    with ThreadPoolExecutor(1) as keeper:
        fetching = keeper.submit(others[0].refresh_if_due)
        while not key_server.hits:
            time.sleep(0.001)
        jwks_cache.purge(key_server.url)
        key_server.open.set()
        fetching.result()
    key_server.publish(jwk("RS256", KEYS["RS256"]))

    for other in others[:2]:
        other.refresh_if_due()
        with pytest.raises(UnknownKey):
            other.key("ES256")


def test_a_cache_that_lost_the_purge_brings_nothing_back(
    key_server: KeyServer, others: list[JWKSClient], clock
):
    jwks_cache.purge(key_server.url)
    others[0].refresh_if_due()
    assert others[0].generation

    cache.clear()
    key_server.fail()
    others[0].refresh_if_due()

    assert others[0].key("ES256").key_id == "ES256"
    key_server.publish(jwk("ES256", EC))
    clock.time += REFRESH_AGE + 1
    others[0].refresh_if_due()
    others[1].refresh_if_due()
    assert others[1].generation == others[0].generation


def test_the_command_drops_the_set_where_the_cache_is_shared(
    key_server: KeyServer, settings, tmp_path, others: list[JWKSClient]
):
    backend = "django.core.cache.backends.filebased.FileBasedCache"
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": str(tmp_path / "cache")}}
    others[0].refresh_if_due()
    key_server.publish(jwk("RS256", KEYS["RS256"]))

    call_command("purge_jwks", stdout=(printed := StringIO()))
    others[0].refresh_if_due()

    assert printed.getvalue().startswith("purged")
    with pytest.raises(UnknownKey):
        others[0].key("ES256")


def test_the_command_says_that_an_in_process_cache_reaches_nobody(key_server: KeyServer):
    assert opens()

    with pytest.raises(CommandError, match="CACHE_URL"):
        call_command("purge_jwks")
    assert opens()


def test_the_command_says_when_there_are_no_keys(settings):
    settings.SUPABASE_JWKS_URL = ""

    with pytest.raises(CommandError, match="SUPABASE_JWKS_URL"):
        call_command("purge_jwks")


def test_the_command_says_when_the_cache_is_down(key_server: KeyServer, broken_cache):
    with pytest.raises(CommandError, match="ConnectionError"):
        call_command("purge_jwks")


# --- Real processes ---------------------------------------------------------------------------------


@pytest.fixture
def keys() -> Iterator[KeyServer]:
    with KeyServer() as server:
        yield server


@pytest.fixture
def processes(keys: KeyServer, tmp_path) -> Iterator[Server]:
    """Three worker processes. What they write to Redis is deleted."""
    with redis.Redis.from_url(REDIS) as client:
        before = set(client.scan_iter(WRITTEN))
        with Server(tmp_path, workers=3, SUPABASE_JWKS_URL=keys.url, CACHE_URL=REDIS) as running:
            yield running
        client.delete(*set(client.scan_iter(WRITTEN)) - before)


def statuses(server: Server, tokens: list[str]) -> set[int]:
    """Of as many requests, each on a connection of its own, so that every process gets its share."""

    def get(token: str) -> int:
        headers = {"authorization": f"Bearer {token}", "connection": "close"}
        return client.get("/api/v1/documents/", headers=headers).status_code

    with httpx.Client(base_url=server.url, timeout=30) as client, ThreadPoolExecutor(8) as threads:
        return set(threads.map(get, tokens))


def soon(server: Server, token: str, status: int) -> None:
    """Within a second, and what a busy machine takes on top, every process answers so."""
    until = time.monotonic() + 5
    while statuses(server, [token] * 60) != {status}:
        assert time.monotonic() < until


@needs_redis
@pytest.mark.slow
def test_processes_share_fetches_outages_and_purges(keys: KeyServer, processes: Server):
    issuer = f"{processes.url}/auth/v1"
    good = issued(iss=issuer)
    began = time.monotonic()

    assert statuses(processes, [good] * 60) == {200}
    assert keys.hits == 1

    made_up = [issued(header={"kid": f"made up {number}"}, iss=issuer) for number in range(1000)]
    assert statuses(processes, made_up) == {401}
    assert keys.hits <= 2 + (time.monotonic() - began) / 10

    keys.publish(jwk("RS256", KEYS["RS256"]))
    fetched, purged = keys.hits, time.monotonic()
    assert "purged" in processes.manage("purge_jwks")
    soon(processes, good, 401)
    assert fetched + 1 <= keys.hits <= fetched + 1 + (time.monotonic() - purged) / 10
    rotated = issued("RS256", iss=issuer)
    assert statuses(processes, [rotated] * 60) == {200}

    keys.fail()
    assert statuses(processes, [rotated] * 60) == {200}
    processes.manage("purge_jwks")
    soon(processes, rotated, 503)
    processes.stop()
    told = processes.log.read_text()
    assert "jwks_refresh_failed" not in told
    assert "Exception in thread" not in told
