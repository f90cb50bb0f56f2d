"""A client that lost the answer repeats the request with the same key, and gets what it has made already."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from api.models import Document, IdempotencyKey, Upload
from storage.errors import ObjectExists, StorageUnavailable
from storage.local import LocalStorage
from tests.support.cases import DATABASES
from tests.support.cast import PDF, Caller, announcement, code, send
from tests.support.server import Server

BODY = {"title": "Feeding plan"}
IMAGE = {"filename": "otter.png", "content_type": "image/png", "size": 1000}


def keyed(who: Caller, path: str, body: Any = BODY, key: str = "one") -> Any:
    return who.post(path, body, headers={"idempotency-key": key})


def ask(who: Caller, document: dict, key: str = "one", **announced: Any) -> Any:
    return keyed(who, f"documents/{document['id']}/upload-url/", announcement(**announced), key)


def age(**ago: float) -> None:
    """Make all keys that much older."""
    for row in IdempotencyKey.objects.all():
        IdempotencyKey.objects.filter(pk=row.pk).update(created_at=row.created_at - timedelta(**ago))


# --- Documents --------------------------------------------------------------------------------------


def test_a_repeated_request_gets_the_same_document(alice: Caller):
    first, second = keyed(alice, "documents/"), keyed(alice, "documents/")

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert first.headers["Location"] == second.headers["Location"]
    assert Document.objects.count() == 1


def test_the_document_is_shown_as_it_is_now(alice: Caller):
    document = keyed(alice, "documents/").json()
    alice.patch(f"documents/{document['id']}/", {"title": "Changed"})

    assert keyed(alice, "documents/").json()["title"] == "Changed"


def test_without_a_key_each_request_makes_a_document(alice: Caller):
    assert alice.document()["id"] != alice.document()["id"]
    assert not IdempotencyKey.objects.exists()


def test_another_key_makes_another_document(alice: Caller):
    assert keyed(alice, "documents/").json()["id"] != keyed(alice, "documents/", key="two").json()["id"]


def test_a_key_is_the_members_own(alice: Caller, bob: Caller):
    assert keyed(alice, "documents/").json()["owner"]["id"] == str(alice.id)
    assert keyed(bob, "documents/").json()["owner"]["id"] == str(bob.id)


def test_the_order_of_the_members_of_a_body_does_not_matter(alice: Caller):
    first = keyed(alice, "documents/", {"title": "a", "category": "b"})

    assert keyed(alice, "documents/", {"category": "b", "title": "a"}).json() == first.json()


def test_a_deleted_document_is_not_made_again(alice: Caller):
    document = keyed(alice, "documents/").json()
    alice.delete(f"documents/{document['id']}/")

    answer = keyed(alice, "documents/")

    assert (answer.status_code, code(answer)) == (409, "resource_gone")
    assert not Document.objects.exists()


def test_a_refused_request_may_be_corrected_under_the_same_key(alice: Caller):
    assert code(keyed(alice, "documents/", {"title": ""})) == "invalid"

    assert keyed(alice, "documents/").status_code == 201


# --- The key ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [{"title": "Another"}, {"title": ""}, {}, ["Feeding plan"]])
def test_a_key_with_another_body_is_refused(body: Any, alice: Caller):
    keyed(alice, "documents/")

    answer = keyed(alice, "documents/", body)

    assert (answer.status_code, code(answer)) == (422, "idempotency_key_reused")
    assert Document.objects.count() == 1


def test_a_key_with_another_path_is_refused(alice: Caller):
    one, two = alice.document(), alice.document()
    ask(alice, one)

    assert code(ask(alice, two)) == "idempotency_key_reused"
    assert code(keyed(alice, "documents/")) == "idempotency_key_reused"


@pytest.mark.parametrize("key", ["", '""', '"', "x" * 256, f'"{"x" * 256}"', "a\tb", "clé"])
def test_a_malformed_key_is_refused(key: str, alice: Caller):
    answer = keyed(alice, "documents/", key=key)

    assert (answer.status_code, code(answer)) == (400, "malformed")
    assert not Document.objects.exists()


@pytest.mark.parametrize("key", ["x", "x" * 255, "8e03978e-40d5-43dd-bc93-6894a57f9324", "a b;c=d"])
def test_a_key_is_the_same_with_and_without_quotes(key: str, alice: Caller):
    first = keyed(alice, "documents/", key=key)

    assert keyed(alice, "documents/", key=f'"{key}"').json() == first.json()


def test_a_key_works_for_a_day(alice: Caller):
    first = keyed(alice, "documents/").json()
    age(hours=23, minutes=59)
    assert keyed(alice, "documents/").json() == first

    age(minutes=1)

    assert keyed(alice, "documents/", {"title": "Another"}).json()["id"] != first["id"]


def test_expired_keys_are_purged(alice: Caller):
    keyed(alice, "documents/", key="old")
    age(hours=24)
    keyed(alice, "documents/", key="new")

    call_command("sweep")

    assert [row.key for row in IdempotencyKey.objects.all()] == ["new"]


def test_an_erased_member_leaves_no_keys(alice: Caller, bob: Caller):
    keyed(alice, "documents/")
    keyed(bob, "documents/")

    assert alice.delete("profiles/me/").status_code == 200

    assert [row.owner for row in IdempotencyKey.objects.all()] == [bob.id]


def test_a_body_that_is_nested_too_deeply_is_refused(alice: Caller):
    for depth in range(200, 1100, 25):
        body = "[" * depth + "]" * depth
        answer = alice.client.post(
            "/api/v1/documents/", body, content_type="application/json", headers={"idempotency-key": "deep"}
        )
        assert answer.status_code == 400, depth


def test_browsers_may_send_the_header(settings):
    settings.CORS_ALLOWED_ORIGINS = ["https://zoo.example.org"]

    answer = Client().options(
        "/api/v1/documents/",
        headers={
            "origin": "https://zoo.example.org",
            "access-control-request-method": "POST",
            "access-control-request-headers": "idempotency-key",
        },
    )

    assert "idempotency-key" in answer.headers["Access-Control-Allow-Headers"]


# --- Tickets ----------------------------------------------------------------------------------------


def test_a_repeated_request_gets_the_same_ticket_which_works(alice: Caller):
    document = alice.document()
    first, second = ask(alice, document), ask(alice, document)

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.headers["Location"] == first.headers["Location"]
    assert second.headers["Cache-Control"] == "no-store"
    for name in ("id", "path", "state", "limits", "complete_url"):
        assert second.json()[name] == first.json()[name]
    assert Upload.objects.count() == 1
    assert send(second.json()).status_code == 200
    assert alice.complete(first.json()).status_code == 200


@pytest.mark.parametrize(
    ("path", "field"), [("profiles/me/upload-url/", "avatar"), ("species/otter/upload-url/", "image")]
)
def test_every_upload_url_has_it(path: str, field: str, curator: Caller):
    curator.post("species/", {"common_name": "Otter", "scientific_name": "Lutra lutra"})

    first, second = keyed(curator, path, IMAGE).json(), keyed(curator, path, IMAGE).json()

    assert first["id"] == second["id"]
    assert Upload.objects.get().field_name == field


def test_the_ticket_is_renewed(alice: Caller):
    document = alice.document()
    ticket = ask(alice, document).json()
    Upload.objects.update(expires_at=timezone.now() - timedelta(hours=12))

    again = ask(alice, document).json()

    assert again["id"] == ticket["id"]
    assert alice.get(f"uploads/{ticket['id']}/").json()["expires_at"] == again["expires_at"]
    assert alice.get(f"uploads/{ticket['id']}/").json()["state"] == "pending"


def test_a_renewed_ticket_is_held_to_the_quota(alice: Caller, settings):
    settings.QUOTA_OPEN_TICKETS = 1
    document = alice.document()
    ask(alice, document)
    assert ask(alice, document).status_code == 201, "an open ticket counts once"
    Upload.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    alice.ticket(document)

    assert code(ask(alice, document), "quota", "used", "limit") == "quota_exceeded"


def test_a_file_that_was_sent_is_not_asked_for_again(alice: Caller):
    document = alice.document()
    ticket = ask(alice, document).json()
    send(ticket)

    answer = ask(alice, document)

    assert (answer.status_code, answer.json()["state"]) == (200, "pending")
    assert answer.json() == alice.get(answer.headers["Location"]).json()
    assert alice.post(f"{answer.headers['Location']}complete/").status_code == 200
    assert ask(alice, document).json()["state"] == "completed"


def test_a_file_that_arrives_just_now_is_not_asked_for_again(alice: Caller, monkeypatch):
    """Supabase signs no upload URL for an object that exists."""
    document = alice.document()
    ask(alice, document)

    def refuse(*args: Any, **options: Any) -> Any:
        raise ObjectExists

    monkeypatch.setattr(LocalStorage, "sign_upload", refuse)

    assert ask(alice, document).status_code == 200


@pytest.mark.parametrize("end", ["cancelled", "rejected"])
def test_a_ticket_that_has_ended_is_shown(end: str, alice: Caller):
    document = alice.document()
    announced = {"size": 1} if end == "rejected" else {}
    ticket = ask(alice, document, **announced).json()
    if end == "cancelled":
        alice.delete(f"uploads/{ticket['id']}/")
    else:
        send(ticket)
        alice.complete(ticket)

    answer = ask(alice, document, **announced)

    assert (answer.status_code, answer.json()["state"]) == (200, end)
    assert Upload.objects.count() == 1


@pytest.mark.parametrize("end", ["purged", "expired"])
def test_a_ticket_of_which_nothing_is_left_is_issued_anew(end: str, alice: Caller):
    document = alice.document()
    ticket = ask(alice, document).json()
    if end == "purged":
        Upload.objects.all().delete()
    else:
        Upload.objects.update(state=Upload.State.EXPIRED)

    again = ask(alice, document)

    assert again.status_code == 201
    assert again.json()["id"] != ticket["id"]
    assert ask(alice, document).json()["id"] == again.json()["id"]


def test_a_ticket_for_a_document_that_was_deleted_or_is_hidden_now(
    alice: Caller, bob: Caller, curator: Caller
):
    document = alice.document(visibility="authenticated")
    ask(curator, document)
    ask(alice, document)

    assert code(ask(bob, document)) == "permission_denied"
    alice.delete(f"documents/{document['id']}/")
    for who in (alice, curator):
        assert code(ask(who, document)) == "not_found"


def test_a_ticket_that_could_not_be_signed_leaves_no_key(alice: Caller, monkeypatch):
    document = alice.document()

    def fail(*args: Any, **options: Any) -> Any:
        raise StorageUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "sign_upload", fail)
        assert code(ask(alice, document)) == "storage_unavailable"

    assert not IdempotencyKey.objects.exists()
    assert ask(alice, document).status_code == 201


# --- Many at once -----------------------------------------------------------------------------------


@pytest.mark.parametrize("where", DATABASES)
def test_ten_requests_at_once_with_one_key_get_one_document_and_one_ticket(where: str, request):
    """The others wait for the first, and find its key. They need no place in the quota."""
    server: Server = request.getfixturevalue(where)
    alice = server.client(f"{uuid4()}@example.org")
    headers = {"Idempotency-Key": str(uuid4())}
    documents = at_once(lambda: alice.post("/api/v1/documents/", json=BODY, headers=headers))
    assert [answer.text for answer in documents if answer.status_code != 201] == []
    path = f"/api/v1/documents/{documents[0].json()['id']}/upload-url/"
    fill(alice, path)

    headers = {"Idempotency-Key": str(uuid4())}
    tickets = at_once(lambda: alice.post(path, json=announcement(), headers=headers))

    assert [answer.text for answer in tickets if answer.status_code != 201] == []
    for answers in (documents, tickets):
        assert len({answer.json()["id"] for answer in answers}) == 1
    assert alice.get("/api/v1/uploads/").json()["count"] == 50
    ticket = tickets[-1].json()
    assert httpx.put(ticket["url"], content=PDF, headers=ticket["headers"]).status_code == 200


def fill(client: httpx.Client, path: str) -> None:
    """Leave room for one ticket."""
    for _ in range(49):
        assert client.post(path, json=announcement(size=1)).status_code == 201


def at_once(act: Any, times: int = 10) -> list[Any]:
    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(lambda _: act(), range(times)))
