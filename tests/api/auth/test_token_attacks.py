"""Attacks: each is a 401 wherever it is shown, and costs no query, no fetch and no 500."""

from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest

from api.auth import jwks_client
from tests.support.access_tokens import (
    EC2,
    HOUR,
    KEYS,
    LATER,
    SUB,
    base64,
    claims,
    issued,
    jwk,
    sealed,
    signed,
    text_of,
    token,
)
from tests.support.attacks import ATTACKS, OCTETS, confused, named, public_texts
from tests.support.auth_server import KeyServer
from tests.support.cast import code
from tests.support.whoami import CLIENT, ask

PAGES = ("/api/v1/species/", "/api/v1/documents/")  # a public and a private one


@pytest.fixture(scope="module")
def published() -> Iterator[KeyServer]:
    """Beside the good keys it publishes what must not be used."""
    with KeyServer() as server:
        secret = {"kty": "oct", "k": base64(OCTETS.encode()), "kid": "oct", "alg": "HS256"}
        good = [jwk(name, key) for name, key in KEYS.items()]
        server.publish(secret, *good, jwk("ES256", EC2, kid="encryption", use="enc"))
        with pytest.MonkeyPatch.context() as frozen:  # from the first test to the last
            frozen.setattr(jwks_client, "now", lambda: 1_000_000)
            yield server
            jwks_client.close_all()


@pytest.fixture(autouse=True)
def _keys_are_known(settings, published: KeyServer) -> None:
    settings.SUPABASE_JWKS_URL = published.url
    jwks_client.public_key("ES256")


def show(bad: str, page: str) -> Any:
    return CLIENT.get(page, headers={"authorization": f"Bearer {bad}"})


@pytest.mark.parametrize("make", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_is_401_wherever_it_is_shown_and_costs_nothing(
    published: KeyServer, make: Callable[[], str]
):
    """No `db` here: a query would fail, and be a 500."""
    bad, fetched = make(), published.hits

    for page in PAGES:
        answer = show(bad, page)

        assert answer.status_code == 401
        assert code(answer) == "token_invalid"
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="vivarium", error="invalid_token"'
        assert len(bad) < 8 or bad not in answer.content.decode()
    assert published.hits == fetched


@pytest.mark.parametrize("make", [token, issued], ids=["by the secret", "by a key"])
@pytest.mark.parametrize("moment", [0, -1, 1.5, LATER - 11 * HOUR], ids=["1970", "1969", "half", "past"])
def test_a_token_of_the_past_has_expired(make: Callable[..., str], moment: float):
    for page in PAGES:
        assert code(show(make(exp=moment), page)) == "token_expired"


@pytest.mark.parametrize("secret", ["", "x" * 40, "super-secret-jwt-token-with-at-least-32-characters-long"])
def test_without_a_secret_no_secret_opens(settings, secret: str):
    settings.SUPABASE_JWT_SECRET = ""

    assert code(show(signed(claims(), secret=secret), PAGES[0])) == "token_invalid"


@pytest.mark.parametrize("text", public_texts().values(), ids=public_texts().keys())
def test_without_a_secret_no_public_key_is_one(settings, text: bytes):
    settings.SUPABASE_JWT_SECRET = ""

    for kid in KEYS:
        assert code(show(confused(text, kid=kid), PAGES[0])) == "token_invalid"


@pytest.mark.parametrize("header", ["jku", "x5u", "kid", "iss"])
def test_a_token_cannot_name_the_server_of_its_own_keys(header: str):
    with KeyServer() as evil:
        evil.publish(jwk("ES256", EC2))

        assert code(show(issued("ES256", EC2, header={header: evil.url}), PAGES[0])) == "token_invalid"
        assert evil.hits == 0


@pytest.mark.parametrize("make", [token, issued], ids=["by the secret", "by a key"])
@pytest.mark.parametrize(
    "odd", [None, "staff", ["staff"], {"role": ["staff"]}, {"role": {"staff": 1}}, 7], ids=str
)
def test_an_odd_app_metadata_makes_nobody_staff_and_breaks_nothing(
    settings, make: Callable[..., str], odd: Any
):
    settings.ROOT_URLCONF = "tests.support.whoami"

    answer = ask(f"Bearer {make(app_metadata=odd)}")

    assert answer.status_code == 200
    assert answer.json()["is_staff"] is False


def test_the_same_tokens_without_the_attack_are_good(settings, published: KeyServer):
    """Else the table above would show nothing."""
    settings.ROOT_URLCONF = "tests.support.whoami"

    for good in (token(), *map(issued, KEYS), signed(text_of(sub=f'"{SUB}"')), sealed(claims())):
        for page in ("/whoami", "/public"):
            assert ask(f"Bearer {good}", page).json()["id"] == SUB
    assert jwt.get_unverified_header(named("ES256"))["kid"] == "ES256"
    assert len(ATTACKS) > 60
    assert published.hits == 1
