"""Who asks: a genuine token, and nothing else, says who somebody is, and only a server makes them staff."""

import time
from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from api.auth.development_tokens import member_id
from api.auth.principal import principal_from_claims
from api.auth.tokens import MAX_TOKEN_LENGTH
from tests.support.access_tokens import ABSENT, HOUR, SUB, claims, flipped, token
from tests.support.cast import Caller, code
from tests.support.whoami import ask


@pytest.fixture(autouse=True)
def _routes(settings) -> None:
    settings.ROOT_URLCONF = "tests.support.whoami"


def test_a_members_token_is_accepted():
    answer = ask(f"Bearer {token()}")

    assert answer.status_code == 200
    assert answer.json() == {"id": SUB, "is_staff": False}


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["authenticated"]},
        {"aud": ["something-else", "authenticated"]},
        {"sub": SUB.upper()},
        {"email": "", "phone": ""},
        {"email": ABSENT, "phone": ABSENT, "app_metadata": ABSENT, "user_metadata": ABSENT},
        {"app_metadata": None},
        {"is_anonymous": ABSENT},
        {"user_metadata": {"groups": ["a group of the zoo"] * 400}},
    ],
    ids=lambda changes: ",".join(f"{name}={str(value)[:20]}" for name, value in changes.items()),
)
def test_what_a_genuine_token_may_look_like(changes: dict[str, Any]):
    answer = ask(f"Bearer {token(**changes)}")

    assert answer.status_code == 200, answer.content
    assert answer.json()["id"] == SUB


@pytest.mark.parametrize("where", ["/whoami", "/public"])
def test_a_token_is_read_up_to_its_longest_and_beyond_that_the_answer_says_so(where: str):
    for excess, status, expected in [(0, 401, "token_invalid"), (1, 431, "token_too_long")]:
        answer = ask(f"Bearer {'a' * (MAX_TOKEN_LENGTH + excess)}", where)

        assert (answer.status_code, code(answer)) == (status, expected)


@pytest.mark.parametrize(
    ("name", "seconds"), [("nbf", -HOUR), ("iat", 10), ("exp", -5), ("exp", HOUR + 0.5)], ids=str
)
def test_two_clocks_may_differ_by_some_seconds(name: str, seconds: float):
    assert ask(f"Bearer {token(**{name: int(time.time()) + seconds})}").status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   ", "  Bearer "])
def test_the_scheme_is_read_as_http_has_it(scheme: str):
    assert ask(f"{scheme}{token()}").status_code == 200


@pytest.mark.parametrize(
    "header",
    ["", " ", "Bearer", "Bearer ", "Bearer    ", "Basic YWxpY2U6c2VjcmV0", "Token abc", "Digest a=b", "é"],
)
def test_another_scheme_or_none_is_401_too(header: str):
    for where in ("/whoami", "/public"):
        answer = ask(header, where)

        assert answer.status_code == 401
        assert code(answer) == "token_invalid"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


def test_a_good_token_without_its_scheme_is_401():
    assert code(ask(token())) == "token_invalid"
    assert code(ask(f"Bearer\t{token()}")) == "token_invalid"
    assert code(ask(f"Bearer{token()}")) == "token_invalid"


def test_a_token_is_taken_from_the_header_and_from_nowhere_else():
    client = Client()
    client.cookies["access_token"] = client.cookies["sb-access-token"] = token()

    assert code(client.get("/whoami", {"access_token": token(), "token": token()})) == "not_authenticated"
    assert code(client.get("/whoami", headers={"apikey": token()})) == "not_authenticated"


def test_a_visitor_is_asked_to_sign_in_and_may_read_what_is_public():
    refused = ask()

    assert refused.status_code == 401
    assert code(refused) == "not_authenticated"
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="vivarium"'
    assert ask(where="/public").json() == {"id": None}


def test_bad_tokens_are_401_on_the_real_routes(db, settings):
    settings.ROOT_URLCONF = "backend.urls"

    for path_ in ("documents/", "uploads/", f"documents/{SUB}/", "documents/download-urls/"):
        stranger = Client(headers={"authorization": f"Bearer {flipped(token())}"})
        assert code(stranger.get(f"/api/v1/{path_}")) == "token_invalid"
        assert (
            code(stranger.post(f"/api/v1/{path_}", "{", content_type="application/json")) == "token_invalid"
        )


# --- Anonymous sign-ins and OAuth clients -----------------------------------------------------------


def test_an_anonymous_sign_in_is_admitted_only_by_its_setting(settings):
    anonymous = f"Bearer {token(is_anonymous=True)}"
    assert code(ask(anonymous)) == "anonymous_not_allowed"
    assert ask(anonymous).headers["WWW-Authenticate"].startswith("Bearer ")
    assert code(ask(anonymous, "/public")) == "anonymous_not_allowed"

    settings.SUPABASE_ALLOW_OAUTH_CLIENTS = True
    assert code(ask(anonymous)) == "anonymous_not_allowed"

    settings.SUPABASE_ALLOW_ANONYMOUS = True
    assert ask(anonymous).json() == {"id": SUB, "is_staff": False}


