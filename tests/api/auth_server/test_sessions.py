"""Sessions: refresh tokens rotate, a stolen one ends the session, and so does a logout."""

from datetime import timedelta
from uuid import uuid4

import pytest

from api.auth.development_tokens import development_token
from api.auth.local import users
from api.auth.local.models import LocalSession, LocalUser
from api.auth.local.signing_key import sign
from tests.api.auth_server.conftest import ANNA
from tests.support.auth_client import PASSWORD, AuthClient
from tests.support.cast import Caller, code


def later(seconds: float) -> None:
    """Let so many seconds pass since the sessions were refreshed."""
    for session in LocalSession.objects.all():
        session.refreshed_at -= timedelta(seconds=seconds)
        session.save()


# --- Refreshing -------------------------------------------------------------------------------------


def test_a_refresh_gives_the_same_session_other_tokens(anna: AuthClient):
    first, claims = anna.session, anna.claims

    answer = anna.refresh()

    assert answer.json.keys() == first.keys()
    assert answer.json["refresh_token"] != first["refresh_token"]
    for name in ("session_id", "sub", "amr"):
        assert anna.claims[name] == claims[name]
    assert anna.user().status == 200


def test_a_refresh_token_is_opaque_and_says_nothing_of_the_next(anna: AuthClient):
    tokens = [anna.refresh_token]
    for _ in range(5):
        anna.refresh()
        tokens.append(anna.refresh_token)

    assert len(set(tokens)) == 6
    assert all(len(token) == 48 for token in tokens)
    assert len({token[27:] for token in tokens}) == 6


def test_changes_reach_the_token_at_the_next_refresh(anna: AuthClient):
    anna.update(data={"name": "Anna"})
    before = anna.claims["user_metadata"]

    anna.refresh()

    assert "name" not in before
    assert anna.claims["user_metadata"]["name"] == "Anna"


def test_a_refresh_whose_response_was_lost_can_be_repeated_at_any_time(anna: AuthClient):
    lost = anna.refresh_token
    current = anna.refresh().json["refresh_token"]
    later(3600)

    again = anna.refresh(lost)

    assert (again.status, again.json["refresh_token"]) == (200, current)
    assert anna.refresh().status == 200


def test_an_older_token_is_accepted_for_ten_seconds(anna: AuthClient):
    old = anna.refresh_token
    anna.refresh()
    current = anna.refresh().json["refresh_token"]
    later(9)

    again = anna.refresh(old)

    assert (again.status, again.json["refresh_token"]) == (200, current)


def test_after_that_it_ends_the_session(anna: AuthClient):
    stolen, other = anna.refresh_token, AuthClient()
    other.sign_in(ANNA)
    anna.refresh()
    current = anna.refresh().json["refresh_token"]
    later(10)

    assert AuthClient().refresh(stolen).error == (400, "refresh_token_already_used")

    assert anna.refresh(current).error == (400, "refresh_token_not_found")
    assert anna.user().error == (403, "session_not_found")
    assert other.user().status == 200


MALFORMED = [
    "x",
    "x" * 11,
    "x" * 47,
    "x" * 49,
    "ñ" * 48,
    "=" * 48,
    "x" * 100_000,
    "ABCDEFGHIJKL",
    "x\ny" * 16,
]


@pytest.mark.parametrize("token", MALFORMED, ids=range(len(MALFORMED)))
def test_what_is_no_refresh_token_is_refused(anna: AuthClient, token: str):
    assert anna.refresh(token).error == (400, "validation_failed")


def test_a_refresh_token_that_was_never_issued_is_not_found(anna: AuthClient):
    session, token = LocalSession.objects.get(), anna.refresh_token
    others = LocalSession(pk=session.pk, user=session.user)

    other_end = token[:-1] + ("_" if token[-1] != "_" else "-")
    for forged in ("abcdefghijk1", "A" * 48, other_end, token[:-4] + "AAAA", others.refresh_token()):
        assert anna.refresh(forged).error == (400, "refresh_token_not_found")
    assert anna.refresh(token).status == 200


def test_a_token_from_before_the_database_was_restored_is_refused(anna: AuthClient):
    session = LocalSession.objects.get()

    assert anna.refresh(session.refresh_token(session.counter + 1)).error == (400, "validation_failed")
    assert LocalSession.objects.exists()


def test_a_missing_refresh_token_is_refused():
    for body in ({}, {"refresh_token": ""}, {"refresh_token": None}):
        answer = AuthClient().send("POST", "token?grant_type=refresh_token", body)
        assert answer.error == (400, "validation_failed")


# --- Logging out ------------------------------------------------------------------------------------


@pytest.fixture
def sessions(anna: AuthClient) -> list[AuthClient]:
    """Three sessions of anna, and one of bert."""
    others = [AuthClient(), AuthClient()]
    for each in others:
        each.sign_in(ANNA)
    bert = AuthClient()
    bert.sign_up("bert@example.org")
    return [anna, *others, bert]


@pytest.mark.parametrize(
    ("scope", "left"),
    [("", "bert"), ("global", "bert"), ("local", "2nd 3rd bert"), ("others", "anna bert")],
)
def test_a_logout_ends_the_sessions_of_its_scope(sessions: list[AuthClient], scope: str, left: str):
    answer = sessions[0].sign_out(scope)

    assert (answer.status, answer.response.content) == (204, b"")
    statuses = dict(zip(["anna", "2nd", "3rd", "bert"], [each.user() for each in sessions], strict=True))
    assert [name for name, answer in statuses.items() if answer.status == 200] == left.split()
    for name, answer in statuses.items():
        assert name in left.split() or answer.error == (403, "session_not_found")
    for each, name in zip(sessions, statuses, strict=True):
        assert each.refresh().status == (200 if name in left.split() else 400)


