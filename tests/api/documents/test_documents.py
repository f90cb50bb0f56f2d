"""Documents: who sees and changes what, and what becomes of the file."""

import pytest
from django.core.files.storage import storages
from django.core.management import call_command
from django.db import transaction

from api.models import Document
from api.uploads.attachments import delete_file
from storage.fields import StoredFile
from storage.local import LocalStorage
from tests.support.cast import PDF, Caller, body, code, down, fetch, send

# --- The role table: what each of the cast gets, for each kind of document and each act --------------

ACTS = {
    "read": lambda who, document: who.get(f"documents/{document['id']}/"),
    "download": lambda who, document: who.get(f"documents/{document['id']}/download-url/"),
    "change": lambda who, document: who.patch(f"documents/{document['id']}/", {"title": "New"}),
    "replace": lambda who, document: who.put(f"documents/{document['id']}/", {"title": "New"}),
    "ticket": lambda who, document: who.post(
        f"documents/{document['id']}/upload-url/",
        {"filename": "a.pdf", "content_type": "application/pdf", "size": 10},
    ),
    "revoke": lambda who, document: who.post(f"documents/{document['id']}/revoke-urls/"),
    "delete file": lambda who, document: who.delete(f"documents/{document['id']}/file/"),
    "delete": lambda who, document: who.delete(f"documents/{document['id']}/"),
}
READS = {"read": 200, "download": 200}
WRITES = {"change": 200, "replace": 200, "ticket": 201, "revoke": 204, "delete file": 204, "delete": 204}
SUCCESS = {**READS, **WRITES}

TABLE = [
    *(
        ("alice", visibility, act, SUCCESS[act])
        for visibility in ("private", "authenticated")
        for act in ACTS
    ),
    *(
        ("curator", visibility, act, SUCCESS[act])
        for visibility in ("private", "authenticated")
        for act in ACTS
    ),
    *(("nobody", visibility, act, 401) for visibility in ("private", "authenticated") for act in ACTS),
    *(("bob", "private", act, 404) for act in ACTS),
    *(("bob", "authenticated", act, 403 if act in WRITES else 200) for act in ACTS),
]


@pytest.mark.parametrize("visibility", ["private", "authenticated"])
@pytest.mark.parametrize("who", ["alice", "curator", "nobody", "bob"])
def test_the_role_table(who: str, visibility: str, alice: Caller, request):
    """All acts on one document; `delete` is the last."""
    document = alice.document_with_file(visibility=visibility)
    caller = request.getfixturevalue(who)

    for act, status in [row[2:] for row in TABLE if row[:2] == (who, visibility)]:
        answer = ACTS[act](caller, document)

        assert answer.status_code == status, act
        if status >= 400:
            assert code(answer) in ("not_authenticated", "not_found", "permission_denied"), act
        alice.patch(f"documents/{document['id']}/", {"visibility": visibility})  # `replace` resets it


def test_a_list_shows_what_the_caller_may_see(alice: Caller, bob: Caller, curator: Caller, nobody: Caller):
    private = alice.document(title="Private")["id"]
    shared = alice.document(title="Shared", visibility="authenticated")["id"]
    own = bob.document(title="Own")["id"]

    def seen(who: Caller) -> set[str]:
        return {document["id"] for document in who.get("documents/").json()["results"]}

    assert seen(alice) == {private, shared}
    assert seen(bob) == {shared, own}
    assert seen(curator) == {private, shared, own}
    assert nobody.get("documents/").status_code == 401


def test_the_creator_is_the_owner_whatever_they_say(alice: Caller, bob: Caller):
    document = alice.document(owner=str(bob.id), id=str(bob.id), file={"name": "x"})

    assert document["owner"]["id"] == str(alice.id)
    assert document["id"] != str(bob.id)
    assert document["file"] is None


