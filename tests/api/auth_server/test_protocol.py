"""The protocol around it all: paths, methods, bodies, errors in both forms, CORS, and what is left out."""

import json
import re
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from api.auth_server import rates
from tests.api.auth_server.conftest import ANNA
from tests.support.auth_client import PASSWORD, AuthClient

# --- What the server says of itself -----------------------------------------------------------------


def test_health_names_the_server_honestly():
    assert AuthClient().send("GET", "health").json.keys() == {"version", "name", "description"}
    assert AuthClient().send("GET", "health").json["name"] == "Vivarium"


def test_settings_say_how_one_can_sign_in():
    settings = AuthClient().send("GET", "settings").json

    assert len(settings["external"]) == 26
    assert {name for name, is_on in settings["external"].items() if is_on} == {"email", "anonymous_users"}
    assert settings["mailer_autoconfirm"] is True
    assert settings["disable_signup"] is False


def test_the_key_set_has_one_public_key_that_never_changes():
    answer = AuthClient().send("GET", ".well-known/jwks.json")

    [key] = answer.json["keys"]
    facts = {name: value for name, value in key.items() if name not in ("x", "y", "kid")}
    assert facts == {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "key_ops": ["verify"]}
    assert answer.headers["Cache-Control"] == "public, max-age=600"
    assert AuthClient().send("GET", ".well-known/jwks.json").json == answer.json


# --- Errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["2024-01-01", "2024-06-30", "2031-01-01"])
def test_a_client_that_knows_the_version_gets_the_new_form(version: str):
    answer = AuthClient(**{"X-Supabase-Api-Version": version}).send("GET", "user", Authorization="")

    assert answer.json == {"code": "no_authorization", "message": "This endpoint requires a Bearer token"}
    assert answer.headers["X-Supabase-Api-Version"] == "2024-01-01"


@pytest.mark.parametrize("version", ["", "2023-12-31", "latest", "2024", "9999", "2024-01-01\xb9"])
def test_any_other_client_gets_the_old_form(version: str):
    answer = AuthClient(**{"X-Supabase-Api-Version": version}).send("GET", "user", Authorization="")

    assert answer.json == {
        "code": 401,
        "error_code": "no_authorization",
        "msg": "This endpoint requires a Bearer token",
    }
    assert answer.headers["x-sb-error-code"] == "no_authorization"
    assert "X-Supabase-Api-Version" not in answer.headers


def test_a_success_has_no_version(anna: AuthClient):
    assert "X-Supabase-Api-Version" not in anna.user().headers


# --- Paths and methods ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "users", "token/", "user/x", "health/x", "signup%00", "%0a"])
def test_an_unknown_path_is_answered_as_json(path: str):
    assert AuthClient().send("GET", path).error == (404, "not_found")


METHODS = [
    ("health", "POST", "GET"),
    ("settings", "DELETE", "GET"),
    (".well-known/jwks.json", "POST", "GET"),
    ("signup", "GET", "POST"),
    ("token", "GET", "POST"),
    ("token", "PUT", "POST"),
    ("user", "POST", "GET, PUT"),
    ("user", "DELETE", "GET, PUT"),
    ("user", "PATCH", "GET, PUT"),
    ("logout", "GET", "POST"),
]


@pytest.mark.parametrize(("path", "method", "allowed"), METHODS)
def test_a_wrong_method_is_answered_as_json(anna: AuthClient, path: str, method: str, allowed: str):
    answer = anna.send(method, path)

    assert answer.error == (405, "method_not_allowed")
    assert answer.headers["Allow"] == f"{allowed}, OPTIONS"


LEFT_OUT = {
    "recover": (404, "feature_disabled"),
    "magiclink": (404, "feature_disabled"),
    "otp": (404, "feature_disabled"),
    "verify?token=x&type=signup": (404, "feature_disabled"),
    "resend": (404, "feature_disabled"),
    "reauthenticate": (404, "feature_disabled"),
    "invite": (404, "feature_disabled"),
    "authorize?provider=github": (400, "validation_failed"),
    "callback": (400, "validation_failed"),
    "factors": (422, "mfa_totp_enroll_not_enabled"),
    "factors/x/verify": (422, "mfa_totp_enroll_not_enabled"),
    "user/identities/x": (404, "manual_linking_disabled"),
    "user/identities/authorize": (404, "manual_linking_disabled"),
    "sso": (404, "saml_provider_disabled"),
    "sso/saml/metadata": (404, "saml_provider_disabled"),
    "passkeys": (404, "passkey_disabled"),
    "admin/users": (404, "feature_disabled"),
    "admin/generate_link": (404, "feature_disabled"),
    "oauth/token": (404, "feature_disabled"),
}


@pytest.mark.parametrize(("path", "error"), LEFT_OUT.items())
def test_what_is_left_out_is_refused_with_the_codes_of_the_real_server(
    anna: AuthClient, path: str, error: tuple[int, str]
):
    for method in ("GET", "POST", "DELETE"):
        assert anna.send(method, path).error == error


# --- Bodies -----------------------------------------------------------------------------------------

