"""Files at the admin: pictures go straight to storage by ticket, downloads are signed on click."""

from typing import Any
from uuid import UUID

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import DatabaseError
from django.test import Client

from api.admin_site.direct_upload import admin_owner_id as owner_of
from api.models import Document, Profile, Species, Upload
from api.throttling import TicketRateThrottle
from storage.errors import StorageUnavailable
from storage.local import LocalStorage
from tests.api.admin_site.test_admin import (
    ENTRIES,
    calls_outside_transactions,
    down,
    entry,
    every_kind,
    told,
    with_picture,
)
from tests.api.catalog.test_catalog import picture
from tests.api.documents.test_documents import keys_of
from tests.support.cast import PDF, Caller, Keeper, announcement, body, code, fetch, send

__all__ = ["calls_outside_transactions"]  # a fixture

PICTURE = picture()
NOBODYS = "00000000-0000-7000-8000-000000000000"
ANNOUNCED = announcement(PICTURE, filename="penguin.jpg", content_type="image/jpeg")
MAY_CHANGE = ("view_species", "change_species")


@pytest.fixture
def keeper(db) -> Keeper:
    return Keeper("keeper", *MAY_CHANGE)


@pytest.fixture
def colleague(db) -> Keeper:
    return Keeper("colleague", *MAY_CHANGE)


@pytest.fixture
def species(db) -> Any:
    return entry("species")


def ticket_page(row: Any) -> str:
    return f"api/{row._meta.model_name}/{row.pk}/ticket/"


def ticket_for(row: Any, who: Keeper, content: bytes = PICTURE, **changes: Any) -> dict[str, Any]:
    answer = who.ask(ticket_page(row), ANNOUNCED | {"size": len(content), "sha256": None} | changes)
    assert answer.status_code == 201, answer.content
    return answer.json()


# --- The ticket, step by step ----------------------------------------------------------------------------


@every_kind
def test_a_picture_is_carried_to_its_entry(kind: str, db):
    keeper, row = Keeper("keeper", f"change_{kind}"), entry(kind)

    ticket = ticket_for(row, keeper)
    assert send(ticket, PICTURE).status_code == 200
    answer = keeper.ask(ticket["complete_url"])

    assert answer.status_code == 200
    assert str(row.image.pk) == ticket["id"]
    assert row.image.original_facts["name"] == "penguin.jpg"
    assert body(fetch(row.image.original.signed_url(filename="").url)) == PICTURE


def test_the_ticket_is_the_very_one_of_the_api(species: Any, keeper: Keeper, curator: Caller):
    theirs = curator.post(f"species/{species.slug}/pictures/upload-url/", ANNOUNCED)
    ours = keeper.ask(ticket_page(species), ANNOUNCED)

    assert ours.status_code == theirs.status_code == 201
    assert ours.json().keys() == theirs.json().keys()
    assert ours.json()["resumable"].keys() == theirs.json()["resumable"].keys()
    for same in ("state", "bucket", "method", "headers", "limits"):
        assert ours.json()[same] == theirs.json()[same]
    assert ours.headers["Cache-Control"] == "no-store"
    assert ours.json()["complete_url"] == f"/admin/{ticket_page(species)}{ours.json()['id']}/complete/"


def test_the_answer_is_that_of_the_api_however_often_asked(species: Any, keeper: Keeper, curator: Caller):
    ticket = ticket_for(species, keeper)
    send(ticket, PICTURE)

    answers = [keeper.ask(ticket["complete_url"]).json() for _ in range(3)]

    assert answers[0] == answers[1] == answers[2]
    assert answers[0] == curator.get(f"uploads/{ticket['id']}/").json()


def test_the_history_tells_of_it_once(species: Any, keeper: Keeper):
    ticket = ticket_for(species, keeper)
    send(ticket, PICTURE)
    for _ in range(2):
        keeper.ask(ticket["complete_url"])

    [line] = LogEntry.objects.all()
    assert (line.user, line.object_id) == (keeper.user, str(species.pk))
    assert line.get_change_message() == "Added picture “penguin.jpg”."


def test_pictures_are_added_in_their_order(species: Any, keeper: Keeper):
    tickets = [ticket_for(species, keeper) for _ in range(3)]
    for ticket in reversed(tickets):
        send(ticket, PICTURE)
        assert keeper.ask(ticket["complete_url"]).status_code == 200

    assert [str(each.pk) for each in species.pictures.all()] == [ticket["id"] for ticket in reversed(tickets)]