def test_a_new_document_says_where_it_is(alice: Caller):
    answer = alice.post("documents/", {"title": "New"})

    assert answer.headers["Location"] == f"http://testserver/api/v1/documents/{answer.json()['id']}/"
    assert alice.get(answer.headers["Location"]).json() == answer.json()


def test_documents_sort_by_the_time_of_their_making(alice: Caller):
    made = [alice.document()["id"] for _ in range(5)]

    assert made == sorted(made)
    assert [document["id"] for document in alice.get("documents/").json()["results"]] == made[::-1]


# --- Lists ------------------------------------------------------------------------------------------


def test_lists_are_filtered_searched_and_ordered(alice: Caller, bob: Caller):
    alice.document(title="Beta", category="care", description="penguins")
    alice.document(title="Alpha", category="house")
    bob.document(title="Gamma", visibility="authenticated")

    def titles(**query: str) -> list[str]:
        return [document["title"] for document in alice.get("documents/", **query).json()["results"]]

    assert titles(owner="me", ordering="title") == ["Alpha", "Beta"]
    assert titles(owner=str(bob.id)) == ["Gamma"]
    assert titles(visibility="authenticated") == ["Gamma"]
    assert titles(category="care") == ["Beta"]
    assert titles(search="penguin") == ["Beta"]
    assert titles(ordering="-title") == ["Gamma", "Beta", "Alpha"]


def test_pages_never_overlap_when_the_ordering_ties(alice: Caller):
    for _ in range(7):
        alice.document(category="same")

    pages = [
        alice.get("documents/", ordering="category", page=page, page_size=3).json()["results"]
        for page in (1, 2, 3)
    ]

    assert len({document["id"] for page in pages for document in page}) == 7


def test_a_page_has_at_most_a_hundred(alice: Caller):
    page = alice.get("documents/", page_size=100).json()

    assert alice.get("documents/", page_size=101).status_code == 400
    assert page.keys() == {"count", "next", "previous", "results"}
    assert alice.get("documents/", page_size=1).status_code == 200


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"page": "0"}, 404),
        ({"page": "-1"}, 404),
        ({"page": "999999999999999999999"}, 404),
        ({"page": "x"}, 404),
        ({"ordering": "owner__secret"}, 400),
        ({"ordering": "title,file"}, 400),
        ({"visibility": "public"}, 400),
        ({"owner": "not-a-uuid"}, 400),
        ({"owner": "me\x00"}, 400),
        ({"category": "a\x00b"}, 400),
        ({"search": "a\x00b"}, 400),
        ({"search": "word " * 21}, 400),
        ({"search": "w," * 2000}, 400),
    ],
)
def test_a_senseless_list_is_refused(query: dict[str, str], status: int, alice: Caller):
    answer = alice.get("documents/", **query)

    assert answer.status_code == status
    assert code(answer) in ("invalid", "not_found")


# --- Bad fields ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({}, "#/title"),
        ({"title": ""}, "#/title"),
        ({"title": "x" * 201}, "#/title"),
        ({"title": ["a"]}, "#/title"),
        ({"title": {"a": 1}}, "#/title"),
        ({"title": "a\x00b"}, "#/title"),
        ({"title": "\ud800"}, "#/title"),
        ({"title": "x", "category": "x" * 51}, "#/category"),
        ({"title": "x", "description": "x" * 5001}, "#/description"),
        ({"title": "x", "visibility": "public"}, "#/visibility"),
        ({"title": "x", "visibility": None}, "#/visibility"),
    ],
)
def test_bad_fields_are_named(fields: dict, pointer: str, alice: Caller):
    answer = alice.post("documents/", fields)

    assert code(answer) == "invalid"
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize("body", ["[]", '["title"]', '"title"', "1", "null", "true"])
def test_what_is_no_object_is_refused(body: str, alice: Caller):
    answer = alice.client.post("/api/v1/documents/", body, content_type="application/json")

    assert answer.status_code == 400
    assert code(answer) == "invalid"


def test_a_put_needs_every_required_field(alice: Caller):
    document = alice.document()

    assert code(alice.put(f"documents/{document['id']}/", {"category": "care"})) == "invalid"


