"""Who may read a document is told whose it is."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from storage.local import LocalStorage
from tests.api.catalog.test_catalog import picture
from tests.support.cast import Caller, announcement, down, fetch, send


def give_avatar(who: Caller, name: str) -> None:
    content = picture()
    declared = announcement(content, filename="me.jpg", content_type="image/jpeg")
    ticket = who.post("profiles/me/upload-url/", declared).json()
    send(ticket, content)
    assert who.complete(ticket).status_code == 200
    assert who.patch("profiles/me/", {"display_name": name}).status_code == 200


def owner_of(who: Caller, document: dict[str, Any]) -> Any:
    return who.get(f"documents/{document['id']}/").json()["owner"]


def test_members_see_name_and_avatar_of_who_shares_a_document(alice: Caller, bob: Caller):
    give_avatar(alice, "Alice")
    document = alice.document(visibility="authenticated")

    owner = owner_of(bob, document)

    assert set(owner) == {"id", "display_name", "avatar"}
    assert (owner["id"], owner["display_name"]) == (str(alice.id), "Alice")
    avatar = owner["avatar"]
    assert set(avatar) == {
        *("url", "width", "height", "alt", "credit", "renditions", "placeholder", "expires_at")
    }
    assert avatar["alt"] == {"en": "Alice", "es": "Alice"}
    assert fetch(avatar["url"]).status_code == 200
    for path in ("documents/", f"documents/{document['id']}/"):
        assert bob.get(path).headers["Cache-Control"] == "no-store"


def test_nothing_is_told_of_a_private_document(alice: Caller, bob: Caller):
    give_avatar(alice, "Alice")
    document = alice.document()

    assert bob.get(f"documents/{document['id']}/").status_code == 404
    assert "Alice" not in bob.get("documents/").content.decode()


@pytest.mark.parametrize("act", ["create", "read", "change", "replace", "list"])
def test_each_response_has_the_owner(act: str, alice: Caller):
    alice.patch("profiles/me/", {"display_name": "Alice"})
    made = alice.document()
    path = f"documents/{made['id']}/"
    shown = {
        "create": lambda: made,
        "read": lambda: alice.get(path).json(),
        "change": lambda: alice.patch(path, {"title": "New"}).json(),
        "replace": lambda: alice.put(path, {"title": "New"}).json(),
        "list": lambda: alice.get("documents/").json()["results"][0],
    }[act]()

    assert shown["owner"] == {"id": str(alice.id), "display_name": "Alice", "avatar": None}


def test_a_page_costs_the_same_with_one_owner_and_with_many(alice: Caller, bob: Caller, curator: Caller):
    give_avatar(alice, "Alice")
    alice.document(visibility="authenticated")

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert bob.get("documents/").status_code == 200
        assert not any('profile"."search_text' in query["sql"] for query in queries)
        return len(queries)

    few = cost()
    for who in (bob, curator, alice):
        give_avatar(who, who.email)
        for _ in range(3):
            who.document(visibility="authenticated")

    assert cost() == few


def test_the_avatars_of_a_page_are_signed_with_one_call(alice: Caller, bob: Caller, monkeypatch):
    for who in (alice, bob):
        give_avatar(who, who.email)
        for _ in range(2):
            who.document(visibility="authenticated")
    calls: list[list[str]] = []
    sign = LocalStorage.sign_downloads

    def counted(self: Any, keys: list[str], **options: Any) -> Any:
        calls.append(keys)
        return sign(self, keys, **options)

    monkeypatch.setattr(LocalStorage, "sign_downloads", counted)
    listed = alice.get("documents/").json()["results"]

    assert len(calls) == 1
    assert {each["owner"]["avatar"]["url"] is not None for each in listed} == {True}
    assert len({each["owner"]["avatar"]["url"] for each in listed}) == 2


def test_without_the_store_the_documents_are_read_without_avatars(alice: Caller, monkeypatch):
    give_avatar(alice, "Alice")
    document = alice.document()
    monkeypatch.setattr(LocalStorage, "sign_downloads", down)

    owner = owner_of(alice, document)

    assert owner["display_name"] == "Alice"
    assert (owner["avatar"]["url"], owner["avatar"]["renditions"]) == (None, [])
    assert owner["avatar"]["placeholder"]