ROUTES = [
    ("POST", "signup"),
    ("POST", "token?grant_type=password"),
    ("POST", "token?grant_type=refresh_token"),
    ("PUT", "user"),
]
NOT_JSON: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"email=anna",
    "no UTF-8": b'{"email": "\xff"}',
    "a list": b"[]",
    "null": b"null",
    "a text": b'"x"',
    "a number": b"1",
    "NaN": b'{"data": {"x": NaN}}',
    "infinity": b'{"data": {"x": [1e999]}}',
    "a huge number": b'{"data": {"x": %s}}' % (b"9" * 5000),
    "deep nesting": b'{"data": ' + b"[" * 100_000,
    "NUL in an address": b'{"email": "a\\u0000@example.org", "password": "correct horse"}',
    "NUL in a token": b'{"refresh_token": "\\u0000"}',
    "NUL in a name": b'{"data": {"a\\u0000": 1}}',
    "half a character": b'{"data": {"x": [{"y": "\\ud800"}]}}',
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON.keys())
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_what_is_no_json_object_is_refused(anna: AuthClient, method: str, path: str, body: bytes):
    assert anna.send(method, path, body).error == (400, "bad_json")


@pytest.mark.parametrize("value", [1, 1.5, True, ["x"], {"x": "y"}, "x"])
@pytest.mark.parametrize("name", ["email", "password", "phone", "refresh_token", "data", "app_metadata"])
def test_members_of_a_wrong_type_are_refused_and_change_nothing(anna: AuthClient, name: str, value: Any):
    if isinstance(value, dict if name in ("data", "app_metadata") else str):
        return
    body = {"email": "x@example.org", "password": PASSWORD, "refresh_token": anna.refresh_token, name: value}

    for method, path in ROUTES:
        assert anna.send(method, path, body).error == (400, "bad_json")
    assert anna.refresh().status == 200


def test_null_is_as_good_as_nothing_and_unknown_members_are_ignored(anna: AuthClient):
    more = {"phone": None, "data": None, "code_challenge": None, "gotrue_meta_security": {"captcha": 1}}

    body = {"email": ANNA, "password": PASSWORD, **more}
    assert anna.send("POST", "token?grant_type=password", body).status == 200
    assert anna.send("PUT", "user", more).status == 200
    assert anna.send("POST", "signup", {"email": None, **more}).json["user"]["is_anonymous"] is True


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_huge_body_is_refused(anna: AuthClient, method: str, path: str):
    body = json.dumps({"email": ANNA, "password": "x" * 2**20})

    assert anna.send(method, path, body).error == (413, "request_entity_too_large")


def test_no_body_is_needed_to_log_out(anna: AuthClient):
    assert anna.send("POST", "logout", {}).status == 204


def test_the_content_type_is_not_looked_at(anna: AuthClient):
    body = json.dumps({"email": ANNA, "password": PASSWORD})

    answer = Client().post("/auth/v1/token?grant_type=password", body, content_type="text/plain")

    assert answer.status_code == 200


def test_a_thousand_parameters_are_too_many(anna: AuthClient):
    query = "&".join(f"x{number}=1" for number in range(2000))

    assert anna.send("POST", f"logout?{query}").error == (400, "validation_failed")


# --- CORS -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["token?grant_type=password", "user", "logout", "nowhere", "recover"])
def test_every_origin_may_send_what_supabase_js_sends(path: str):
    headers = "apikey,authorization,content-type,x-client-info,x-supabase-api-version"

    answer = AuthClient().send(
        "OPTIONS",
        path,
        Origin="https://app.example.org",
        **{"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": headers},
    )

    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Headers"] == headers
    assert {"GET", "POST", "PUT"} <= set(re.findall(r"\w+", answer.headers["Access-Control-Allow-Methods"]))
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_a_logout_and_its_refusal_can_be_read_from_every_origin(anna: AuthClient):
    """`Answer` looks at the header."""
    assert anna.sign_out().status == 204
    assert anna.sign_out().status == 403


# --- Rates ------------------------------------------------------------------------------------------


@pytest.fixture
def few(monkeypatch) -> None:
    monkeypatch.setattr(rates.AddressRateThrottle, "rate", "3/day")


def test_a_loop_of_requests_is_refused(few):
    answers = [AuthClient().refresh("abcdefghijk1") for _ in range(5)]

    assert [answer.error for answer in answers[3:]] == [(429, "over_request_rate_limit")] * 2
    assert AuthClient().sign_up(ANNA).error == (429, "over_request_rate_limit")
    assert AuthClient().sign_in(ANNA).error == (429, "over_request_rate_limit")
    cache.clear()  # as time does
    assert AuthClient().sign_up(ANNA).status == 200


def test_what_needs_a_session_has_no_limit(few, anna: AuthClient):
    assert [anna.user().status for _ in range(5)] == [200] * 5


def test_a_cache_that_fails_locks_nobody_out(few, broken_cache):
    assert [AuthClient().sign_up().status for _ in range(5)] == [200] * 5


# --- The unexpected ---------------------------------------------------------------------------------


def test_a_mistake_in_the_program_is_told_in_the_form_of_the_protocol(settings):
    settings.PASSWORD_HASHERS = ["no.such.Hasher"]

    answer = AuthClient().sign_up(ANNA)

    assert answer.error == (500, "unexpected_failure")
    assert "Hasher" not in json.dumps(answer.json)