@pytest.mark.parametrize("path", ["documents/nonsense/", "documents/123/", "documents/a%00b/", "uploads/x/"])
def test_an_id_that_is_none_is_not_found(path: str, alice: Caller):
    assert code(alice.get(path)) == "not_found"


# --- Visibility ---------------------------------------------------------------------------------------


def test_a_change_of_visibility_moves_the_file_and_ends_every_url(alice: Caller, bob: Caller):
    document = alice.document_with_file(visibility="authenticated")
    handed_out = bob.download_url(document)

    changed = alice.patch(f"documents/{document['id']}/", {"visibility": "private", "title": "Now private"})

    assert changed.status_code == 200
    assert (changed.json()["visibility"], changed.json()["title"]) == ("private", "Now private")
    assert changed.json()["file"] == document["file"]
    assert fetch(handed_out).status_code == 400
    assert body(fetch(alice.download_url(document))) == PDF
    key = Document.objects.get().file.name
    assert key.startswith(f"{alice.id}/")
    assert keys_of("documents") == {key}


def test_the_key_says_who_may_read_and_what_the_file_is_called(alice: Caller):
    """PDF viewers show the last segment of the URL as the title, and save the file under it."""
    alice.document_with_file(visibility="authenticated")  # "guía.pdf"

    [shared, owner, _, name] = Document.objects.get().file.name.split("/")
    assert (shared, owner, name) == ("shared", str(alice.id), "guia.pdf")


def test_other_changes_leave_the_file_where_it_is(alice: Caller):
    document = alice.document_with_file()
    handed_out = alice.download_url(document)

    alice.patch(f"documents/{document['id']}/", {"title": "New", "visibility": "private"})

    assert body(fetch(handed_out)) == PDF


def test_visibility_changes_without_a_file_too(alice: Caller):
    document = alice.document()

    changed = alice.patch(f"documents/{document['id']}/", {"visibility": "authenticated"})

    assert changed.json()["visibility"] == "authenticated"


def test_visibility_stays_when_the_store_is_down(alice: Caller, monkeypatch):
    document = alice.document_with_file()
    monkeypatch.setattr(LocalStorage, "copy", down)

    answer = alice.patch(f"documents/{document['id']}/", {"visibility": "authenticated"})

    assert code(answer) == "storage_unavailable"
    assert answer.headers["Retry-After"]
    assert alice.get(f"documents/{document['id']}/").json()["visibility"] == "private"


def test_a_file_recorded_during_a_change_of_visibility_is_moved_too(alice: Caller, monkeypatch):
    """Given a change that has copied the old file, when a new one is recorded first, then that one moves."""
    document = alice.document_with_file()
    newer = PDF + b"%newer"
    ticket = alice.ticket(document, newer)
    send(ticket, newer)
    copy = LocalStorage.copy

    def copy_and_be_overtaken(*args):
        monkeypatch.setattr(LocalStorage, "copy", copy)
        copy(*args)
        assert alice.complete(ticket).status_code == 200

    monkeypatch.setattr(LocalStorage, "copy", copy_and_be_overtaken)
    changed = alice.patch(f"documents/{document['id']}/", {"visibility": "authenticated"})

    assert changed.status_code == 200
    assert body(fetch(alice.download_url(document))) == newer
    key = Document.objects.get().file.name
    assert key.startswith("shared/")
    assert keys_of("documents") == {key}


def overtake(monkeypatch, act) -> None:
    """Do this after a change was thought out and before it is written, once."""
    as_read = StoredFile.as_read

    def be_overtaken(file):
        read = as_read(file)
        monkeypatch.setattr(StoredFile, "as_read", as_read)
        act()
        return read

    monkeypatch.setattr(StoredFile, "as_read", be_overtaken)


