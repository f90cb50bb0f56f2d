"""A client sees whether something has changed, and does not overwrite what others have changed."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from api.models import Document, Upload
from api.uploads import attachments
from storage.local import LocalStorage
from tests.api.catalog.test_catalog import picture
from tests.support.cast import Caller, announcement, code, send
from tests.support.server import Server

SPECIES = {"common_name": "African penguin", "scientific_name": "Spheniscus demersus", "published": True}
CHANGES = {
    "species": ("curator", {"habitat": "Coast"}),
    "exhibition": ("curator", {"location": "House 3"}),
    "service": ("curator", {"audience": "families"}),
    "picture": ("curator", {"credit": "Ana"}),
    "document": ("alice", {"title": "Another"}),
    "profile": ("alice", {"bio": "Keeper"}),
}


@pytest.fixture
def callers(alice: Caller, curator: Caller) -> dict[str, Caller]:
    return {"alice": alice, "curator": curator}


def add_picture(curator: Caller) -> None:
    content = picture()
    declared = announcement(content, filename="a.jpg", content_type="image/jpeg")
    ticket = curator.post("species/african-penguin/pictures/upload-url/", declared).json()
    send(ticket, content)
    assert curator.complete(ticket).status_code == 200


@pytest.fixture
def paths(alice: Caller, curator: Caller) -> dict[str, str]:
    """The path of one row of each kind."""
    curator.post("species/", SPECIES)
    curator.post("exhibitions/", {"title": "Penguins", "species": ["african-penguin"], "published": True})
    curator.post("educational-services/", {"title": "Feeding", "published": True})
    add_picture(curator)
    pictures = curator.get("species/african-penguin/pictures/").json()
    return {
        "species": "species/african-penguin/",
        "exhibition": "exhibitions/penguins/",
        "service": "educational-services/feeding/",
        "picture": f"species/african-penguin/pictures/{pictures['results'][0]['id']}/",
        "document": f"documents/{alice.document()['id']}/",
        "profile": "profiles/me/",
    }


def etag(who: Caller, path: str) -> str:
    answer = who.get(path)
    assert answer.status_code == 200, answer.content
    header: str = answer.headers["ETag"]
    return header


def unsafe(who: Caller, method: str, path: str, if_match: str, body: Any = None) -> Any:
    return who.client.generic(
        method.upper(),
        f"/api/v1/{path}",
        "" if body is None else json.dumps(body),
        content_type="application/json",
        headers={"if-match": if_match},
    )


# --- ETags --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CHANGES)
def test_what_has_not_changed_is_not_sent_again(kind, paths, callers):
    who = callers[CHANGES[kind][0]]
    first = who.get(paths[kind])

    again = who.client.get(f"/api/v1/{paths[kind]}", headers={"if-none-match": first.headers["ETag"]})

    assert first.headers["ETag"].startswith('"')
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]


@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_changes_the_etag_and_answers_with_the_new_one(kind, paths, callers):
    name, change = CHANGES[kind]
    who, before = callers[name], etag(callers[name], paths[kind])

    answer = who.patch(paths[kind], change)

    assert answer.headers["ETag"] == etag(who, paths[kind]) != before
    again = who.client.get(f"/api/v1/{paths[kind]}", headers={"if-none-match": before})
    assert again.status_code == 200


def test_what_is_created_has_the_etag_that_reading_it_has(alice: Caller, curator: Caller):
    species, document = curator.post("species/", SPECIES), alice.post("documents/", {"title": "Plan"})

    assert species.headers["ETag"] == etag(curator, "species/african-penguin/")
    assert document.headers["ETag"] == etag(alice, f"documents/{document.json()['id']}/")


def test_the_etag_of_an_upload_follows_its_state(alice: Caller):
    ticket = alice.ticket(alice.document())
    path = f"uploads/{ticket['id']}/"
    pending = etag(alice, path)
    send(ticket)
    completed = alice.complete(ticket)

    assert completed.headers["ETag"] == etag(alice, path) != pending


def test_signed_urls_and_the_quota_are_no_part_of_it(alice: Caller, settings):
    content = picture()
    declared = announcement(content, filename="a.jpg", content_type="image/jpeg")
    ticket = alice.post("profiles/me/upload-url/", declared).json()
    send(ticket, content)
    assert alice.complete(ticket).status_code == 200
    document = alice.document()
    before = etag(alice, "profiles/me/"), etag(alice, f"documents/{document['id']}/")
    shown = alice.get("profiles/me/").json()

    settings.DOWNLOAD_URL_TTL += 77
    alice.document_with_file()

    now = alice.get("profiles/me/").json()
    assert now["avatar"]["url"] != shown["avatar"]["url"]
    assert now["storage"] != shown["storage"]
    assert (etag(alice, "profiles/me/"), etag(alice, f"documents/{document['id']}/")) == before


def test_a_list_has_the_etag_of_its_content_for_visitors_only(paths, nobody: Caller, alice: Caller):
    assert "ETag" in nobody.get("species/").headers
    assert "ETag" not in alice.get("documents/").headers


# --- If-Match -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["patch", "delete"])
@pytest.mark.parametrize("kind", CHANGES)
def test_what_another_has_changed_is_not_overwritten(kind, method, paths, callers):
    name, change = CHANGES[kind]
    who, path = callers[name], paths[kind]
    mine = etag(who, path)
    theirs = who.patch(path, change).json()

    answer = unsafe(who, method, path, mine, {} if method == "patch" else None)

    assert (answer.status_code, code(answer)) == (412, "precondition_failed")
    assert {**who.get(path).json(), "storage": None} == {**theirs, "storage": None}


@pytest.mark.parametrize("kind", CHANGES)
def test_with_the_etag_of_now_it_is_changed_and_then_deleted(kind, paths, callers):
    name, change = CHANGES[kind]
    who, path = callers[name], paths[kind]

    changed = unsafe(who, "patch", path, etag(who, path), change)
    deleted = unsafe(who, "delete", path, changed.headers["ETag"])

    assert changed.status_code == 200, changed.content
    assert deleted.status_code in (200, 204), deleted.content


def test_a_put_is_protected_too(paths, curator: Caller):
    before = etag(curator, paths["species"])
    curator.patch(paths["species"], {"habitat": "Coast"})

    answer = unsafe(curator, "put", paths["species"], before, SPECIES)

    assert code(answer) == "precondition_failed"
    assert curator.get(paths["species"]).json()["habitat"] == "Coast"


@pytest.mark.parametrize(
    ("if_match", "status"),
    [
        ("*", 200),
        ('"other", {etag}', 200),
        ("W/{etag}", 200),  # a proxy that compresses has made it weak
        ('"other"', 412),
        ("other", 412),
        ("", 412),
        ('"', 412),
        ('"' + "x" * 5000 + '"', 412),
    ],
)
def test_what_the_header_may_be(paths, alice: Caller, if_match: str, status: int):
    path = paths["document"]
    header = if_match.replace("{etag}", etag(alice, path))

    assert unsafe(alice, "patch", path, header, {"title": "New"}).status_code == status


def test_who_may_not_change_it_learns_nothing_by_it(paths, alice: Caller, bob: Caller, nobody: Caller):
    shared = alice.document(visibility="authenticated")

    assert unsafe(bob, "patch", paths["document"], '"x"', {}).status_code == 404
    assert unsafe(bob, "patch", f"documents/{shared['id']}/", '"x"', {}).status_code == 403
    assert unsafe(nobody, "patch", paths["document"], '"x"', {}).status_code == 401
    assert unsafe(alice, "patch", "documents/0197/", '"x"', {}).status_code == 404


def test_what_belongs_to_it_is_protected_as_well(alice: Caller, curator: Caller, paths):
    document = alice.document_with_file()
    path = f"documents/{document['id']}/"

    assert unsafe(alice, "delete", f"{path}file/", '"other"').status_code == 412
    assert unsafe(alice, "delete", f"{path}file/", etag(alice, path)).status_code == 204
    assert unsafe(curator, "delete", "species/african-penguin/image/", '"other"').status_code == 412


def test_a_ticket_is_not_cancelled_once_it_has_changed(alice: Caller):
    ticket = alice.ticket(alice.document())
    path = f"uploads/{ticket['id']}/"
    Upload.objects.filter(pk=ticket["id"]).update(state=Upload.State.EXPIRED)

    assert unsafe(alice, "delete", path, '"other"').status_code == 412
    assert unsafe(alice, "delete", path, etag(alice, path)).status_code == 204


def test_other_methods_pass_over_it(paths, alice: Caller):
    read = alice.client.get(f"/api/v1/{paths['document']}", headers={"if-match": '"other"'})
    ticket = unsafe(alice, "post", f"{paths['document']}upload-url/", '"other"', announcement())

    assert (read.status_code, ticket.status_code) == (200, 201)


# --- At the same time ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "act",
    [
        lambda who, path, tag: unsafe(who, "patch", path, tag, {"title": "Mine"}),
        lambda who, path, tag: unsafe(who, "patch", path, tag, {"visibility": "authenticated"}),
        lambda who, path, tag: unsafe(who, "delete", path, tag),
        lambda who, path, tag: unsafe(who, "delete", f"{path}file/", tag),
    ],
    ids=["title", "visibility", "delete", "delete-file"],
)
def test_a_change_between_the_check_and_the_write_is_seen(act, transactional_db, monkeypatch):
    """The other change comes as late as it can: when everything was read and checked."""
    alice = Caller("alice@example.org")
    document = alice.document_with_file()
    path = f"documents/{document['id']}/"
    tag = etag(alice, path)
    _just_before_the_write(monkeypatch, lambda: Document.objects.get().update({"title": "Theirs"}))

    answer = act(alice, path, tag)

    assert code(answer) == "precondition_failed"
    now = alice.get(path).json()
    assert (now["title"], now["visibility"], bool(now["file"])) == ("Theirs", "private", True)
    assert alice.download_url(document)


def _just_before_the_write(monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]) -> None:
    for name in ("update_row", "delete_row", "delete_file"):
        original = getattr(attachments, name)

        def late(*args: Any, original: Any = original, **options: Any) -> Any:
            change()
            return original(*args, **options)

        for module in ("api.private_files.serializers", "api.private_files.views", "api.uploads.views"):
            monkeypatch.setattr(f"{module}.{name}", late, raising=False)


def test_a_copy_that_was_made_in_vain_is_removed(transactional_db, monkeypatch):
    alice = Caller("alice@example.org")
    path = f"documents/{alice.document_with_file()['id']}/"
    tag, copy = etag(alice, path), LocalStorage.copy

    def slow(*args: Any) -> None:
        copy(*args)
        Document.objects.get().update({"title": "Theirs"})

    monkeypatch.setattr(LocalStorage, "copy", slow)
    answer = unsafe(alice, "patch", path, tag, {"visibility": "authenticated"})

    assert code(answer) == "precondition_failed"
    document = Document.objects.get()
    assert [info.key for info in document.file.storage.walk()] == [document.file.key]


@pytest.mark.parametrize("kind", CHANGES)
def test_of_many_at_once_one_succeeds(kind: str, server: Server):
    name, change = CHANGES[kind]
    address = f"{kind}-{name}@conditional.example.org"
    people = {
        "alice": server.client(address),
        "curator": server.client(address, role="staff"),
    }
    path = f"/api/v1/{_made(people['curator'], kind)}"
    who = people[name]
    tag = who.get(path).headers["ETag"]

    def write(number: int) -> int:
        if number == 5:
            return who.request("DELETE", path, headers={"If-Match": tag}).status_code
        return who.patch(path, json=change, headers={"If-Match": tag}).status_code

    numbers = range(6) if kind != "profile" else range(5)
    with ThreadPoolExecutor(6) as pool:
        statuses = sorted(pool.map(write, numbers))

    assert statuses[0] in (200, 204)
    assert set(statuses[1:]) <= {412, 404}


def _made(client: Any, kind: str) -> str:
    """Make one of this kind on the server, and return its path."""
    if kind == "profile":
        return "profiles/me/"
    route, body = {
        "species": ("species", {"common_name": "Otter", "scientific_name": "Lutra lutra"}),
        "exhibition": ("exhibitions", {"title": "Conditional"}),
        "service": ("educational-services", {"title": "Conditional"}),
        "picture": ("exhibitions", {"title": "Conditional pictures"}),
        "document": ("documents", {"title": "Conditional"}),
    }[kind]
    made = client.post(f"/api/v1/{route}/", json=body).json()
    path = f"{route}/{made.get('slug', made['id'])}/"
    if kind == "picture":
        content = picture()
        declared = announcement(content, filename="a.jpg", content_type="image/jpeg")
        ticket = client.post(f"/api/v1/{path}pictures/upload-url/", json=declared).json()
        assert client.put(ticket["url"], content=content, headers=ticket["headers"]).status_code == 200
        assert client.post(ticket["complete_url"]).status_code == 200
        path += f"pictures/{client.get(f'/api/v1/{path}pictures/').json()['results'][0]['id']}/"
    return path


def test_without_the_header_no_query_is_added(paths, alice: Caller):
    def queries(headers: dict[str, str]) -> int:
        with CaptureQueriesContext(connection) as captured:
            alice.client.patch(
                f"/api/v1/{paths['document']}",
                {"title": "New"},
                content_type="application/json",
                headers=headers,
            )
        return len(captured)

    assert queries({"if-match": etag(alice, paths["document"])}) == queries({})
