"""What users see and change of themselves."""

from typing import Any

import pytest

from api.auth.local.models import LocalSession, LocalUser
from tests.api.auth_server.conftest import ANNA
from tests.support.auth_client import PASSWORD, AuthClient


def test_a_user_is_shown_as_in_the_session(anna: AuthClient):
    assert anna.user().json == anna.session["user"]


def test_metadata_are_merged_and_null_deletes(anna: AuthClient):
    anna.update(data={"name": "Anna", "theme": {"dark": True}, "old": 1})

    user = anna.update(data={"theme": {"light": True}, "old": None, "ñ": [1.5, None]}).json

    assert user["user_metadata"] == {
        "email_verified": True, "name": "Anna", "theme": {"light": True}, "ñ": [1.5, None]
    }  # fmt: skip
    assert user == anna.user().json
    assert anna.update(data=None).json["user_metadata"] == user["user_metadata"]
    assert user["updated_at"] > user["created_at"]


def test_another_password_ends_the_other_sessions(anna: AuthClient):
    other = AuthClient()
    other.sign_in(ANNA)

    answer = anna.update(password="battery staple")

    assert answer.json["email"] == ANNA
    assert anna.user().status == 200
    assert other.user().error == (403, "session_not_found")
    assert AuthClient().sign_in(ANNA, PASSWORD).error == (400, "invalid_credentials")
    assert AuthClient().sign_in(ANNA, "battery staple").status == 200


CHANGES: dict[str, tuple[dict[str, Any], tuple[int, str]]] = {
    "the same password": ({"password": PASSWORD}, (422, "same_password")),
    "a short password": ({"password": "12345"}, (422, "weak_password")),
    "an empty password": ({"password": ""}, (422, "weak_password")),
    "a long password": ({"password": "x" * 73}, (400, "validation_failed")),
    "what servers write": ({"app_metadata": {"role": "staff"}}, (403, "not_admin")),
    "no address": ({"email": "anna"}, (400, "validation_failed")),
    "another address": ({"email": "other@example.org"}, (404, "feature_disabled")),
    "another's address": ({"email": "Bert@example.org"}, (422, "email_exists")),
    "a number": ({"phone": "4915112345678"}, (422, "phone_provider_disabled")),
}


@pytest.mark.parametrize(("changes", "error"), CHANGES.values(), ids=CHANGES.keys())
def test_what_users_may_not_change_stays(anna: AuthClient, changes: dict[str, Any], error: tuple[int, str]):
    AuthClient().sign_up("bert@example.org")
    before = list(LocalUser.objects.values())

    assert anna.update(data={"name": "Anna"}, **changes).error == error

    assert list(LocalUser.objects.values()) == before
    assert LocalSession.objects.count() == 2


def test_ones_own_address_is_no_change(anna: AuthClient):
    assert anna.update(email="ANNA@example.org", data={"name": "Anna"}).json["email"] == ANNA


# --- Anonymous users --------------------------------------------------------------------------------


def test_an_anonymous_user_becomes_one_with_an_address():
    somebody = AuthClient()
    id = somebody.sign_up(theme="dark").json["user"]["id"]

    user = somebody.update(email="Anna@example.org", password=PASSWORD).json

    assert (user["id"], user["email"], user["is_anonymous"]) == (id, ANNA, False)
    assert user["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert user["user_metadata"] == {"theme": "dark", "email_verified": True}
    assert len(user["identities"]) == 1
    assert AuthClient().sign_in(ANNA).json["user"]["id"] == id
    somebody.refresh()
    assert somebody.claims["is_anonymous"] is False


def test_an_anonymous_user_has_no_password_without_an_address():
    somebody = AuthClient()
    somebody.sign_up()

    assert somebody.update(password=PASSWORD).error == (422, "validation_failed")


def test_an_anonymous_user_cannot_take_anothers_address(anna: AuthClient):
    somebody = AuthClient()
    somebody.sign_up()

    assert somebody.update(email=ANNA).error == (422, "email_exists")
    assert somebody.user().json["is_anonymous"] is True