def test_a_change_of_the_title_does_not_lose_a_file_recorded_meanwhile(alice: Caller, monkeypatch):
    document = alice.document()
    ticket = alice.ticket(document)
    send(ticket)
    overtake(monkeypatch, lambda: alice.complete(ticket))

    alice.patch(f"documents/{document['id']}/", {"title": "New"})

    after = alice.get(f"documents/{document['id']}/").json()
    assert after["title"] == "New"
    assert after["file"]["size"] == len(PDF)


def test_two_changes_of_visibility_that_cross_leave_the_file_where_the_row_says(alice: Caller, monkeypatch):
    """Given a change to what it was before, when another change is first, then the file follows the last."""
    document = alice.document_with_file(visibility="private")
    path = f"documents/{document['id']}/"
    overtake(monkeypatch, lambda: alice.patch(path, {"visibility": "authenticated"}))

    assert alice.patch(path, {"visibility": "private"}).json()["visibility"] == "private"

    [key] = keys_of("documents")
    assert key.startswith(f"{alice.id}/")
    assert body(fetch(alice.download_url(document))) == PDF


def test_a_change_of_what_is_deleted_meanwhile_is_not_found(alice: Caller, monkeypatch):
    document = alice.document_with_file()
    overtake(monkeypatch, lambda: alice.delete(f"documents/{document['id']}/"))

    for change in ({"title": "New"}, {"visibility": "authenticated"}):
        assert code(alice.patch(f"documents/{document['id']}/", change)) == "not_found"
    assert keys_of("documents") == set()


# --- Revoking -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("visibility", ["private", "authenticated"])
def test_revoking_ends_every_url_and_keeps_the_file(visibility: str, alice: Caller):
    document = alice.document_with_file(visibility=visibility)
    before = Document.objects.get().file.name
    handed_out = [alice.download_url(document), alice.download_url(document, download="")]

    answer = alice.post(f"documents/{document['id']}/revoke-urls/")

    assert (answer.status_code, answer.content) == (204, b"")
    assert [fetch(url).status_code for url in handed_out] == [400, 400]
    assert body(fetch(alice.download_url(document))) == PDF
    key = Document.objects.get().file.name
    (*folder, random, name), (*folder_before, random_before, name_before) = key.split("/"), before.split("/")
    assert (folder, name) == (folder_before, name_before)
    assert random != random_before
    assert keys_of("documents") == {key} != {before}
    after = alice.get(f"documents/{document['id']}/").json()
    assert after["file"] == document["file"]


def test_revoking_can_be_repeated(alice: Caller, curator: Caller):
    document = alice.document_with_file()

    for who in (alice, alice, curator):
        handed_out = alice.download_url(document)
        assert who.post(f"documents/{document['id']}/revoke-urls/").status_code == 204
        assert fetch(handed_out).status_code == 400

    assert body(fetch(alice.download_url(document))) == PDF
    assert len(keys_of("documents")) == 1


def test_without_a_file_there_is_nothing_to_revoke(alice: Caller):
    document = alice.document()

    answer = alice.post(f"documents/{document['id']}/revoke-urls/")

    assert (answer.status_code, code(answer)) == (404, "file_missing")


def test_urls_stay_when_the_store_is_down(alice: Caller, monkeypatch):
    document = alice.document_with_file()
    handed_out = alice.download_url(document)
    monkeypatch.setattr(LocalStorage, "copy", down)

    answer = alice.post(f"documents/{document['id']}/revoke-urls/")

    assert code(answer) == "storage_unavailable"
    assert answer.headers["Retry-After"]
    assert body(fetch(handed_out)) == PDF


def test_a_revocation_that_left_the_old_object_does_not_claim_success(alice: Caller, monkeypatch):
    document = alice.document_with_file()
    handed_out = alice.download_url(document)
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "delete_object", down)
        assert code(alice.post(f"documents/{document['id']}/revoke-urls/")) == "storage_unavailable"

    assert body(fetch(handed_out)) == PDF
    assert alice.download_url(document).split("?")[0] != handed_out.split("?")[0]