def test_an_unknown_scope_ends_nothing(sessions: list[AuthClient]):
    assert sessions[0].sign_out("everywhere").error == (400, "validation_failed")
    assert LocalSession.objects.count() == 4


def test_the_api_takes_an_access_token_until_it_expires(anna: AuthClient):
    """As with the real server: a signature says nothing about the session."""
    anna.sign_out()

    assert anna.api().get("/api/v1/documents/").status_code == 200


# --- With SUPABASE_CHECK_SESSIONS -------------------------------------------------------------------


@pytest.fixture
def checking(settings) -> None:
    settings.SUPABASE_CHECK_SESSIONS = True


def test_the_api_refuses_important_actions_after_a_logout(checking, anna: AuthClient):
    """It asks the database: a request to the server itself could wait for ever."""
    other = AuthClient()
    other.sign_in(ANNA)
    assert other.api().get("/api/v1/profiles/me/").status_code == 200

    other.sign_out("others")
    refused = anna.api().delete("/api/v1/profiles/me/")
    allowed = other.api().delete("/api/v1/profiles/me/")

    assert (refused.status_code, code(refused)) == (401, "session_revoked")
    assert allowed.status_code == 200


def test_the_tokens_of_issue_token_have_no_session_that_could_end(checking):
    assert Caller("carol@example.org").delete("profiles/me/").status_code == 200


def test_the_session_of_another_user_is_none(checking, anna: AuthClient):
    bert = AuthClient()
    bert.sign_up("bert@example.org")
    LocalSession.objects.filter(pk=anna.claims["session_id"]).update(user_id=bert.claims["sub"])

    assert code(anna.api().delete("/api/v1/profiles/me/")) == "session_revoked"
    assert anna.user().error == (403, "session_not_found")


# --- The gate ---------------------------------------------------------------------------------------


def test_without_a_token_nobody_is_anybody(anna: AuthClient):
    for header in ("", "Basic YW5uYTp4", "Bearer", "Bearer a b", anna.session["access_token"]):
        for method, path in (("GET", "user"), ("PUT", "user"), ("POST", "logout")):
            answer = anna.send(method, path, Authorization=header)
            assert answer.error == (401, "no_authorization")


def test_a_token_that_is_none_is_refused(anna: AuthClient):
    *parts, signature = anna.session["access_token"].split(".")
    for token in ("x", "a.b.c", ".".join([*parts, signature[::-1]]), "x" * 10_000, ".".join(["e30"] * 3)):
        assert anna.send("GET", "user", Authorization=f"Bearer {token}").error == (403, "bad_jwt")


def claiming(anna: AuthClient, **changes: object) -> AuthClient:
    """Somebody whose token this server has signed, with these claims instead."""
    claims = {name: value for name, value in {**anna.claims, **changes}.items() if value is not None}
    return AuthClient({"access_token": sign(claims)})


def test_the_claims_are_checked_in_the_order_of_the_real_server(anna: AuthClient):
    expired = claiming(anna, exp=1)
    for name, (claims, error) in {
        "no subject": ({"sub": None, "session_id": str(uuid4())}, (403, "bad_jwt")),
        "no UUID": ({"sub": "anna", "session_id": str(uuid4())}, (400, "bad_jwt")),
        "no user": ({"sub": str(uuid4()), "session_id": str(uuid4())}, (403, "user_not_found")),
        "no session": ({"session_id": str(uuid4())}, (403, "session_not_found")),
        "a session that is none": ({"session_id": "x"}, (403, "bad_jwt")),
    }.items():
        assert claiming(anna, **claims).user().error == error, name
    assert expired.user().error == (403, "bad_jwt")
    assert expired.sign_out().error == (403, "bad_jwt")
    assert anna.send("GET", "user", **{"X-JWT-AUD": "others"}).error == (400, "validation_failed")
    assert LocalSession.objects.count() == 1


def test_a_token_without_a_session_passes_and_its_logout_ends_all(anna: AuthClient):
    for nothing in (None, "", "00000000-0000-0000-0000-000000000000"):
        assert claiming(anna, session_id=nothing).user().json["email"] == ANNA

    assert claiming(anna, session_id=None).sign_out("local").status == 204
    assert not LocalSession.objects.exists()


def test_a_token_of_issue_token_is_one(anna: AuthClient):
    there = users.create("dora@example.org", PASSWORD)
    dora = AuthClient({"access_token": development_token("dora@example.org", sub=there.pk)})
    stranger = AuthClient({"access_token": development_token("emil@example.org")})
    service = AuthClient({"access_token": development_token("", service=True)})

    assert dora.user().json["id"] == str(there.pk)
    assert stranger.user().error == (403, "user_not_found")
    assert service.user().error == (403, "bad_jwt")


def test_a_user_who_is_gone_is_told_so(anna: AuthClient):
    LocalUser.objects.all().delete()

    assert anna.user().error == (403, "user_not_found")
    assert anna.update(data={}).error == (403, "user_not_found")
    assert anna.refresh().error == (400, "refresh_token_not_found")
