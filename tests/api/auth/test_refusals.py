"""Why a token is refused is in the log, and with DEBUG in `detail`: the check, what it expects, what came."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.access_tokens import (
    ABSENT,
    EC2,
    ISSUER,
    KEYS,
    SUB,
    base64,
    claims,
    flipped,
    issued,
    jwk,
    signed,
    token,
    unsigned,
)
from tests.support.attacks import ATTACKS
from tests.support.auth_server import KeyServer
from tests.support.cast import code
from tests.support.whoami import ask


@pytest.fixture(autouse=True)
def _routes(settings) -> None:
    settings.ROOT_URLCONF = "tests.support.whoami"


@pytest.fixture
def published(key_server: KeyServer) -> None:
    key_server.publish(*[jwk(name, key) for name, key in KEYS.items()])


def logged(caplog) -> dict[str, Any]:
    [event] = [record.msg for record in caplog.records if record.name == "api.auth.tokens"]
    return event


def refused(bad: str, caplog) -> dict[str, Any]:
    """What is logged about this token, which must not be in any line."""
    caplog.set_level("INFO", "api")
    caplog.clear()

    answer = ask(f"Bearer {bad}")

    assert answer.status_code == 401
    assert code(answer) == "token_invalid"
    assert len(bad) < 8 or bad not in caplog.text
    event = logged(caplog)
    assert event["level"] == "info"
    return event


OTHER = "https://other.supabase.co/auth/v1"
REFUSALS: dict[str, tuple[Callable[[], str], str, str, str]] = {
    "issuer": (lambda: token(iss=OTHER), "issuer", ISSUER, repr(OTHER)),
    "issuer, by a key": (lambda: issued(iss=f"{ISSUER}/"), "issuer", ISSUER, repr(f"{ISSUER}/")),
    "no issuer": (lambda: token(iss=ABSENT), "issuer", ISSUER, "None"),
    "audience": (lambda: token(aud="anon"), "audience", "authenticated", "'anon'"),
    "audiences": (lambda: token(aud=["a", "b"]), "audience", "authenticated", "['a', 'b']"),
    "an API key": (
        lambda: token(aud=ABSENT, sub=ABSENT, role="anon"),
        "audience",
        "authenticated",
        "None",
    ),
    "secret": (
        lambda: signed(claims(), secret="x" * 40),
        "key",
        "a signature by SUPABASE_JWT_SECRET",
        "'one by another key'",
    ),
    "another key": (
        lambda: issued("ES256", EC2),
        "key",
        "a signature by the public key 'ES256'",
        "'one by another key'",
    ),
    "unknown key": (
        lambda: issued(header={"kid": "k1"}),
        "key",
        "one of the public keys 'EdDSA', 'RS256', 'ES256'",
        "'k1'",
    ),
    "no key id": (
        lambda: issued(header={"kid": None}),
        "key",
        "a key id of at most 128 characters",
        "None",
    ),
    "algorithm": (
        lambda: unsigned("none") + base64(b"x"),
        "algorithm",
        "HS256 or ES256 or EdDSA or RS256",
        "'none'",
    ),
    "a clock that is fast": (
        lambda: token(nbf=int(time.time()) + 1000),
        "time",
        "a token that is valid by this server's clock",
        "'The token is not yet valid (nbf)'",
    ),
    "role": (lambda: token(role="service_role"), "role", "authenticated", "'service_role'"),
    "subject": (lambda: token(sub="alice"), "subject", "a UUID", "'alice'"),
    "no role": (
        lambda: token(role=ABSENT, app_metadata=ABSENT, user_metadata=ABSENT, amr=ABSENT),
        "claims",
        "exp, iat, iss, aud, sub, role",
        "'aal, aud, email, exp, iat, is_anonymous, iss, phone, session_id, sub'",
    ),
}


@pytest.mark.parametrize(("make", "check", "expected", "found"), REFUSALS.values(), ids=REFUSALS.keys())
def test_the_log_has_the_check_that_failed_and_what_was_expected_and_came(
    published: None, caplog, make: Callable[[], str], check: str, expected: str, found: str
):
    event = refused(make(), caplog)

    assert (event["check"], event["expected"], event["found"]) == (check, expected, found)


def test_with_debug_the_client_is_told_too_and_else_not(settings, caplog):
    bad = f"Bearer {token(iss=OTHER)}"
    without = ask(bad).json()["detail"]
    settings.DEBUG = True

    assert ask(bad).json()["detail"] == f"{without} issuer: expected {ISSUER}, found {OTHER!r}."
    assert "issuer" not in without


def test_without_a_secret_the_log_says_which_algorithms_there_are_keys_for(published: None, settings, caplog):
    settings.SUPABASE_JWT_SECRET = ""

    event = refused(token(), caplog)

    assert (event["check"], event["expected"]) == ("algorithm", "ES256 or EdDSA or RS256")


def test_no_attack_is_logged_at_length_or_with_its_token(published: None, settings, caplog):
    settings.DEBUG = True

    for name, make in ATTACKS.items():
        event = refused(make(), caplog)

        assert len(event["expected"]) + len(event["found"]) < 600, name
        assert (event["expected"] + event["found"]).isprintable(), name
        assert settings.SUPABASE_JWT_SECRET not in str(event), name


@pytest.mark.parametrize("header", ["Basic YWxpY2U6c2VjcmV0", f"Token {SUB}", flipped(token()), ""])
def test_a_header_of_another_scheme_is_not_logged_itself(header: str, caplog):
    caplog.set_level("INFO", "api")

    assert code(ask(header)) == "token_invalid"

    event = logged(caplog)
    assert event["check"] == "header"
    assert not header or header not in caplog.text


@pytest.mark.parametrize("claim", ["iss", "aud", "role", "sub"])
def test_a_value_that_cannot_be_shown_is_a_401_all_the_same(claim: str, caplog):
    for odd in ({"a": [[[[[[[["deep"]]]]]]]]}, "\ud800\n\x1b[31m\u202e", ["x" * 5000], 10**400):
        assert len(refused(token(**{claim: odd}), caplog)["found"]) < 300
