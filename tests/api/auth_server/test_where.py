"""Where there is a local Auth server, and what one finds there at first: its key and the accounts."""

import os
import runpy
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.auth.development_tokens import member_id
from api.auth.local import signing_key
from api.auth.local.models import LocalSigningKey, LocalUser
from api.demo.accounts import ACCOUNTS, PASSWORD
from api.demo.loading import load
from tests.backend.test_settings import PRODUCTION, read
from tests.support.auth_client import AuthClient
from tests.support.cast import code
from tests.support.server import ROOT, Server

PROJECT = {"SUPABASE_URL": "https://ref.supabase.co", "SUPABASE_SECRET_KEY": "sb_secret_A8v3Kq0ZtRw5Yx1Bn7Lm"}


# --- Where ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "environment",
    [
        {"DEBUG": "true"},
        {"DEBUG": "true", "STORAGE": "local", "PORT": "8123"},
        {"DEBUG": "true", "SUPABASE_URL": "http://localhost:8000/"},
        {"DEBUG": "true", "PUBLIC_URL": "https://zoo.example.org/vivarium"},
    ],
)
def test_there_is_one_in_development(environment: dict[str, str]):
    assert read("LOCAL_AUTH", **environment) == [True]


@pytest.mark.parametrize(
    "environment",
    [
        PRODUCTION,
        {**PRODUCTION, "DEBUG": "false", "STORAGE": "local"},
        {**PRODUCTION, **PROJECT, "STORAGE": "supabase"},
        {**PROJECT, "STORAGE": "supabase", "DEBUG": "true"},
        {"DEBUG": "true", "SUPABASE_JWT_ISSUER": "https://ref.supabase.co/auth/v1"},
        {"DEBUG": "true", "SUPABASE_JWKS_URL": "https://ref.supabase.co/auth/v1/.well-known/jwks.json"},
    ],
)
def test_there_is_none_in_production_nor_beside_another(environment: dict[str, str]):
    assert read("LOCAL_AUTH", **environment) == [False]


@pytest.mark.parametrize("is_there", [True, False])
def test_the_urls_exist_only_there(settings, is_there: bool):
    settings.LOCAL_AUTH = is_there

    patterns = [str(each.pattern) for each in runpy.run_path(str(ROOT / "backend/urls.py"))["urlpatterns"]]

    assert ("auth/v1/" in patterns) is is_there
    assert "api/v1/" in patterns


def test_without_it_its_paths_are_those_of_no_page(settings, client):
    settings.LOCAL_AUTH, settings.ROOT_URLCONF = False, "backend.urls"

    for path in ("health", "token?grant_type=password", "signup", ".well-known/jwks.json"):
        answer = client.post(f"/auth/v1/{path}", {}, content_type="application/json")
        assert (answer.status_code, code(answer)) == (404, "not_found")


@pytest.mark.slow
def test_a_server_in_production_has_none(tmp_path: Path):
    with Server(tmp_path, **{**PRODUCTION, "ALLOWED_HOSTS": "127.0.0.1", "DEBUG": "false"}) as production:
        answers = [
            production.client().request(method, f"/auth/v1/{path}", json={})
            for method, path in (("GET", "health"), ("POST", "signup"), ("GET", ".well-known/jwks.json"))
        ]

    assert [answer.status_code for answer in answers] == [404] * 3
    assert {answer.json()["code"] for answer in answers} == {"not_found"}


# --- The key ----------------------------------------------------------------------------------------


def test_the_key_is_made_once_and_not_by_a_token_that_is_refused():
    unknown = "eyJhbGciOiJFUzI1NiIsImtpZCI6IngifQ.e30.AAAA"

    assert AuthClient({"access_token": unknown}).user().error == (403, "bad_jwt")
    assert not LocalSigningKey.objects.exists()
    assert signing_key.signing_key().id == signing_key.signing_key().id
    assert LocalSigningKey.objects.count() == 1


def test_another_key_has_another_id():
    """Clients keep a key by its id for ten minutes."""
    first = signing_key.signing_key().id
    LocalSigningKey.objects.all().delete()

    assert signing_key.signing_key().id != first


