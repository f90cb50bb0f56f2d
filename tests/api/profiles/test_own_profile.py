"""`profiles/me/` tells clients who they are, and what they may do."""

import pytest

from api.auth.principal import principal_from_claims
from api.base_models import owned_models
from tests.support.cast import Caller

SUB = "6c1f9a52-6f0a-5d7e-9b7e-2f6a3c0d9b11"


def me(who: Caller):
    return who.get("profiles/me/").json()


def test_a_member_and_staff_read_their_roles(alice: Caller, curator: Caller):
    assert (me(alice)["email"], me(alice)["role"]) == ("alice@example.org", "member")
    assert (me(curator)["email"], me(curator)["role"]) == ("curator@example.org", "staff")


def test_what_the_token_says_is_told_to_its_member_only(alice: Caller, curator: Caller):
    me(alice)

    read = curator.get(f"profiles/{alice.id}/").json()
    listed = curator.get("profiles/").json()["results"][0]

    assert (read["email"], read["role"], read["permissions"]) == (None, None, None)
    assert not {"email", "role", "permissions", "storage"} & set(listed)


@pytest.mark.parametrize(
    "email", [None, 5, "", ["a@b"], "a@b\nBcc: x", "a@b\x00", "a" * 400 + "@b.example", "no address"]
)
def test_an_odd_email_is_none(email):
    claims = {"sub": SUB, "role": "authenticated", "email": email}

    assert principal_from_claims(claims).email == ""


def test_an_email_is_not_in_a_repr():
    assert "alice" not in repr(principal_from_claims({"sub": SUB, "email": "alice@example.org"}))


def allowed(who: Caller, owner: Caller) -> set[str]:
    """What the API lets this caller do, found out by doing it."""
    document = owner.document()
    owner.ticket(document)
    species = {"common_name": who.email, "scientific_name": f"Pan {who.email[:3]}"}
    attempts = {
        "add_document": who.post("documents/", {"title": "Plan"}),
        "change_catalogue": who.post("species/", species),
        "change_all_documents": who.patch(f"documents/{document['id']}/", {"title": "New"}),
        "view_all_profiles": who.get("profiles/"),
    }
    may = {name for name, answer in attempts.items() if answer.status_code in (200, 201)}
    tickets = who.get("uploads/").json()["results"]
    return may | ({"view_all_uploads"} if tickets else set())


def test_the_permissions_are_what_the_api_allows(alice: Caller, bob: Caller, curator: Caller):
    others = {model._meta.model_name for model in owned_models()} - {"document"}
    of_others = {text for name in others for text in (f"add_{name}", f"change_all_{name}s")}
    for who in (alice, curator):
        assert set(me(who)["permissions"]) - of_others == allowed(who, bob)