def test_there_is_no_ticket_for_a_picture_too_many(species: Any, keeper: Keeper, settings):
    settings.PICTURES_PER_ENTRY = 2
    ticket = ticket_for(species, keeper)
    send(ticket, PICTURE)
    keeper.ask(ticket["complete_url"])
    ticket_for(species, keeper)  # which counts while it is open

    answer = keeper.ask(ticket_page(species), ANNOUNCED)

    assert (answer.status_code, code(answer)) == (409, "gallery_full")


def test_its_owner_is_the_user_under_any_name(species: Any, keeper: Keeper, colleague: Keeper):
    ticket = ticket_for(species, keeper)
    keeper.user.username = "another"
    keeper.user.save()

    assert Upload.objects.get(pk=ticket["id"]).owner == owner_of(keeper.user)
    assert owner_of(keeper.user) != owner_of(colleague.user)
    assert owner_of(keeper.user).version == 5  # a member's is random


def test_the_owners_of_open_tickets_outlive_a_new_version(keeper: Keeper):
    keeper.user.pk = 1

    assert owner_of(keeper.user) == UUID("fb1530fc-f27b-5be3-b440-a16923875217")


# --- Who may ---------------------------------------------------------------------------------------------


def refused(answer: Any) -> None:
    assert (answer.status_code, code(answer)) == (403, "permission_denied")


def test_only_who_may_change_it_gets_a_ticket(species: Any, alice: Caller, curator: Caller):
    outsiders = [Keeper("outsider"), Keeper("reader", "view_species"), Keeper("other", "change_exhibition")]

    for who in outsiders:
        refused(who.ask(ticket_page(species), ANNOUNCED))
    for member in (alice, curator, Caller()):
        refused(member.post(f"/admin/{ticket_page(species)}", ANNOUNCED))
    assert not Upload.objects.exists()


@pytest.mark.parametrize("lost", ["permission", "staff", "active", "session"])
def test_a_ticket_does_not_outlive_the_right_to_it(lost: str, species: Any, keeper: Keeper):
    ticket = ticket_for(species, keeper)
    send(ticket, PICTURE)
    match lost:
        case "permission":
            keeper.user.user_permissions.remove(Permission.objects.get(codename="change_species"))
        case "session":
            keeper.client.logout()
        case _:
            setattr(keeper.user, f"is_{lost}", False)
            keeper.user.save()

    refused(keeper.ask(ticket["complete_url"]))

    assert not species.pictures.exists()


def test_nobody_completes_it_for_another(species: Any, keeper: Keeper, colleague: Keeper, curator: Caller):
    ticket = ticket_for(species, keeper)
    send(ticket, PICTURE)
    theirs = curator.post(f"species/{species.slug}/pictures/upload-url/", ANNOUNCED).json()

    assert code(colleague.ask(ticket["complete_url"])) == "not_found"
    refused(curator.post(f"uploads/{ticket['id']}/complete/"))
    assert code(keeper.ask(f"{ticket_page(species)}{theirs['id']}/complete/")) == "not_found"

    assert keeper.ask(ticket["complete_url"]).status_code == 200


def test_it_is_completed_where_it_was_asked_for(species: Any, db):
    keeper = Keeper("keeper", *MAY_CHANGE, "change_exhibition")
    other, exhibition = entry("species", scientific_name="Panthera leo"), entry("exhibition")
    ticket = ticket_for(species, keeper)
    send(ticket, PICTURE)

    for row in (other, exhibition):
        assert code(keeper.ask(f"{ticket_page(row)}{ticket['id']}/complete/")) == "not_found"
    misled = ticket_page(exhibition).replace(str(exhibition.pk), str(species.pk))
    assert code(keeper.ask(f"{misled}{ticket['id']}/complete/")) == "not_found"


def test_another_site_cannot_ask(species: Any, db):
    strict = Keeper("keeper", *MAY_CHANGE, enforce_csrf_checks=True)
    refused(strict.ask(ticket_page(species), ANNOUNCED))

    strict.get(f"api/species/{species.pk}/change/")
    token = strict.client.cookies["csrftoken"].value

    refused(strict.ask(ticket_page(species), ANNOUNCED, headers={"x-csrftoken": "x" * 32}))
    answer = strict.ask(ticket_page(species), ANNOUNCED, headers={"x-csrftoken": token})
    assert answer.status_code == 201
    refused(strict.ask(answer.json()["complete_url"]))


