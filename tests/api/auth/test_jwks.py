"""Public keys come from a real key server: the good ones are used, and no others."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa

from tests.support.access_tokens import (
    EC,
    EC2,
    ED,
    KEYS,
    RSA,
    SUPABASE_START,
    base64,
    claims,
    issued,
    jwk,
    sealed,
    signed,
    token,
)
from tests.support.auth_server import KeyServer
from tests.support.cast import code
from tests.support.whoami import ask

P384 = ec.generate_private_key(ec.SECP384R1())
ED448 = ed448.Ed448PrivateKey.generate()
SHORT = rsa.generate_private_key(public_exponent=65537, key_size=1024)


@pytest.fixture(autouse=True)
def _routes(settings, clock) -> None:
    settings.ROOT_URLCONF = "tests.support.whoami"


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_token_signed_with_a_published_key_is_accepted(key_server: KeyServer, algorithm: str):
    assert ask(f"Bearer {issued(algorithm)}").status_code == 200
    assert code(ask(f"Bearer {issued(algorithm)[:-8]}AAAAAAAA")) == "token_invalid"


def test_staff_is_staff_with_either_family(key_server: KeyServer):
    assert ask(f"Bearer {issued(app_metadata={'role': 'staff'})}").json()["is_staff"] is True


@pytest.mark.parametrize(
    ("expected", "changes"),
    [("anonymous_not_allowed", {"is_anonymous": True}), ("client_not_allowed", {"client_id": "9a1b"})],
)
def test_who_is_not_admitted_by_the_secret_is_not_by_a_key(
    key_server: KeyServer, expected: str, changes: dict[str, Any]
):
    assert code(ask(f"Bearer {issued(**changes)}")) == expected


# --- A project in transition ------------------------------------------------------------------------


def test_both_families_are_accepted_while_a_project_changes_over(key_server: KeyServer):
    assert ask(f"Bearer {issued('ES256')}").status_code == 200
    assert ask(f"Bearer {token()}").status_code == 200


def test_a_project_that_switches_back_to_its_secret_works(key_server: KeyServer, clock):
    assert ask(f"Bearer {issued()}").status_code == 200

    key_server.publish()
    clock.forward(301)

    assert code(ask(f"Bearer {issued()}")) == "token_invalid"
    assert ask(f"Bearer {token()}").status_code == 200


def test_a_project_that_has_no_public_keys_yet_gets_them(key_server: KeyServer, clock):
    key_server.publish()
    assert code(ask(f"Bearer {issued()}")) == "token_invalid"
    assert ask(f"Bearer {token()}").status_code == 200

    key_server.publish(jwk("ES256", EC))
    clock.forward(11)

    assert ask(f"Bearer {issued()}").status_code == 200
    assert ask(f"Bearer {token()}").status_code == 200


def test_without_a_secret_only_the_published_keys_count(key_server: KeyServer, settings):
    settings.SUPABASE_JWT_SECRET = ""

    assert ask(f"Bearer {issued('ES256')}").status_code == 200
    assert code(ask(f"Bearer {token()}")) == "token_invalid"


def test_without_a_key_server_only_the_secret_counts(key_server: KeyServer, settings):
    settings.SUPABASE_JWKS_URL = ""

    assert ask(f"Bearer {token()}").status_code == 200
    assert code(ask(f"Bearer {issued('ES256')}")) == "token_invalid"
    assert key_server.hits == 0


def test_tokens_of_the_secret_do_not_ask_the_key_server(key_server: KeyServer):
    assert ask(f"Bearer {token()}").status_code == 200
    assert ask(f"Bearer {signed(claims(), secret='x' * 40)}").status_code == 401

    assert key_server.hits == 0


def test_the_published_key_of_supabase_start_verifies_nothing_in_production(key_server: KeyServer):
    key_server.publish(jwk("ES256", SUPABASE_START), jwk("RS256", RSA))

    assert code(ask(f"Bearer {issued('ES256', SUPABASE_START)}")) == "token_invalid"
    assert ask(f"Bearer {issued('RS256')}").status_code == 200


def test_the_published_key_of_supabase_start_verifies_in_development(key_server: KeyServer, settings):
    settings.DEBUG = True
    key_server.publish(jwk("ES256", SUPABASE_START))

    assert ask(f"Bearer {issued('ES256', SUPABASE_START)}").status_code == 200


# --- What a set may hold ----------------------------------------------------------------------------


UNUSABLE: dict[str, Any] = {
    "for encryption": jwk("ES256", EC, use="enc"),
    "for signing": jwk("ES256", EC, key_ops=["sign"]),
    "for what is no list": jwk("ES256", EC, key_ops="verify"),
    "for another algorithm": jwk("ES256", EC, alg="RS256"),
    "for a shared secret's algorithm": jwk("ES256", EC, alg="HS256"),
    "for several algorithms": jwk("ES256", EC, alg=["ES256"]),
    "of another curve": jwk("ES256", EC, crv="P-384"),
    "of several curves": jwk("ES256", EC, crv=["P-256"]),
    "of another family": jwk("ES256", EC, kty="RSA"),
    "of no family": jwk("ES256", EC, kty=None),
    "of a family to come": {"kty": "a kind that is not invented yet", "kid": "ES256"},
    "a point too short": jwk("ES256", EC, x="AAAA"),
    "a point off the curve": jwk("ES256", EC, y=base64(b"y" * 32)),
    "a number for a point": jwk("ES256", EC, y=7),
    "several ids": jwk("ES256", EC, kid=["ES256"]),
    "no id": {name: value for name, value in jwk("ES256", EC).items() if name != "kid"},
    "a secret": {"kty": "oct", "k": base64(b"x" * 40), "kid": "ES256", "alg": "ES256"},
    "a private key": jwk("ES256", EC, d=base64(EC.private_numbers().private_value.to_bytes(32, "big"))),
    "a text": "ES256",
    "nothing": None,
    "a list": ["ES256"],
}


@pytest.mark.parametrize("bad", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_what_is_no_usable_key_is_passed_over(key_server: KeyServer, bad: Any):
    key_server.publish(bad, jwk("RS256", RSA))

    assert code(ask(f"Bearer {issued()}")) == "token_invalid"
    assert ask(f"Bearer {issued('RS256')}").status_code == 200


@pytest.mark.parametrize(
    ("algorithm", "key", "published"),
    [
        ("ES384", P384, jwk("ES384", P384)),
        ("ES384", P384, jwk("ES384", P384, alg="ES256")),
        ("EdDSA", ED448, jwk("EdDSA", ED448)),
        ("RS256", SHORT, jwk("RS256", SHORT)),
        ("RS512", RSA, jwk("RS512", RSA)),
        ("PS256", RSA, jwk("RS256", RSA, alg="PS256", kid="PS256")),
    ],
    ids=["P-384", "P-384 said to be ES256", "Ed448", "RSA of 1024 bits", "RS512", "PS256"],
)
def test_a_key_of_another_curve_size_or_algorithm_opens_nothing(
    key_server: KeyServer, algorithm: str, key: Any, published: dict[str, Any]
):
    key_server.publish(published, jwk("ES256", EC))

    for said in {algorithm, "ES256", "RS256", "EdDSA"}:
        header = {"alg": said, "kid": published["kid"]}
        bad = sealed(claims(), key=key, algorithm=algorithm, header=header)
        assert code(ask(f"Bearer {bad}")) == "token_invalid"


def test_a_key_may_say_less_of_itself(key_server: KeyServer):
    bare = [
        {name: value for name, value in jwk(algorithm, key).items() if name not in ("alg", "use", "key_ops")}
        for algorithm, key in KEYS.items()
    ]
    key_server.publish(*bare)

    for algorithm in KEYS:
        assert ask(f"Bearer {issued(algorithm)}").status_code == 200


def test_of_two_keys_with_one_id_the_first_counts(key_server: KeyServer):
    key_server.publish(jwk("ES256", EC), jwk("ES256", EC2), jwk("EdDSA", ED, kid="ES256"))

    assert ask(f"Bearer {issued()}").status_code == 200
    assert code(ask(f"Bearer {issued('ES256', EC2)}")) == "token_invalid"
    assert code(ask(f"Bearer {issued('EdDSA', header={'kid': 'ES256'})}")) == "token_invalid"


def test_a_set_of_nothing_but_secrets_is_an_empty_one(key_server: KeyServer):
    key_server.publish({"kty": "oct", "k": base64(b"x" * 40), "kid": "ES256", "alg": "HS256"})

    assert code(ask(f"Bearer {issued()}")) == "token_invalid"


def test_a_set_with_a_byte_order_mark_and_more_than_keys_is_read(key_server: KeyServer):
    document = {"issuer": "x", "keys": [jwk("ES256", EC)], "more": None}
    key_server.body = b"\xef\xbb\xbf" + json.dumps(document).encode()

    assert ask(f"Bearer {issued()}").status_code == 200