@pytest.mark.parametrize("act", ["revoke", "change"])
def test_a_copy_whose_answer_was_lost_is_not_left_behind(act: str, alice: Caller, monkeypatch):
    document = alice.document_with_file()
    copy = LocalStorage.copy

    def copy_and_lose_the_answer(*args):
        copy(*args)
        down()

    monkeypatch.setattr(LocalStorage, "copy", copy_and_lose_the_answer)
    if act == "revoke":
        answer = alice.post(f"documents/{document['id']}/revoke-urls/")
    else:
        answer = alice.patch(f"documents/{document['id']}/", {"visibility": "authenticated"})

    assert code(answer) == "storage_unavailable"
    assert keys_of("documents") == {Document.objects.get().file.name}


def test_a_file_recorded_during_a_revocation_is_kept(alice: Caller, monkeypatch):
    """Given a revocation under way, when a new file is recorded first, then that one stays."""
    document = alice.document_with_file()
    newer = PDF + b"%newer"
    ticket = alice.ticket(document, newer)
    send(ticket, newer)
    handed_out = alice.download_url(document)
    overtake(monkeypatch, lambda: alice.complete(ticket))

    assert alice.post(f"documents/{document['id']}/revoke-urls/").status_code == 204

    assert fetch(handed_out).status_code == 400
    assert body(fetch(alice.download_url(document))) == newer
    assert keys_of("documents") == {Document.objects.get().file.name}


def test_a_revocation_and_a_change_of_visibility_that_cross_both_hold(alice: Caller, monkeypatch):
    document = alice.document_with_file()
    path = f"documents/{document['id']}/"
    overtake(monkeypatch, lambda: alice.patch(path, {"visibility": "authenticated"}))

    assert alice.post(f"{path}revoke-urls/").status_code == 204

    [key] = keys_of("documents")
    assert key.startswith("shared/")
    assert alice.get(path).json()["visibility"] == "authenticated"
    assert body(fetch(alice.download_url(document))) == PDF


def test_a_document_deleted_during_a_revocation_is_not_found(alice: Caller, monkeypatch):
    document = alice.document_with_file()
    overtake(monkeypatch, lambda: alice.delete(f"documents/{document['id']}/"))

    answer = alice.post(f"documents/{document['id']}/revoke-urls/")

    assert code(answer) == "not_found"
    assert keys_of("documents") == set()


# --- Deletion -----------------------------------------------------------------------------------------


def test_deletion_removes_the_object_and_cancels_the_tickets(alice: Caller):
    document = alice.document_with_file()
    handed_out = alice.download_url(document)
    sent, unsent = alice.ticket(document), alice.ticket(document)
    send(sent)

    assert alice.delete(f"documents/{document['id']}/").status_code == 204

    assert fetch(handed_out).status_code == 400
    assert keys_of("documents") == keys_of("uploads") == set()
    for ticket in (sent, unsent):
        answer = alice.complete(ticket)
        assert (answer.status_code, code(answer)) == (409, "resource_gone")
        assert alice.get(f"uploads/{ticket['id']}/").json()["state"] == "cancelled"
    assert code(alice.delete(f"documents/{document['id']}/")) == "not_found"


def test_deletion_takes_a_file_along_that_was_recorded_meanwhile(alice: Caller, monkeypatch):
    document = alice.document_with_file()
    ticket = alice.ticket(document)
    send(ticket)
    monkeypatch.setattr("api.uploads.attachments.transaction.atomic", _Overtaken(alice, ticket))
    assert alice.delete(f"documents/{document['id']}/").status_code == 204

    assert keys_of("documents") == keys_of("uploads") == set()


class _Overtaken:
    """The first transaction begins only after the ticket was completed."""

    def __init__(self, who: Caller, ticket: dict) -> None:
        self.who, self.ticket, self.atomic = who, ticket, transaction.atomic

    def __call__(self, **options):
        if self.ticket:
            ticket, self.ticket = self.ticket, {}
            assert self.who.complete(ticket).status_code == 200
        return self.atomic(**options)


