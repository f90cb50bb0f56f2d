"""Keys through slowness, outage, garbage and rotation: known ones open without waiting, removed ones end."""

import gzip
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from api.auth import jwks_client
from api.auth.jwks_client import COOLDOWN, MAX_AGE, REFRESH_AGE, STALE_IF_ERROR
from tests.support.access_tokens import EC, EC2, KEYS, issued, jwk, token
from tests.support.auth_server import KeyServer
from tests.support.cast import code
from tests.support.whoami import ask, keys_are_unavailable, opens

Spoil = Callable[[KeyServer], Any]
TROUBLE: dict[str, Spoil] = {
    "500": lambda server: server.fail(500),
    "404": lambda server: server.fail(404, b'{"message": "no such project"}'),
    "401": lambda server: server.fail(401, b'{"message": "No API key found in request"}'),
    "429": lambda server: server.fail(429, b"slow down"),
    "nothing": lambda server: server.fail(200, b""),
    "a page": lambda server: server.fail(200, b"<html>Maintenance</html>"),
    "no UTF-8": lambda server: server.fail(200, b"\xff\xfe"),
    "cut off": lambda server: server.fail(200, b'{"keys": ["'),
    "a list": lambda server: server.fail(200, b"[]"),
    "no keys": lambda server: server.fail(200, b"{}"),
    "keys null": lambda server: server.fail(200, b'{"keys": null}'),
    "keys an object": lambda server: server.fail(200, b'{"keys": {}}'),
    "nested without end": lambda server: server.fail(200, b'{"keys":' + b"[" * 100_000),
    "only keys that nobody knows": lambda server: server.publish({"kty": "new", "kid": "ES256"}),
    "only what is no key": lambda server: server.publish("ES256", None, 7),
    "huge": lambda server: server.fail(200, b'{"keys": []}' + b" " * 300_000),
    "shorter than it says": lambda server: server.headers.update({"Content-Length": "9999999"}),
    "compressed, unasked": lambda server: compress(server),
    "an error with a good set": lambda server: setattr(server, "status", 500),
    "another success with a good set": lambda server: setattr(server, "status", 203),
}


def compress(server: KeyServer) -> None:
    server.headers["Content-Encoding"] = "gzip"
    server.body = gzip.compress(server.body)


@pytest.fixture(autouse=True)
def _routes(settings, clock) -> None:
    settings.ROOT_URLCONF = "tests.support.whoami"


# --- When there is nothing to go by -----------------------------------------------------------------


@pytest.mark.parametrize("spoil", TROUBLE.values(), ids=TROUBLE.keys())
def test_trouble_of_the_key_server_is_ours_and_not_the_tokens(key_server: KeyServer, spoil: Spoil):
    spoil(key_server)

    for where in ("/whoami", "/public"):
        answer = ask(f"Bearer {issued()}", where)
        assert answer.status_code == 503
        assert code(answer) == "keys_unavailable"
        assert int(answer.headers["Retry-After"]) > 0
        assert "WWW-Authenticate" not in answer.headers
    assert key_server.hits == 1


def test_a_key_server_that_is_gone_is_503_and_the_secret_still_opens(key_server: KeyServer):
    key_server.stop()

    assert keys_are_unavailable()
    assert ask(f"Bearer {token()}").status_code == 200
    assert ask(where="/public").status_code == 200


def test_after_trouble_the_keys_are_fetched_by_themselves(key_server: KeyServer, clock):
    key_server.fail()
    assert all(keys_are_unavailable() for _ in range(20))
    assert key_server.hits == 1

    key_server.publish(jwk("ES256", EC))
    clock.forward(COOLDOWN)

    assert opens()


def test_a_key_server_that_stays_down_is_asked_once_in_ten_seconds(key_server: KeyServer, clock):
    key_server.fail()

    for _ in range(30):
        assert keys_are_unavailable()
        clock.forward(1)

    assert 3 <= key_server.hits <= 4


# --- A known key, whatever the endpoint does --------------------------------------------------------


@pytest.mark.parametrize("spoil", TROUBLE.values(), ids=TROUBLE.keys())
def test_a_known_key_opens_through_any_trouble_and_then_503(key_server: KeyServer, clock, spoil: Spoil):
    assert opens()
    spoil(key_server)

    for age in (REFRESH_AGE + 1, MAX_AGE - 1, MAX_AGE + 1, MAX_AGE + STALE_IF_ERROR - 1):
        clock.forward(age - (clock.time - 1_000_000))
        assert opens()
    clock.forward(2)

    assert keys_are_unavailable()