def test_a_token_of_an_oauth_client_is_admitted_only_by_its_setting(settings):
    client = f"Bearer {token(client_id='9a1b')}"
    assert code(ask(client)) == "client_not_allowed"
    assert ask(client).headers["WWW-Authenticate"].startswith("Bearer ")
    assert code(ask(client, "/public")) == "client_not_allowed"

    settings.SUPABASE_ALLOW_ANONYMOUS = True
    assert code(ask(client)) == "client_not_allowed"

    settings.SUPABASE_ALLOW_OAUTH_CLIENTS = True
    assert ask(client).json() == {"id": SUB, "is_staff": False}


@pytest.mark.parametrize("odd", ["true", "false", 1, [True]])
def test_what_is_oddly_anonymous_is_taken_for_anonymous(odd: Any):
    assert code(ask(f"Bearer {token(is_anonymous=odd)}")) == "anonymous_not_allowed"


# --- Staff ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["staff", "admin"])
def test_staff_is_who_a_server_says_is_staff(role: str):
    assert ask(f"Bearer {token(app_metadata={'role': role})}").json()["is_staff"] is True


@pytest.mark.parametrize(
    "changes",
    [
        {"app_metadata": {"role": "Staff"}},
        {"app_metadata": {"role": "staf"}},
        {"app_metadata": {"role": "staff,admin"}},
        {"app_metadata": {"role": "staff "}},
        {"app_metadata": {"role": ""}},
        {"app_metadata": {"role": None}},
        {"app_metadata": {"role": True}},
        {"app_metadata": {"role": ["staff"]}},
        {"app_metadata": {"role": {"staff": True}}},
        {"app_metadata": {"roles": ["staff"]}},
        {"app_metadata": ["staff"]},
        {"app_metadata": "staff"},
        {"app_metadata": [["role", "staff"]]},
        {"app_metadata": None},
        {"user_metadata": {"role": "staff", "is_staff": True}},
        {"email": "staff"},
        {"is_staff": True, "is_superuser": True},
        {"user_role": "staff", "groups": ["staff"]},
    ],
    ids=str,
)
def test_nothing_else_makes_staff(changes: dict[str, Any]):
    answer = ask(f"Bearer {token(**changes)}")

    assert answer.status_code == 200
    assert answer.json()["is_staff"] is False


@pytest.mark.parametrize("changes", [{"is_anonymous": True}, {"client_id": "9a1b"}], ids=str)
def test_neither_an_anonymous_sign_in_nor_an_app_is_ever_staff(settings, changes: dict[str, Any]):
    settings.SUPABASE_ALLOW_ANONYMOUS = settings.SUPABASE_ALLOW_OAUTH_CLIENTS = True

    answer = ask(f"Bearer {token(app_metadata={'role': 'admin'}, **changes)}")

    assert answer.json() == {"id": SUB, "is_staff": False}


def test_the_roles_of_staff_are_a_setting(settings):
    settings.SUPABASE_STAFF_ROLES = ["keeper"]

    assert ask(f"Bearer {token(app_metadata={'role': 'keeper'})}").json()["is_staff"] is True
    assert ask(f"Bearer {token(app_metadata={'role': 'staff'})}").json()["is_staff"] is False


def test_the_audience_and_the_issuer_are_settings(settings):
    settings.SUPABASE_JWT_AUDIENCE = "zoo"
    settings.SUPABASE_JWT_ISSUER = "https://auth.example.org"

    assert ask(f"Bearer {token(aud='zoo', iss='https://auth.example.org')}").status_code == 200
    assert code(ask(f"Bearer {token()}")) == "token_invalid"


# --- What it costs, and what it leaves --------------------------------------------------------------


def test_a_token_is_verified_without_the_database_and_the_network(socket_disabled):
    """No `db` here: a query would fail, and so would a connection."""
    assert ask(f"Bearer {token()}").status_code == 200
    assert ask(f"Bearer {flipped(token())}").status_code == 401


def test_a_principal_does_not_show_its_claims():
    shown = repr(principal_from_claims(claims(email="secret@example.org")))

    assert SUB in shown
    assert "secret@example.org" not in shown


def test_the_same_member_is_the_same_owner_however_the_subject_is_written(db, settings):
    settings.ROOT_URLCONF = "backend.urls"
    alice = Caller("alice@example.org")
    alice.document()
    shouting = Client(headers={"authorization": f"Bearer {token(sub=str(member_id(alice.email)).upper())}"})

    answer = shouting.get("/api/v1/documents/", {"owner": "me"})

    assert answer.json()["count"] == 1
    assert UUID(answer.json()["results"][0]["owner"]["id"]) == alice.id