def test_deletion_stands_when_the_store_is_down(alice: Caller, monkeypatch):
    document = alice.document_with_file()
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "delete_object", down)
        assert alice.delete(f"documents/{document['id']}/").status_code == 202

    assert not Document.objects.exists()
    assert len(keys_of("documents")) == 1
    call_command("sweep")
    assert keys_of("documents") == set()


# --- Downloads ----------------------------------------------------------------------------------------


def test_a_document_without_a_file_says_so(alice: Caller):
    document = alice.document()

    assert code(alice.get(f"documents/{document['id']}/download-url/")) == "file_missing"


def test_download_names(alice: Caller):
    document = alice.document_with_file()

    def disposition(**query: str) -> str | None:
        return fetch(alice.download_url(document, **query)).headers.get("Content-Disposition")

    assert disposition() is None
    assert "filename*=UTF-8''gu%C3%ADa.pdf" in (disposition(download="") or "")
    assert "filename*=UTF-8''a%20%22b%22.pdf" in (disposition(download='a "b".pdf') or "")
    assert "\n" not in (disposition(download="a\r\nX-Evil: 1") or "")


def test_signed_urls_are_not_cached(alice: Caller):
    document = alice.document_with_file()

    for answer in (
        alice.get(f"documents/{document['id']}/download-url/"),
        alice.post("documents/download-urls/", {"ids": [document["id"]]}),
        alice.post(
            f"documents/{document['id']}/upload-url/",
            {"filename": "a.pdf", "content_type": "application/pdf", "size": 1},
        ),
    ):
        assert answer.headers["Cache-Control"] == "no-store"
    assert alice.get("documents/").headers["Cache-Control"] == "private, no-cache"
    assert "Authorization" in alice.get("documents/").headers["Vary"]


def test_many_download_urls_in_the_order_asked(alice: Caller, bob: Caller):
    mine = alice.document_with_file()
    empty = alice.document()
    shared = bob.document_with_file(visibility="authenticated")
    private = bob.document_with_file()
    unknown = "01971f6d-1d0a-7c11-9f0e-5b8c2f6f3a11"
    asked = [unknown, mine["id"], empty["id"], shared["id"], private["id"], mine["id"].upper()]

    results = alice.post("documents/download-urls/", {"ids": asked}).json()["results"]

    assert [result["id"] for result in results] == [id.lower() for id in asked]
    assert [result.get("code") for result in results] == [
        "not_found",
        None,
        "file_missing",
        None,
        "not_found",
        None,
    ]
    assert body(fetch(results[3]["url"])) == PDF
    assert results[1]["expires_at"].endswith("Z")


@pytest.mark.parametrize(
    "asked",
    [
        {"ids": ["01971f6d-1d0a-7c11-9f0e-5b8c2f6f3a11"] * 101},
        {"ids": ["nonsense"]},
        {"ids": "01971f6d-1d0a-7c11-9f0e-5b8c2f6f3a11"},
        {"ids": [None]},
        {"ids": [1]},
        {"ids": ["urn:uuid:01971f6d-1d0a-7c11-9f0e-5b8c2f6f3a11"]},
        {"ids": ["{01971f6d-1d0a-7c11-9f0e-5b8c2f6f3a11}"]},
        {"ids": {"a": 1}},
        {},
    ],
)
def test_a_senseless_batch_is_refused(asked: dict, alice: Caller):
    assert code(alice.post("documents/download-urls/", asked)) == "invalid"


def test_a_url_dies_with_its_token(alice: Caller, settings, monkeypatch):
    document = alice.document_with_file()
    settings.DOWNLOAD_URL_TTL = -1

    refused = fetch(alice.download_url(document))

    assert refused.status_code == 400
    assert refused.json()["code"] == "InvalidJWT"


