"""Sessions that have ended: who has logged out, or was banned, can no longer write as staff, nor erase."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import jwt
import pytest
import yaml
from django.core.cache import cache
from django.utils import timezone

from api.auth import sessions, supabase_auth
from api.models import Profile, Species
from tests.support.auth_server import Loopback
from tests.support.cast import Caller, code
from tests.support.server import ROOT


class AuthServer(Loopback):
    """Supabase Auth's `/user`: says who the token is about, unless told to answer something else."""

    more: dict[str, Any] = {}

    def respond(self, handler: BaseHTTPRequestHandler) -> None:
        told = self.body
        if not told:
            token = handler.headers["Authorization"].removeprefix("Bearer ")
            user = jwt.decode(token, options={"verify_signature": False})["sub"]
            self.body = json.dumps({"id": user, "aud": "authenticated", **self.more}).encode()
        super().respond(handler)
        self.body = told

    def refuse(self, status: int, body: dict[str, Any]) -> None:
        self.status, self.body = status, json.dumps(body).encode()

    def log_out(self) -> None:
        self.refuse(403, {"code": 403, "error_code": "session_not_found", "msg": "Session from session_id…"})


@pytest.fixture(autouse=True)
def auth(settings) -> Iterator[AuthServer]:
    with AuthServer() as server:
        settings.SUPABASE_JWT_ISSUER = f"{server.url}/auth/v1"
        settings.SUPABASE_CHECK_SESSIONS = True
        yield server


def write(staff: Caller) -> Any:
    penguin = {"common_name": "African penguin", "scientific_name": "Spheniscus demersus"}
    return staff.post("species/", penguin)


# --- What is asked, and when ------------------------------------------------------------------------


def test_without_the_setting_nobody_is_asked(auth: AuthServer, settings, curator: Caller):
    settings.SUPABASE_CHECK_SESSIONS = False
    auth.log_out()

    assert write(curator).status_code == 201
    assert curator.delete("profiles/me/").status_code == 200
    assert auth.hits == 0


def test_a_write_by_staff_is_asked_about_with_its_own_token(auth: AuthServer, settings, curator: Caller):
    settings.SUPABASE_PUBLISHABLE_KEY = "sb_publishable_of_this_test"

    assert write(curator).status_code == 201

    [asked] = auth.asked
    assert asked["path"].endswith("/auth/v1/user")
    assert asked["authorization"] == curator.client.defaults["HTTP_AUTHORIZATION"]
    assert asked["apikey"] == "sb_publishable_of_this_test"
    assert asked["user-agent"] == "vivarium"


def test_reads_and_the_writes_of_members_never_pay(auth: AuthServer, alice: Caller, curator: Caller):
    document = alice.document_with_file()
    alice.patch("profiles/me/", {"display_name": "Alice"})

    file = f"documents/{document['id']}/download-url/"
    for path in ("documents/", "species/", "uploads/", "profiles/", file):
        assert curator.get(path).status_code == 200
    assert curator.post("documents/download-urls/", {"ids": [document["id"]]}).status_code == 200
    assert alice.delete(f"documents/{document['id']}/").status_code == 204
    assert auth.hits == 0


def test_who_may_not_write_anyway_is_not_asked_about(auth: AuthServer, alice: Caller, nobody: Caller):
    assert write(alice).status_code == 403
    assert write(nobody).status_code == 401
    assert nobody.delete("profiles/me/").status_code == 401
    assert auth.hits == 0


def test_erasing_is_asked_about_whoever_does_it(auth: AuthServer, alice: Caller):
    assert alice.delete("profiles/me/").status_code == 200

    assert auth.hits == 1


# --- What it says -----------------------------------------------------------------------------------

ENDED: dict[str, Callable[[AuthServer], None]] = {
    "logged out": AuthServer.log_out,
    "banned": lambda auth: auth.refuse(403, {"error_code": "user_banned", "msg": "User is banned"}),
    "deleted": lambda auth: auth.refuse(403, {"error_code": "user_not_found", "msg": "User from…"}),
    "deleted, in old versions": lambda auth: auth.refuse(404, {"code": 404, "msg": "User not found"}),
    "refused, in old versions": lambda auth: auth.refuse(401, {"code": 401, "msg": "invalid JWT"}),
    "banned, in old versions": lambda auth: setattr(
        auth, "more", {"banned_until": (timezone.now() + timedelta(hours=1)).isoformat()}
    ),
    "banned until who knows when": lambda auth: setattr(auth, "more", {"banned_until": "for ever"}),
}  # fmt: skip


@pytest.mark.parametrize("end", ENDED.values(), ids=ENDED.keys())
def test_whose_session_has_ended_gets_401_and_changes_nothing(
    auth: AuthServer, alice: Caller, curator: Caller, end: Callable[[AuthServer], None]
):
    alice.get("profiles/me/")
    end(auth)

    for refused in (write(curator), alice.delete("profiles/me/")):
        assert refused.status_code == 401
        assert code(refused) == "session_revoked"
        assert refused.headers["WWW-Authenticate"] == 'Bearer realm="vivarium", error="invalid_token"'
    assert not Species.objects.exists()
    assert Profile.objects.filter(pk=alice.id).exists()
    assert curator.get("species/").status_code == 200