# --- Hostile, and unlucky --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"content_type": "application/pdf"}, "content_type_not_allowed"),
        ({"size": 10**12}, "too_large"),
        ({"size": 0}, "min_value"),
        ({"filename": "../x.jpg"}, "invalid"),
        ({"filename": "x\0.jpg"}, "null_characters_not_allowed"),
        ({"sha256": "x"}, "invalid"),
    ],
)
def test_an_announcement_is_refused_as_the_api_refuses_it(
    changes: dict[str, Any], reason: str, species: Any, keeper: Keeper, curator: Caller
):
    ours = keeper.ask(ticket_page(species), ANNOUNCED | changes)

    assert (ours.status_code, code(ours)) == (400, "invalid")
    assert reason in {error["code"] for error in ours.json()["errors"]}
    assert (
        ours.json()
        == curator.post(f"species/{species.slug}/pictures/upload-url/", ANNOUNCED | changes).json()
    )


@pytest.mark.parametrize(
    ("sent", "content_type", "status", "reason"),
    [
        (b"{", "application/json", 400, "malformed"),
        (b"\xff", "application/json", 400, "malformed"),
        (b"[" * 100_000, "application/json", 400, "malformed"),
        (b"[]", "application/json", 400, "invalid"),
        (b'"' + b"a" * (1024 * 1024) + b'"', "application/json", 413, "too_large"),
        (b"filename=x", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (PICTURE, "image/jpeg", 415, "unsupported_media_type"),
    ],
)
def test_what_is_no_announcement_is_a_problem(
    sent: bytes, content_type: str, status: int, reason: str, species: Any, keeper: Keeper
):
    answer = keeper.client.post(f"/admin/{ticket_page(species)}", sent, content_type=content_type)

    assert (answer.status_code, code(answer)) == (status, reason)


def test_it_is_not_asked_for_by_reading(species: Any, keeper: Keeper):
    assert code(keeper.get(ticket_page(species))) == "method_not_allowed"


@pytest.mark.parametrize("bad", ["x", "1", "0" * 36, "%00", "_2F", NOBODYS])
def test_there_is_none_for_what_does_not_exist(bad: str, species: Any, keeper: Keeper):
    ticket = ticket_for(species, keeper)

    for path in (
        f"api/species/{bad}/ticket/",
        f"api/species/{bad}/ticket/{ticket['id']}/complete/",
        f"{ticket_page(species)}{bad}/complete/",
    ):
        answer = keeper.ask(path, ANNOUNCED)
        assert (answer.status_code, code(answer)) == (404, "not_found"), path


def test_a_text_that_is_called_a_picture_is_refused(species: Any, keeper: Keeper):
    ticket = ticket_for(species, keeper, b"I am a text.", content_type="image/png")
    send(ticket, b"I am a text.")

    answer = keeper.ask(ticket["complete_url"])

    assert (answer.status_code, code(answer)) == (422, "content_type_mismatch")
    assert not species.pictures.exists()
    assert keys_of("species") == keys_of("uploads") == set()


def test_before_the_file_there_is_nothing(species: Any, keeper: Keeper):
    assert code(keeper.ask(ticket_for(species, keeper)["complete_url"])) == "object_missing"


def test_a_species_that_is_deleted_meanwhile(species: Any, keeper: Keeper):
    ticket = ticket_for(species, keeper)
    send(ticket, PICTURE)
    Species.objects.all().delete()

    assert code(keeper.ask(ticket["complete_url"])) == "resource_gone"
    assert keys_of("uploads") == set()


def test_a_species_that_is_deleted_after_all(species: Any, keeper: Keeper):
    ticket = ticket_for(species, keeper)
    send(ticket, PICTURE)
    keeper.ask(ticket["complete_url"])
    Species.objects.all().delete()

    answer = keeper.ask(ticket["complete_url"])

    assert (answer.status_code, answer.json()["state"]) == (200, "completed")


def test_a_store_that_is_down(species: Any, keeper: Keeper, monkeypatch):
    ticket = ticket_for(species, keeper)
    send(ticket, PICTURE)
    with monkeypatch.context() as trouble:
        trouble.setattr(LocalStorage, "move", down)
        trouble.setattr(LocalStorage, "upload_token", down)
        for answer in (keeper.ask(ticket["complete_url"]), keeper.ask(ticket_page(species), ANNOUNCED)):
            assert (answer.status_code, code(answer)) == (503, "storage_unavailable")
            assert answer.headers["Retry-After"]

    assert keeper.ask(ticket["complete_url"]).status_code == 200


@pytest.mark.parametrize("debug", [True, False])
def test_trouble_of_our_own_is_a_problem_without_a_traceback(
    debug: bool, species: Any, keeper: Keeper, settings, monkeypatch
):
    settings.DEBUG = debug
    monkeypatch.setattr(LocalStorage, "upload_token", lambda *_: 1 / 0)

    answer = keeper.ask(ticket_page(species), ANNOUNCED)

    assert (answer.status_code, code(answer)) == (500, "internal")


def test_trouble_of_our_own_on_a_page_is_a_page(keeper: Keeper, monkeypatch, settings):
    settings.DEBUG = True

    def broken(*args: Any) -> None:
        raise DatabaseError("no such table")

    monkeypatch.setattr("api.catalog.admin.SpeciesAdmin.get_queryset", broken)

    answer = keeper.get("api/species/")

    assert answer.status_code == 500
    assert answer.headers["Content-Type"].startswith("text/html")


def test_too_many_tickets_are_refused(species: Any, keeper: Keeper, colleague: Keeper, monkeypatch):
    monkeypatch.setitem(TicketRateThrottle.THROTTLE_RATES, TicketRateThrottle.scope, "3/min")
    for _ in range(3):
        ticket_for(species, keeper)

    answer = keeper.ask(ticket_page(species), ANNOUNCED)

    assert (answer.status_code, code(answer)) == (429, "throttled")
    ticket_for(species, colleague)


# --- Downloads -------------------------------------------------------------------------------------------


@pytest.fixture
def document(alice: Caller) -> Document:
    return Document.objects.get(pk=alice.document_with_file()["id"])


@pytest.fixture
def reader(db) -> Keeper:
    return Keeper("reader", "view_document", "view_profile")


def download(row: Any) -> str:
    return f"api/{row._meta.model_name}/{row.pk}/download/"


def test_a_link_leads_to_a_url_that_is_signed_on_click(document: Document, reader: Keeper, settings):
    page = reader.get(f"api/document/{document.pk}/change/").content.decode()
    assert f'href="/admin/{download(document)}"' in page
    assert "token=" not in page

    answer = reader.get(download(document))

    assert answer.status_code == 302
    assert "no-store" in answer.headers["Cache-Control"]
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Location"].startswith(f"{settings.SUPABASE_URL}/storage/v1/object/sign/documents/")
    file = fetch(answer.headers["Location"])
    assert body(file) == PDF
    assert file.headers["Content-Disposition"].startswith("attachment; filename")


def test_avatars_too(alice: Caller, reader: Keeper):
    ticket = alice.post("profiles/me/upload-url/", ANNOUNCED).json()
    send(ticket, PICTURE)
    alice.complete(ticket)

    answer = reader.get(f"api/profile/{alice.id}/download/")

    assert body(fetch(answer.headers["Location"])) == PICTURE


def test_only_who_may_see_the_row_gets_its_file(document: Document):
    for who in (Keeper("outsider"), Keeper("keeper", "view_profile", *MAY_CHANGE)):
        assert who.get(download(document)).status_code == 403
    answer = Client().get(f"/admin/{download(document)}")
    assert (answer.status_code, answer.headers["Location"].split("?")[0]) == (302, "/admin/login/")


def test_a_link_is_followed_and_not_posted_to(document: Document, reader: Keeper):
    assert reader.post(download(document)).status_code == 405


@pytest.mark.parametrize("bad", ["x", "1", "%00", NOBODYS])
def test_no_document_is_a_page_that_says_so(bad: str, reader: Keeper):
    answer = reader.get(f"api/document/{bad}/download/")

    assert answer.status_code == 404
    assert "There is no file:" in answer.content.decode()


def test_no_file_is_a_page_that_says_so(alice: Caller, reader: Keeper):
    document = Document.objects.get(pk=alice.document()["id"])

    assert "download/" not in reader.get(f"api/document/{document.pk}/change/").content.decode()
    answer = reader.get(download(document))

    assert answer.status_code == 404
    assert "There is no file:" in answer.content.decode()


def test_a_store_that_is_down_is_a_page_that_says_so(document: Document, reader: Keeper, monkeypatch):
    def trouble(*args: Any) -> None:
        raise StorageUnavailable("down")

    monkeypatch.setattr(LocalStorage, "download_tokens", trouble)

    answer = reader.get(download(document))

    assert answer.status_code == 503
    assert "does not answer" in answer.content.decode()


def test_pictures_of_the_catalogue_need_no_signature(curator: Caller, db):
    for kind in ENTRIES:
        row = with_picture(kind, curator)
        page = Keeper("looker", f"view_{kind}").get(f"api/{kind}/{row.pk}/change/").content.decode()
        assert f'src="{row.image.webp_320.url}"' in page
        assert "token=" not in page


# --- Deletion --------------------------------------------------------------------------------------------


@pytest.fixture
def avatar(alice: Caller) -> Profile:
    ticket = alice.post("profiles/me/upload-url/", ANNOUNCED).json()
    send(ticket, PICTURE)
    assert alice.complete(ticket).status_code == 200
    return Profile.objects.get(pk=alice.id)


def deletion(row: Any) -> str:
    return f"api/{row._meta.model_name}/{row.pk}/delete-file/"


def link(row: Any) -> bytes:
    return f'href="/admin/{deletion(row)}"'.encode()


def change_page_of(row: Any) -> str:
    return f"api/{row._meta.model_name}/{row.pk}/change/"


@pytest.mark.parametrize("kind", ["document", "profile"])
def test_a_file_is_deleted_and_its_row_stays(
    kind: str, document: Document, avatar: Profile, calls_outside_transactions
):
    row = {"document": document, "profile": avatar}[kind]
    keeper = Keeper("keeper", f"change_{kind}")
    assert link(row) in keeper.get(change_page_of(row)).content

    assert b"will be deleted for good" in keeper.get(deletion(row)).content
    answer = keeper.post(deletion(row))

    assert answer.headers["Location"] == f"/admin/{change_page_of(row)}"
    assert keys_of("documents" if kind == "document" else "originals") == set()
    assert keys_of("user-profiles") == set() or kind == "document"
    row.refresh_from_db()
    assert link(row) not in keeper.get(change_page_of(row)).content
    name = {"document": "Deleted file “guía.pdf”.", "profile": "Deleted avatar “penguin.jpg”."}[kind]
    assert LogEntry.objects.get().get_change_message() == name


def test_asking_deletes_nothing(document: Document):
    Keeper("keeper", "change_document").get(deletion(document))

    assert keys_of("documents") == {document.file.name}


def test_only_who_may_change_documents_deletes_their_files(document: Document, reader: Keeper):
    assert link(document) not in reader.get(change_page_of(document)).content
    for who in (reader, Keeper("deleter", "delete_document", "view_document"), Keeper("x", *MAY_CHANGE)):
        assert who.get(deletion(document)).status_code == 403
        assert who.post(deletion(document)).status_code == 403
    assert Client().post(f"/admin/{deletion(document)}").headers["Location"].startswith("/admin/login/")
    assert keys_of("documents") == {document.file.name}


def test_another_site_cannot_delete_a_file(document: Document):
    strict = Keeper("keeper", "change_document", enforce_csrf_checks=True)

    assert strict.post(deletion(document)).status_code == 403

    assert keys_of("documents") == {document.file.name}


def test_a_file_that_is_not_there_is_told(document: Document, transactional_db):
    keeper = Keeper("keeper", "change_document")
    keeper.post(deletion(document))

    for answer in (keeper.post(deletion(document)), keeper.get(deletion(document))):
        assert answer.status_code == 302
    assert "There is no file" in told(keeper)
    assert LogEntry.objects.count() == 1


@pytest.mark.parametrize("bad", ["x", "1", "%00", NOBODYS])
def test_no_file_is_deleted_of_what_does_not_exist(bad: str, db):
    assert Keeper("keeper", "change_document").post(f"api/document/{bad}/delete-file/").status_code == 404


def test_a_store_that_is_down_keeps_nobody_from_deleting_a_file(
    document: Document, transactional_db, monkeypatch
):
    monkeypatch.setattr(LocalStorage, "delete_object", down)

    assert Keeper("keeper", "change_document").post(deletion(document)).status_code == 302

    document.refresh_from_db()
    assert not document.file