def keys_of(alias: str) -> set[str]:
    """The keys of all objects in a bucket."""

    def walk(folder: str) -> set[str]:
        folders, files = storages[alias].listdir(folder)
        prefix = f"{folder}/" if folder else ""
        return {prefix + name for name in files}.union(*(walk(prefix + name) for name in folders))

    return walk("")


def test_every_time_is_utc(alice: Caller, settings):
    settings.TIME_ZONE = "America/New_York"
    document = alice.document_with_file()
    ticket = alice.ticket(document)
    signed = alice.get(f"documents/{document['id']}/download-url/").json()

    times = [
        document["created_at"],
        document["updated_at"],
        document["file"]["uploaded_at"],
        ticket["expires_at"],
        alice.get(f"uploads/{ticket['id']}/").json()["expires_at"],
        signed["expires_at"],
    ]

    assert all(time.endswith("Z") for time in times), times


def test_options_describe_nothing(alice: Caller, bob: Caller):
    document = alice.document()

    for who in (alice, bob):
        answer = who.client.options(f"/api/v1/documents/{document['id']}/")
        assert (answer.status_code, code(answer)) == (405, "method_not_allowed")


# --- Deleting the file ---------------------------------------------------------------------------------


def test_the_file_is_deleted_and_the_document_stays(alice: Caller):
    document = alice.document_with_file()
    url, path = alice.download_url(document), f"documents/{document['id']}/"

    answers = [alice.delete(f"{path}file/") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [204, 404]
    assert code(answers[1]) == "file_missing"
    assert alice.get(path).json()["file"] is None
    assert code(alice.get(f"{path}download-url/")) == "file_missing"
    assert fetch(url).status_code == 400
    assert keys_of("documents") == set()
    assert alice.get("profiles/me/").json()["storage"]["used"] == 0


def test_after_a_deletion_the_document_takes_another_file(alice: Caller):
    document = alice.document_with_file()
    waiting = alice.ticket(document)
    alice.delete(f"documents/{document['id']}/file/")
    send(waiting)

    assert alice.complete(waiting).status_code == 200
    assert body(fetch(alice.download_url(document))) == PDF


def test_a_file_that_the_store_does_not_delete_is_deleted_by_the_sweep(alice: Caller, monkeypatch):
    document = alice.document_with_file()
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "delete_object", down)
        answer = alice.delete(f"documents/{document['id']}/file/")

    assert answer.status_code == 202
    assert alice.get(f"documents/{document['id']}/").json()["file"] is None
    assert len(keys_of("documents")) == 1
    call_command("sweep")
    assert keys_of("documents") == set()


@pytest.mark.parametrize("change", ["visibility", "file"])
def test_a_file_that_is_moved_or_replaced_meanwhile_goes_too(change: str, alice: Caller, monkeypatch):
    document = alice.document_with_file(visibility="private")
    ticket = alice.ticket(document)
    send(ticket)

    def be_overtaken(row, field_name):
        if change == "file":
            assert alice.complete(ticket).status_code == 200
        else:
            alice.patch(f"documents/{document['id']}/", {"visibility": "authenticated"})
        return delete_file(row, field_name)

    monkeypatch.setattr("api.private_files.views.delete_file", be_overtaken)

    assert alice.delete(f"documents/{document['id']}/file/").status_code == 204
    assert keys_of("documents") == set()


@pytest.mark.parametrize("method", ["get", "post", "patch", "put"])
def test_a_file_is_only_deleted_at_its_own_address(method: str, alice: Caller):
    document = alice.document_with_file()

    assert code(getattr(alice, method)(f"documents/{document['id']}/file/")) == "method_not_allowed"
    assert alice.get(f"documents/{document['id']}/").json()["file"]


def test_the_deletion_of_a_file_takes_no_parameters(alice: Caller):
    document = alice.document_with_file()

    assert code(alice.delete(f"documents/{document['id']}/file/?force=1")) == "invalid"
    assert alice.get(f"documents/{document['id']}/").json()["file"]