def test_it_counts_for_ten_minutes_and_for_fifteen_more():
    assert (MAX_AGE, STALE_IF_ERROR) == (600, 900)


def test_an_unknown_key_is_401_while_a_stale_set_counts(key_server: KeyServer, clock):
    assert opens()
    key_server.fail()
    clock.forward(MAX_AGE - 1)
    clock.forward(30)

    assert not opens(header={"kid": "unknown"})


def test_a_known_key_does_not_wait_for_a_silent_endpoint(key_server: KeyServer, clock):
    assert opens()
    key_server.open.clear()
    clock.time += REFRESH_AGE + 1

    with ThreadPoolExecutor(1) as keeper:
        fetching = keeper.submit(jwks_client.client().refresh_if_due)
        while key_server.hits < 2:
            time.sleep(0.001)
        began = time.monotonic()
        assert all(opens() for _ in range(10))
        assert time.monotonic() - began < 2
        assert not fetching.done()
        key_server.open.set()


def test_the_set_is_refreshed_before_it_is_stale_without_any_request(key_server: KeyServer, clock):
    assert opens()

    for _ in range(12):
        clock.forward(60)

    assert key_server.hits == 3
    key_server.stop()
    assert opens()


def test_a_set_that_outlived_a_sleep_of_the_machine_does_not_count(key_server: KeyServer, clock):
    assert opens()
    key_server.publish(jwk("RS256", KEYS["RS256"]))

    clock.time += MAX_AGE + 1  # and no keeper has looked since

    assert not opens()


def test_a_clock_that_is_set_back_does_not_make_a_set_young_again(key_server: KeyServer, clock):
    assert opens()
    key_server.publish(jwk("RS256", KEYS["RS256"]))

    clock.time -= 3600

    assert not opens()
    assert opens("RS256")


@pytest.mark.parametrize("kid", ["", None, 0, "a" * 129, ["ES256"]], ids=["", "null", "0", "long", "list"])
def test_what_cannot_be_a_key_id_is_not_asked_about(key_server: KeyServer, clock, kid: Any):
    assert opens()
    clock.time += COOLDOWN

    assert not opens(header={"kid": kid})
    clock.forward(1)
    assert key_server.hits == 1


# --- Rotation ---------------------------------------------------------------------------------------


def test_a_new_key_is_accepted_at_its_first_use(key_server: KeyServer, clock):
    assert opens()
    key_server.publish(jwk("ES256", EC), jwk("ES256", EC2, kid="new"))
    clock.time += COOLDOWN

    assert opens(key=EC2, header={"kid": "new"})


def test_a_new_key_is_accepted_within_a_minute_of_a_first_use_that_came_too_early(
    key_server: KeyServer, clock
):
    assert opens()
    assert not opens(key=EC2, header={"kid": "new"})  # the set is a moment old, nobody asks again
    key_server.publish(jwk("ES256", EC), jwk("ES256", EC2, kid="new"))

    clock.forward(COOLDOWN)

    assert opens(key=EC2, header={"kid": "new"})


def test_a_new_key_is_accepted_in_the_middle_of_a_flood_of_unknown_ones(key_server: KeyServer, clock):
    assert opens()
    for number in range(60):
        assert not opens(header={"kid": f"made up {number}"})
        if number == 30:
            key_server.publish(jwk("ES256", EC), jwk("ES256", EC2, kid="new"))
        clock.forward(1)

    assert opens(key=EC2, header={"kid": "new"})
    assert key_server.hits <= 8


def test_a_removed_key_is_refused_after_ten_minutes_at_most(key_server: KeyServer, clock):
    assert opens()
    key_server.publish(jwk("RS256", KEYS["RS256"]))

    for _ in range(10):
        clock.forward(60)

    assert not opens()
    assert opens("RS256")


def test_a_key_that_comes_back_is_accepted_again(key_server: KeyServer, clock):
    for published in (True, False, True):
        key_server.publish(*([jwk("ES256", EC)] if published else []))
        clock.forward(REFRESH_AGE + 1)
        assert opens() is published
