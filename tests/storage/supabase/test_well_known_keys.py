"""A key that is published is recognized however it is written, and no random one is."""

import base64
import json
import secrets
import time
from collections.abc import Callable

import jwt
import pytest

from storage.supabase.well_known_keys import JWT_SECRETS, KEYS, is_well_known
from tests.support.access_tokens import SUPABASE_START

START, COMPOSE = JWT_SECRETS
HEADER = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
PUBLISHED_TOKENS = {
    "anon of supabase start": (
        f"{HEADER}.eyJpc3MiOiJzdXBhYmFzZS1kZW1vIiwicm9sZSI6ImFub24iLCJleHAiOjE5ODM4MTI5OTZ9"
        ".CRXP1A7WOeoJeXxjNni43kdQwgnWNReilDMblYTn_I0"
    ),
    "service_role of supabase start": (
        f"{HEADER}.eyJpc3MiOiJzdXBhYmFzZS1kZW1vIiwicm9sZSI6InNlcnZpY2Vfcm9sZSIsImV4cCI6MTk4MzgxMjk5Nn0"
        ".EGIM96RAZx35lJzdJsyH-qQwv8Hdp7fsn3W0YpN81IU"
    ),
    "anon of Docker Compose": (
        f"{HEADER}.eyAgCiAgICAicm9sZSI6ICJhbm9uIiwKICAgICJpc3MiOiAic3VwYWJhc2UtZGVtbyIsCiAgICAiaWF0IjogMTY0"
        "MTc2OTIwMCwKICAgICJleHAiOiAxNzk5NTM1NjAwCn0.dc_X5iR_VP_qT0zsiyj_I_OZ2T9FtRU2BBNWN8Bu4GE"
    ),
    "service_role of Docker Compose": (
        f"{HEADER}.eyAgCiAgICAicm9sZSI6ICJzZXJ2aWNlX3JvbGUiLAogICAgImlzcyI6ICJzdXBhYmFzZS1kZW1vIiwKICAgICJp"
        "YXQiOiAxNjQxNzY5MjAwLAogICAgImV4cCI6IDE3OTk1MzU2MDAKfQ.DaYlNEoUrrEn2Ig7tqibS-PHK5vgusbcbo7X36XVt4Q"
    ),
}
CLAIMS = {"role": "service_role", "iss": "supabase", "ref": "abcdefghijklmnopqrst", "exp": 2015000000}
WRITTEN = {
    "plain": str,
    "upper case": str.upper,
    "with a line end": lambda key: f"{key}\n",
    "in quotes": lambda key: f' "{key}" ',
    "as a header": lambda key: f"Bearer {key}",
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64 for URLs": lambda key: base64.urlsafe_b64encode(key.encode()).decode().rstrip("="),
    "base64 of a line": lambda key: base64.b64encode(f"{key}\n".encode()).decode(),
}


def signed(secret: str = "f3a9c1d47e5b60829bd1e4f7a2c58360d94be17f", **claims: object) -> str:
    return jwt.encode({**CLAIMS, **claims}, secret, algorithm="HS256")


@pytest.mark.parametrize("written", WRITTEN)
def test_a_published_secret_is_recognized_however_it_is_written(written: str):
    assert [key for key in KEYS if not is_well_known(WRITTEN[written](key))] == []


@pytest.mark.parametrize("token", PUBLISHED_TOKENS)
def test_the_published_tokens_are_recognized(token: str):
    written = [WRITTEN[name] for name in WRITTEN if name != "upper case"]

    assert all(is_well_known(write(PUBLISHED_TOKENS[token])) for write in written)


@pytest.mark.parametrize("secret", JWT_SECRETS)
def test_whoever_signs_with_a_published_secret_has_a_published_key(secret: str):
    assert is_well_known(signed(secret))
    assert is_well_known(signed(secret, exp=int(time.time()) - 60, nbf=2015000000, aud="other", sub=5))


def test_whoever_signs_with_the_published_private_key_has_a_published_key():
    assert is_well_known(jwt.encode(CLAIMS, SUPABASE_START, algorithm="ES256", headers={"kid": "any"}))


@pytest.mark.parametrize("issuer", ["supabase-demo", "Supabase-Demo", " supabase_demo ", "supabase demo"])
def test_the_issuer_of_demo_keys_is_recognized_whatever_its_spelling(issuer: str):
    assert is_well_known(signed(iss=issuer))


@pytest.mark.parametrize(
    "placeholder",
    [
        "django-insecure-zK8v!q2Lx$Rw7Tn4Yb9Hc3Jd6Fg1Ms5PaEoUiQt",
        "your-super-secret-jwt-token-with-at-least-32-characters",
        "sb_secret_your_service_key_here",
        "sb_publishable_REPLACE_ME",
        "change-this-to-a-long-random-string-of-letters",
        "my-very-long-and-very-private-secret-key-for-django",
        "<your-project-jwt-secret-from-the-dashboard>",
    ],
)
def test_a_placeholder_is_recognized(placeholder: str):
    assert is_well_known(placeholder)


@pytest.mark.parametrize(
    "own",
    [
        signed(),
        signed(iss="https://demo.supabase.co"),
        f"{HEADER}.{base64.urlsafe_b64encode(json.dumps([1]).encode()).decode()}.c2ln",
        "a.b.c",
        "sb_secret_keyU0UgjKTVK-Uodkm0Hg_xSvEMPvz",
        "zK8v!q2Lx$Rw7Tn4Yb9Hc3Jd6Fg1Ms5PaEoUiQtZkXyVbNmWe%Ap0^Sl2",
        "ключ-ключ-ключ",
        "",
    ],
)
def test_a_key_of_ones_own_is_not_well_known(own: str):
    assert not is_well_known(own)


@pytest.mark.parametrize("make", [secrets.token_urlsafe, secrets.token_hex])
def test_a_random_key_is_not_well_known(make: Callable[[int], str]):
    assert [key for key in (make(48) for _ in range(100)) if is_well_known(key)] == []
