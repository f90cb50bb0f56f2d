"""Signing up and in: who gets a session, what it is like, and how everybody else is refused."""

from datetime import datetime
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from api.auth.local.models import LocalSession, LocalUser
from tests.api.auth_server.conftest import ANNA
from tests.support.auth_client import PASSWORD, AuthClient
from tests.support.cast import code

TIMES = {"created_at", "updated_at", "email_confirmed_at", "confirmed_at", "last_sign_in_at"}
EMPTY = {"phone": "", "aud": "authenticated", "role": "authenticated"}


# --- Signing up -------------------------------------------------------------------------------------


def test_who_signs_up_gets_a_session():
    anna = AuthClient()

    answer = anna.sign_up("Anna@Example.org", name="Anna")

    session = answer.json
    assert answer.status == 200
    assert session.keys() == {
        "access_token", "token_type", "expires_in", "expires_at", "refresh_token", "user"
    }  # fmt: skip
    assert (session["token_type"], session["expires_in"]) == ("bearer", 3600)
    assert session["expires_at"] == anna.claims["exp"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_user_is_as_on_the_real_server():
    anna = AuthClient()
    user = anna.sign_up("Anna@Example.org", name="Anna").json["user"]

    [identity] = user.pop("identities")
    assert {name: value for name, value in user.items() if name not in TIMES} == {
        **EMPTY,
        "id": str(UUID(user["id"])),
        "email": ANNA,
        "app_metadata": {"provider": "email", "providers": ["email"]},
        "user_metadata": {"name": "Anna", "email_verified": True},
        "is_anonymous": False,
    }
    for name in TIMES:
        assert user[name].endswith("Z")
        datetime.strptime(user[name], "%Y-%m-%dT%H:%M:%S.%fZ")
    assert (identity["id"], identity["user_id"], identity["provider"]) == (user["id"], user["id"], "email")
    assert identity["identity_data"] == {
        "sub": user["id"], "email": ANNA, "email_verified": True, "phone_verified": False, "name": "Anna"
    }  # fmt: skip
    assert UUID(identity["identity_id"])
    assert identity["email"] == ANNA
    assert {"last_sign_in_at", "created_at", "updated_at"} <= identity.keys()


def test_a_password_is_stored_as_a_hash(anna: AuthClient):
    stored = LocalUser.objects.get(email=ANNA).password

    assert PASSWORD not in stored
    assert stored.startswith("md5$")  # the first of PASSWORD_HASHERS, which is another in these tests


def test_an_anonymous_user_has_no_address():
    somebody = AuthClient()

    user = somebody.sign_up(theme="dark").json["user"]

    assert {name: value for name, value in user.items() if name not in TIMES} == {
        **EMPTY,
        "id": str(UUID(user["id"])),
        "email": "",
        "app_metadata": {},
        "user_metadata": {"theme": "dark"},
        "identities": [],
        "is_anonymous": True,
    }
    assert not {"email_confirmed_at", "confirmed_at"} & user.keys()
    assert somebody.claims["is_anonymous"] is True
    assert somebody.claims["role"] == "authenticated"
    assert [each["method"] for each in somebody.claims["amr"]] == ["anonymous"]
    assert AuthClient().sign_up().json["user"]["id"] != user["id"]


def test_an_address_can_be_used_once_in_whatever_case(anna: AuthClient):
    assert AuthClient().sign_up("ANNA@example.org").error == (422, "user_already_exists")
    assert LocalUser.objects.count() == 1


SIGN_UPS = {
    "a short password": ({"email": "x@example.org", "password": "12345"}, (422, "weak_password")),
    "no password": ({"email": "x@example.org"}, (400, "validation_failed")),
    "an empty password": ({"email": "x@example.org", "password": ""}, (400, "validation_failed")),
    "a long password": ({"email": "x@example.org", "password": "ñ" * 37}, (400, "validation_failed")),
    "no address": ({"email": "x", "password": PASSWORD}, (400, "validation_failed")),
    "a long address": ({"email": f"x@{'a.' * 130}org", "password": PASSWORD}, (400, "validation_failed")),
    "an address and a number": (
        {"email": "x@example.org", "phone": "4915112345678", "password": PASSWORD},
        (400, "validation_failed"),
    ),
    "a number": ({"phone": "4915112345678", "password": PASSWORD}, (400, "phone_provider_disabled")),
}


@pytest.mark.parametrize(("body", "error"), SIGN_UPS.values(), ids=SIGN_UPS.keys())
def test_who_signs_up_with_something_wrong_is_told(body: dict[str, str], error: tuple[int, str]):
    assert AuthClient().send("POST", "signup", body).error == error
    assert not LocalUser.objects.exists()


def test_the_longest_password_is_accepted():
    anna = AuthClient()
    assert anna.sign_up(ANNA, "x" * 72).status == 200

    assert anna.sign_in(ANNA, "x" * 71).error == (400, "invalid_credentials")
    assert anna.sign_in(ANNA, "x" * 72).status == 200


def test_a_weak_password_has_its_reasons():
    answer = AuthClient().sign_up(ANNA, "12345")

    assert answer.json["weak_password"] == {"reasons": ["length"]}


# --- Signing in -------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", [ANNA, "ANNA@Example.ORG"])
def test_who_signs_in_gets_a_session_of_their_own(anna: AuthClient, address: str):
    there = AuthClient()

    assert there.sign_in(address).status == 200

    assert there.claims["sub"] == anna.claims["sub"]
    assert there.claims["session_id"] != anna.claims["session_id"]
    assert LocalSession.objects.count() == 2


def test_the_key_of_an_app_is_no_token(anna: AuthClient):
    """supabase-js sends it as bearer until somebody is signed in."""
    for key in ("sb_publishable_of_an_app", "any-key", "eyJhbGciOiJIUzI1NiJ9.e30.wrong"):
        body = {"email": ANNA, "password": PASSWORD}
        answer = AuthClient().send(
            "POST", "token?grant_type=password", body, Authorization=f"Bearer {key}", apikey=key
        )
        assert answer.status == 200


WRONG = {
    "a wrong password": ({"email": ANNA, "password": "wrong"}, (400, "invalid_credentials")),
    "no password": ({"email": ANNA}, (400, "invalid_credentials")),
    "a stranger": ({"email": "bert@example.org", "password": PASSWORD}, (400, "invalid_credentials")),
    "a very long password": ({"email": ANNA, "password": "x" * 500_000}, (400, "invalid_credentials")),
    "a very long address": ({"email": "x" * 500_000, "password": PASSWORD}, (400, "invalid_credentials")),
    "nobody": ({"password": PASSWORD}, (400, "validation_failed")),
    "nothing": ({}, (400, "validation_failed")),
    "two": ({"email": ANNA, "phone": "1", "password": PASSWORD}, (400, "validation_failed")),
    "a number": ({"phone": "4915112345678", "password": PASSWORD}, (422, "phone_provider_disabled")),
}


@pytest.mark.parametrize(("body", "error"), WRONG.values(), ids=WRONG.keys())
def test_who_signs_in_with_something_wrong_is_told(
    anna: AuthClient, body: dict[str, str], error: tuple[int, str]
):
    assert AuthClient().send("POST", "token?grant_type=password", body).error == error


def test_an_anonymous_user_cannot_sign_in_with_an_empty_address():
    AuthClient().sign_up()

    assert AuthClient().sign_in("", "").error == (400, "validation_failed")


GRANTS = {
    "": (400, "invalid_credentials"),
    "?grant_type=": (400, "invalid_credentials"),
    "?grant_type=magic": (400, "invalid_credentials"),
    "?grant_type=%00": (400, "invalid_credentials"),
    "?grant_type=pkce": (404, "flow_state_not_found"),
    "?grant_type=id_token": (400, "provider_disabled"),
    "?grant_type=web3": (422, "web3_provider_disabled"),
}


@pytest.mark.parametrize(("query", "error"), GRANTS.items())
def test_other_grants_are_refused(query: str, error: tuple[int, str]):
    assert AuthClient().send("POST", f"token{query}", {"auth_code": "x"}).error == error


# --- Access tokens ----------------------------------------------------------------------------------


def test_an_access_token_has_the_claims_of_the_real_ones(anna: AuthClient):
    claims = anna.claims

    assert claims == {
        "iss": "http://127.0.0.1:8000/auth/v1",
        "sub": anna.session["user"]["id"],
        "aud": "authenticated",
        "exp": claims["iat"] + 3600,
        "iat": claims["iat"],
        "email": ANNA,
        "phone": "",
        "app_metadata": {"provider": "email", "providers": ["email"]},
        "user_metadata": {"email_verified": True},
        "role": "authenticated",
        "aal": "aal1",
        "amr": [{"method": "password", "timestamp": claims["amr"][0]["timestamp"]}],
        "session_id": str(UUID(claims["session_id"])),
        "is_anonymous": False,
    }
    assert abs(claims["amr"][0]["timestamp"] - claims["iat"]) <= 1


def test_an_access_token_is_signed_with_the_published_key(anna: AuthClient):
    [key] = AuthClient().send("GET", ".well-known/jwks.json").json["keys"]
    token = anna.session["access_token"]

    header = jwt.get_unverified_header(token)

    assert header == {"alg": "ES256", "kid": key["kid"], "typ": "JWT"}
    assert jwt.decode(token, jwt.PyJWK(key), audience="authenticated")["sub"] == anna.claims["sub"]


def test_the_api_takes_the_token_for_who_it_is(anna: AuthClient):
    api = anna.api()
    document = api.post("/api/v1/documents/", {"title": "Plan"}, content_type="application/json")

    assert document.status_code == 201
    assert api.get("/api/v1/profiles/me/").json()["id"] == anna.claims["sub"]
    assert code(api.post("/api/v1/species/", {}, content_type="application/json")) == "permission_denied"


def test_the_api_refuses_anonymous_users_unless_they_are_allowed(settings):
    somebody = AuthClient()
    somebody.sign_up()

    refused = somebody.api().get("/api/v1/documents/")
    settings.SUPABASE_ALLOW_ANONYMOUS = True
    allowed = somebody.api().get("/api/v1/documents/")

    assert (refused.status_code, code(refused)) == (401, "anonymous_not_allowed")
    assert allowed.status_code == 200


def test_the_token_of_another_server_is_refused(anna: AuthClient):
    """Its key is not this server's, whatever the token says about it."""
    key = ec.generate_private_key(ec.SECP256R1())
    kid = jwt.get_unverified_header(anna.session["access_token"])["kid"]
    for name in (kid, "another"):
        anna.session["access_token"] = jwt.encode(anna.claims, key, "ES256", headers={"kid": name})

        assert code(anna.api().get("/api/v1/documents/")) == "token_invalid"
        assert anna.user().error == (403, "bad_jwt")


def test_without_local_auth_its_tokens_are_refused(anna: AuthClient, settings):
    """In production, with a database of development."""
    settings.LOCAL_AUTH = settings.DEBUG = False

    assert code(anna.api().get("/api/v1/documents/")) == "token_invalid"
