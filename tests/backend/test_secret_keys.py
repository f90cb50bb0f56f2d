"""Production starts with keys of its own only; no refusal shows a value."""

import secrets
import string

import jwt
import pytest
from django.core.exceptions import ImproperlyConfigured

from backend.secret_keys import check_keys

JWT_SECRET = "f3a9c1d47e5b60829bd1e4f7a2c58360d94be17f"
SECRETS = ("SECRET_KEY", "SUPABASE_JWT_SECRET", "STORAGE_WEBHOOK_SECRET")


def token(role: str) -> str:
    return jwt.encode({"iss": "supabase", "role": role}, JWT_SECRET, algorithm="HS256")


def refusal(**keys: str) -> str:
    with pytest.raises(ImproperlyConfigured) as caught:
        check_keys(keys)
    told = str(caught.value)
    assert not any(value in told for value in keys.values())
    return told


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    "alphabet", [string.digits, string.hexdigits.lower(), string.ascii_letters + string.digits]
)
def test_a_random_secret_is_accepted(name: str, alphabet: str):
    check_keys({name: "".join(dict.fromkeys(alphabet)) + "".join(map(secrets.choice, [alphabet] * 41))})


def test_what_is_not_set_is_not_checked():
    check_keys(dict.fromkeys((*SECRETS, "SUPABASE_SECRET_KEY", "SUPABASE_PUBLISHABLE_KEY"), ""))


def test_the_secret_key_of_django_has_40_characters():
    key = secrets.token_hex(20)

    check_keys({"SECRET_KEY": key})
    assert refusal(SECRET_KEY=key[:39]) == "SECRET_KEY is shorter than 40 characters."


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    "secret",
    ["a" * 60, "k" * 50 + "Zoo$1", "password" * 8, "0123456789" * 6, secrets.token_hex(10) * 3],
    ids=["one character", "few characters", "a word", "digits", "a random text"],
)
def test_a_secret_that_repeats_itself_is_refused(name: str, secret: str):
    assert refusal(**{name: secret}) == f"{name} repeats a few characters: make a random one."


@pytest.mark.parametrize("random_part", ["a" * 31, "k" * 25 + "Zoo_1", "Zu9k3BfPq7" * 3])
def test_a_secret_key_for_the_local_store_must_be_random_too(random_part: str):
    told = refusal(SUPABASE_SECRET_KEY=f"sb_secret_{random_part}")

    assert told == "SUPABASE_SECRET_KEY repeats a few characters: make a random one."


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    "key", ["sb_publishable_Hc3Jd6Fg1Ms5PaEoUiQtZk_Lm2RqWeX", token("anon"), token("service_role")]
)
def test_a_key_that_clients_may_know_is_no_secret(name: str, key: str):
    assert refusal(**{name: key}).startswith(f"{name} is an API key")


@pytest.mark.parametrize(
    "key",
    [
        "sb_secret_Zu9k3BfPq7Xw1Tn5Lm2RqW_eXyVbNmW",
        "sb_secret_Zu9k3BfPq7Xw1Tn5Lm2R",
        token("service_role"),
        token("supabase_admin"),
    ],
)
def test_a_key_of_the_server_has_one_of_two_forms(key: str):
    check_keys({"SUPABASE_SECRET_KEY": key})


@pytest.mark.parametrize(
    "key",
    [
        "nonsense",
        JWT_SECRET,
        "sb_secret_Zu9k",
        "sb_secret_Zu9k3BfPq7Xw1Tn5…",
        "sb_secret_Zu9k3BfPq7Xw1Tn5Lm2RqW_eXyVbNmW ",
        "'sb_secret_Zu9k3BfPq7Xw1Tn5Lm2RqW_eXyVbNmW'",
        "SB_SECRET_Zu9k3BfPq7Xw1Tn5Lm2RqW_eXyVbNmW",
        "sb_publishable_Hc3Jd6Fg1Ms5PaEoUiQtZk_Lm2RqWeX",
        token("anon"),
        token("authenticated"),
        "a.b.c",
    ],
)
def test_what_has_no_form_of_a_secret_key_is_refused_with_the_cure(key: str):
    told = refusal(SUPABASE_SECRET_KEY=key)

    assert told.startswith(
        "SUPABASE_SECRET_KEY is neither a secret key (sb_secret_…) nor a service_role JSON"
    )
    assert "dashboard" in told


def test_all_well_known_keys_are_named_at_once():
    told = refusal(SECRET_KEY="django-insecure-a", SUPABASE_JWT_SECRET=f" {JWT_SECRET[:8]}-change-me ")

    assert told.startswith("SECRET_KEY and SUPABASE_JWT_SECRET holds a key that is printed in documentation")
