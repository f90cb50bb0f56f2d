"""A token is verified once, and again whenever anything that was true of it may have changed."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from api.auth import jwks_client, tokens, verified_tokens
from api.auth.tokens import TokenInvalid
from api.auth.verified_tokens import principal_of_token
from tests.conftest import Clock
from tests.support.access_tokens import EC2, SECRET, SUB, claims, jwk, sealed, signed
from tests.support.auth_server import KeyServer


@pytest.fixture
def verifications(monkeypatch) -> Iterator[list[str]]:
    """The tokens that were verified, one after the other."""
    done: list[str] = []
    verify = tokens.verify

    def count(token: str) -> Any:
        done.append(token)
        return verify(token)

    monkeypatch.setattr(verified_tokens, "verify", count)
    return done


def test_a_token_is_verified_once(verifications: list[str]):
    token = signed(claims())

    assert {principal_of_token(token).id for _ in range(3)} == {UUID(SUB)}
    assert verifications == [token]


def test_a_token_that_is_refused_is_verified_each_time(verifications: list[str]):
    token = signed(claims(), secret="another secret of at least 32 characters")
    for _ in range(3):
        with pytest.raises(TokenInvalid):
            principal_of_token(token)

    assert len(verifications) == 3


def test_another_token_of_the_same_claims_is_another_token(verifications: list[str]):
    token = signed(claims())
    principal_of_token(token)
    with pytest.raises(TokenInvalid):
        principal_of_token(f"{token[:-4]}AAAA")

    assert len(verifications) == 2


def test_it_dies_with_its_expiry(monkeypatch):
    token = signed(claims())
    principal_of_token(token)
    now = verified_tokens.time.time()
    monkeypatch.setattr(verified_tokens.time, "time", lambda: now + 3600 + tokens.LEEWAY - 5)
    principal_of_token(token)
    monkeypatch.setattr(verified_tokens.time, "time", lambda: now + 3600 + tokens.LEEWAY + 1)
    assert not any(each.is_valid() for each in verified_tokens.remembered.values())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SUPABASE_JWT_SECRET", "another secret of at least 32 characters"),
        ("SUPABASE_JWT_ISSUER", "https://another.example.org/auth/v1"),
        ("SUPABASE_JWT_AUDIENCE", "others"),
    ],
)
def test_it_dies_with_a_setting(settings, name: str, value: str):
    token = signed(claims())
    principal_of_token(token)
    setattr(settings, name, value)

    with pytest.raises(TokenInvalid):
        principal_of_token(token)


def test_a_role_that_is_no_longer_staff_is_seen(settings):
    token = signed(claims(app_metadata={"role": "staff"}))
    assert principal_of_token(token).is_staff
    settings.SUPABASE_STAFF_ROLES = ["admin"]

    assert not principal_of_token(token).is_staff


# --- Public keys ------------------------------------------------------------------------------------


def purge(key_server: KeyServer, clock: Clock) -> None:
    """As `purge_jwks` does, after a key was revoked."""
    jwks_client.jwks_cache.purge(key_server.url)
    clock.forward(11)


def rotate(key_server: KeyServer, clock: Clock) -> None:
    clock.forward(301)


def go_down(key_server: KeyServer, clock: Clock) -> None:
    """For so long that the keys may not be used any more."""
    key_server.status = 500
    for _ in range(6):
        clock.forward(301)


def test_a_token_with_a_public_key_is_verified_once(key_server: KeyServer, verifications: list[str]):
    token = sealed(claims())
    for _ in range(3):
        principal_of_token(token)

    assert verifications == [token]


@pytest.mark.parametrize("happens", [purge, rotate])
def test_it_dies_with_its_key(
    key_server: KeyServer, clock: Clock, happens: Callable[[KeyServer, Clock], None]
):
    token = sealed(claims())
    principal_of_token(token)
    key_server.publish(jwk("ES256", EC2))  # another key under the same id
    happens(key_server, clock)

    with pytest.raises(TokenInvalid):
        principal_of_token(token)


def test_it_dies_when_its_key_is_too_old(key_server: KeyServer, clock: Clock):
    token = sealed(claims())
    principal_of_token(token)
    go_down(key_server, clock)

    with pytest.raises(jwks_client.KeysUnavailable):
        principal_of_token(token)


# --- Memory -----------------------------------------------------------------------------------------


def test_the_number_of_tokens_is_bounded(monkeypatch, verifications: list[str]):
    monkeypatch.setattr(verified_tokens, "MAX_TOKENS", 3)
    many = [signed(claims(email=f"{number}@example.org")) for number in range(5)]
    for token in many:
        principal_of_token(token)
    assert len(verified_tokens.remembered) == 3

    principal_of_token(many[4])
    assert len(verifications) == 5
    principal_of_token(many[0])  # the oldest was forgotten
    assert len(verifications) == 6


def test_no_token_and_no_secret_is_shown():
    token = signed(claims())
    principal_of_token(token)

    assert token not in repr(verified_tokens.remembered)
    assert SECRET not in repr(verified_tokens.remembered)
    assert "alice@example.org" not in repr(verified_tokens.remembered)