@pytest.mark.slow
def test_processes_agree_on_one_key_and_on_one_refresh(tmp_path: Path):
    with Server(tmp_path, workers=3) as server, ThreadPoolExecutor(12) as pool:

        def key_id(_: int) -> str:
            answer = httpx.get(f"{server.url}/auth/v1/.well-known/jwks.json", verify=False)
            return str(answer.json()["keys"][0]["kid"])

        def refresh(token: str) -> Any:
            query, body = {"grant_type": "refresh_token"}, {"refresh_token": token}
            answer = httpx.post(f"{server.url}/auth/v1/token", params=query, json=body, verify=False)
            return answer.status_code, answer.json().get("refresh_token")

        ids = set(pool.map(key_id, range(36)))
        session = httpx.post(f"{server.url}/auth/v1/signup", json={}, verify=False).json()
        refreshed = list(pool.map(refresh, [session["refresh_token"]] * 12))

    assert len(ids) == 1
    assert {status for status, _ in refreshed} == {200}
    assert len({token for _, token in refreshed}) == 1


# --- The accounts -----------------------------------------------------------------------------------


def accounts() -> list[str]:
    """Load the demo as far as its accounts."""
    return [made for made in islice(load(), len(ACCOUNTS)) if made.startswith("account ")]


def test_the_demo_has_three_accounts_with_the_ids_of_issue_token():
    made = accounts()

    emails = ["alice@example.org", "bob@example.org", "curator@example.org"]
    assert made == [f"account {email}" for email in emails]
    for email in emails:
        somebody = AuthClient()
        user = somebody.sign_in(email, PASSWORD).json["user"]
        assert user["id"] == str(member_id(email))
        role = {"role": "staff"} if email == "curator@example.org" else {}
        assert user["app_metadata"] == {"provider": "email", "providers": ["email"], **role}


def test_the_curator_is_staff():
    accounts()
    curator, alice = AuthClient(), AuthClient()
    curator.sign_in("curator@example.org", PASSWORD)
    alice.sign_in("alice@example.org", PASSWORD)

    answers = [each.api().post("/api/v1/species/", {}, "application/json") for each in (curator, alice)]

    assert [code(answer) for answer in answers] == ["invalid", "permission_denied"]


def test_accounts_that_people_have_changed_stay():
    accounts()
    alice = AuthClient()
    alice.sign_in("alice@example.org", PASSWORD)
    alice.update(password="another one", data={"name": "Alice"})
    before = list(LocalUser.objects.order_by("pk").values())

    next(load())

    assert list(LocalUser.objects.order_by("pk").values()) == before
    assert AuthClient().sign_in("alice@example.org", "another one").status == 200


def test_an_address_that_somebody_has_taken_stays_theirs():
    AuthClient().sign_up("alice@example.org")
    theirs = LocalUser.objects.get()

    next(load())

    assert LocalUser.objects.get(email="alice@example.org") == theirs


def test_without_a_local_auth_server_the_demo_has_no_accounts(settings):
    settings.LOCAL_AUTH = False

    assert not next(load()).startswith("account")
    assert not LocalUser.objects.exists()


# --- The banner -------------------------------------------------------------------------------------


def banner(**environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "import runpy; print(runpy.run_path('gunicorn.conf.py')['banner']())"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, "DEBUG": "true", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_banner_has_the_accounts_and_how_to_sign_in():
    said = banner()

    assert "alice@example.org, bob@example.org, curator@example.org (staff); the password is vivarium" in said
    assert "createClient('http://127.0.0.1:8000', 'any-key')" in said
    assert "PORT" not in said


def test_the_banner_names_the_port_if_the_issuer_would_be_another():
    said = banner(PORT="8123")

    assert "createClient('http://127.0.0.1:8123', 'any-key')" in said
    assert said.count("PORT=8123 ") == 2


def test_without_accounts_the_banner_has_none():
    said = banner(STORAGE="supabase", **PROJECT)

    assert "Sign in" not in said
    assert "issue_token alice@example.org" in said