@pytest.mark.parametrize("until", [None, "", "2001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"])
def test_a_ban_that_is_over_is_none(auth: AuthServer, curator: Caller, until: str | None):
    auth.more = {"banned_until": until}

    assert write(curator).status_code == 201


UNCLEAR: dict[str, Callable[[AuthServer], Any]] = {
    "gone": lambda auth: auth.stop(),
    "500": lambda auth: auth.refuse(500, {"code": 500, "msg": "Database error"}),
    "429": lambda auth: auth.refuse(429, {"code": 429, "msg": "Too many requests"}),
    "a gateway without a key": lambda auth: auth.refuse(401, {"message": "No API key found in request"}),
    "a gateway without a route": lambda auth: auth.refuse(404, {"message": "no Route matched"}),
    "our own server": lambda auth: auth.refuse(404, {"code": "not_found", "detail": "No such path."}),
    "another's user": lambda auth: auth.refuse(200, {"id": "6c1f9a52-6f0a-5d7e-9b7e-2f6a3c0d9b11"}),
    "nobody": lambda auth: auth.refuse(200, {}),
    "a list": lambda auth: setattr(auth, "body", b"[]"),
    "a page": lambda auth: setattr(auth, "body", b"<html>Maintenance</html>"),
    "no UTF-8": lambda auth: setattr(auth, "body", b'{"id": "\xff"}'),
    "nested without end": lambda auth: setattr(auth, "body", b"[" * 100_000),
    "a date that is none": lambda auth: setattr(auth, "more", {"banned_until": "2026-13-45T00:00:00Z"}),
    "a redirect": lambda auth: (auth.headers.update(Location="http://127.0.0.1:9/"), auth.refuse(302, {})),
    "huge": lambda auth: setattr(auth, "body", b"x" * 300_000),
}  # fmt: skip


@pytest.mark.parametrize("spoil", UNCLEAR.values(), ids=UNCLEAR.keys())
def test_an_auth_server_that_does_not_say_is_503_and_is_left_alone_for_a_while(
    auth: AuthServer, alice: Caller, curator: Caller, spoil: Callable[[AuthServer], Any]
):
    alice.get("profiles/me/")
    spoil(auth)

    for refused in (write(curator), write(curator), alice.delete("profiles/me/")):
        assert refused.status_code == 503
        assert code(refused) == "sessions_unavailable"
        assert int(refused.headers["Retry-After"]) > 0
        assert "WWW-Authenticate" not in refused.headers
    assert not Species.objects.exists()
    assert Profile.objects.filter(pk=alice.id).exists()
    assert auth.hits <= 1


def test_an_auth_server_that_drips_is_given_up(auth: AuthServer, curator: Caller, monkeypatch):
    monkeypatch.setattr(supabase_auth, "TIMEOUT", 0.2)
    auth.drips = "body"

    assert code(write(curator)) == "sessions_unavailable"


# --- What is remembered -----------------------------------------------------------------------------


@pytest.mark.parametrize("ended", [False, True])
def test_an_answer_counts_for_seconds(auth: AuthServer, curator: Caller, monkeypatch, ended: bool):
    if ended:
        auth.log_out()

    first = [write(curator).status_code for _ in range(5)]
    assert auth.hits == 1
    assert len(set(first[1:])) == 1
    cache.clear()  # as time does
    write(curator)

    assert auth.hits == 2
    assert sessions.CACHE_SECONDS == 10


def test_an_answer_counts_for_the_token_that_it_was_given_for(auth: AuthServer, alice: Caller, bob: Caller):
    assert alice.delete("profiles/me/").status_code == 200
    auth.log_out()

    assert code(bob.delete("profiles/me/")) == "session_revoked"
    assert auth.hits == 2


def test_no_token_stands_in_the_cache(auth: AuthServer, curator: Caller, monkeypatch):
    written: list[str] = []
    monkeypatch.setattr(cache, "set", lambda *arguments, **options: written.append(str(arguments)))
    write(curator)
    token = curator.client.defaults["HTTP_AUTHORIZATION"].removeprefix("Bearer ")

    held = str(written)

    assert "session:" in held
    assert token not in held
    assert token.rpartition(".")[2] not in held


def test_a_cache_that_is_down_costs_a_question_each_time(auth: AuthServer, curator: Caller, broken_cache):
    assert write(curator).status_code == 201
    auth.log_out()

    assert code(write(curator)) == "session_revoked"
    assert auth.hits == 2


# --- Everywhere -------------------------------------------------------------------------------------

READS = {"/api/v1/documents/download-urls/"}  # a POST that changes nothing
ROUTES = [
    (method, re.sub(r"\{\w+\}", "0b0d7b5e-1f7a-4a39-9a55-6a8a2d6f6a01", path))
    for path, operations in yaml.safe_load((ROOT / "schema.yml").read_text())["paths"].items()
    for method in operations
    if method in ("post", "put", "patch", "delete") and path not in READS
]


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=[" ".join(route) for route in ROUTES])
def test_every_write_of_the_api_is_covered_and_refused_without_a_query(
    auth: AuthServer, curator: Caller, method: str, path: str, django_assert_num_queries
):
    auth.log_out()

    with django_assert_num_queries(0):
        refused = getattr(curator.client, method)(path, {}, content_type="application/json")

    assert code(refused) == "session_revoked"
