"""Keys in many threads and processes: one of them asks for all, and a purge reaches all."""

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.cache import cache

from api.auth import jwks_cache, jwks_client, supabase_auth
from api.auth.jwks_client import COOLDOWN, MAX_AGE, STALE_IF_ERROR, JWKSClient, KeysUnavailable, UnknownKey
from tests.support.auth_server import KeyServer
from tests.support.whoami import opens


@pytest.fixture(autouse=True)
def _routes(settings, clock) -> None:
    settings.ROOT_URLCONF = "tests.support.whoami"


# --- No herd ----------------------------------------------------------------------------------------


def test_a_thousand_unknown_keys_cost_a_handful_of_fetches(key_server: KeyServer, clock):
    assert opens()
    clock.time += COOLDOWN

    def use(number: int) -> None:
        with pytest.raises(UnknownKey):
            jwks_client.public_key(f"made up {number}")

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(use, range(1000)))

    assert key_server.hits == 2


def test_an_empty_set_is_an_answer_and_costs_no_fetch_for_each_token(key_server: KeyServer, clock):
    key_server.publish()

    for _ in range(100):
        assert not opens()

    assert key_server.hits == 1


def test_threads_that_start_together_ask_once(key_server: KeyServer):
    key_server.open.clear()

    with ThreadPoolExecutor(12) as threads:
        found = [threads.submit(jwks_client.public_key, "ES256") for _ in range(12)]
        while not key_server.hits:
            time.sleep(0.001)
        key_server.open.set()

    assert {key.result().key_id for key in found} == {"ES256"}
    assert key_server.hits == 1


def test_who_waits_for_unknown_keys_leaves_threads_to_the_others(key_server: KeyServer, clock):
    assert opens()
    key_server.open.clear()
    clock.time += COOLDOWN

    with ThreadPoolExecutor(20) as threads:
        strangers = [threads.submit(jwks_client.public_key, f"made up {number}") for number in range(20)]
        began = time.monotonic()
        while sum(stranger.done() for stranger in strangers) < 20 - jwks_client.MAX_WAITING:
            time.sleep(0.001)
        took = time.monotonic() - began
        key_server.open.set()

    assert took < 1
    assert all(isinstance(stranger.exception(), UnknownKey) for stranger in strangers)


# --- Several processes ------------------------------------------------------------------------------


def test_processes_share_one_set(key_server: KeyServer, others: list[JWKSClient]):
    assert opens()

    for other in others:
        other.refresh_if_due()
        assert other.key("ES256").key_id == "ES256"

    assert key_server.hits == 1


def test_processes_that_start_together_ask_once(key_server: KeyServer, others: list[JWKSClient]):
    with ThreadPoolExecutor(4) as processes:
        for done in [processes.submit(other.refresh_if_due) for other in others]:
            done.result()

    assert all(other.key("ES256") for other in others)
    assert key_server.hits == 1


def test_a_thousand_unknown_keys_in_several_processes_cost_a_handful_of_fetches(
    key_server: KeyServer, clock, others: list[JWKSClient]
):
    for other in others:
        other.refresh_if_due()
    clock.time += COOLDOWN

    def use(number: int) -> None:
        with pytest.raises(UnknownKey):
            others[number % 4].key(f"made up {number}")

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(use, range(1000)))

    assert key_server.hits == 2


def test_a_failure_is_shared_too(key_server: KeyServer, others: list[JWKSClient]):
    key_server.fail()

    for other in others:
        other.refresh_if_due()
        with pytest.raises(KeysUnavailable):
            other.key("ES256")

    assert key_server.hits == 1


def test_a_process_that_starts_in_an_outage_opens_with_what_the_others_know(
    key_server: KeyServer, clock, others: list[JWKSClient]
):
    assert opens()
    key_server.fail()
    clock.forward(MAX_AGE + 60)

    others[0].refresh_if_due()

    assert others[0].key("ES256").key_id == "ES256"
    clock.time += STALE_IF_ERROR
    others[0].refresh_if_due()
    with pytest.raises(KeysUnavailable):
        others[0].key("ES256")


def test_a_process_that_died_while_it_asked_is_not_waited_for_for_long(
    key_server: KeyServer, clock, others: list[JWKSClient], monkeypatch
):
    monkeypatch.setattr(jwks_cache, "POLL_INTERVAL", 0)
    jwks_cache.claim_fetch(key_server.url, f":{clock.time // COOLDOWN:.0f}", 60)
    monkeypatch.setattr(supabase_auth, "TIMEOUT", -0.9)

    others[0].refresh_if_due()
    assert key_server.hits == 0
    monkeypatch.setattr(supabase_auth, "TIMEOUT", 3)
    clock.time += COOLDOWN
    others[0].refresh_if_due()

    assert others[0].key("ES256").key_id == "ES256"


@pytest.mark.parametrize(
    "rubbish",
    ["x", (), ("x", 1.0, ""), ("{}", 1_000_001.0, ""), (b"\xff", 1_000_001.0, ""), (1, "x", None)],
    ids=str,
)
def test_rubbish_in_the_cache_is_passed_over(others: list[JWKSClient], rubbish: Any, monkeypatch):
    write = cache.set
    with monkeypatch.context() as patch:
        patch.setattr(cache, "set", lambda name, value, **options: write(name, rubbish, **options))
        others[0].refresh_if_due()

    for source in (others[0], others[1]):
        source.refresh_if_due()

    assert others[0].key("ES256").key_id == "ES256"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Python 3.12: fork with threads
def test_a_child_process_keeps_keys_of_its_own(key_server: KeyServer, clock):
    assert opens()
    of_the_parent = jwks_client.client()

    child = os.fork()
    if not child:
        try:
            alone = jwks_client.client() is not of_the_parent
            os._exit(0 if alone and jwks_client.public_key("ES256").key_id == "ES256" else 1)
        except BaseException:
            os._exit(2)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# --- A cache that is down ---------------------------------------------------------------------------


def test_a_cache_that_is_down_does_not_take_authentication_down(key_server: KeyServer, clock, broken_cache):
    assert opens()
    for number in range(50):
        assert not opens(header={"kid": f"made up {number}"})
        jwks_client.client().refresh_if_due()
    assert key_server.hits == 1

    key_server.fail()
    clock.forward(MAX_AGE - 1)
    clock.forward(2)

    assert opens()


def test_a_cache_that_hangs_costs_one_timeout_and_is_left_alone_then(
    key_server: KeyServer, settings, broken_cache
):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        location = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": location}}
        settings.CACHES["default"]["OPTIONS"] = {"socket_timeout": 0.3}
        began = time.monotonic()

        assert opens()
        assert time.monotonic() - began < 0.6
