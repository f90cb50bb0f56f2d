"""A document and the ticket for its file, made by one request: both or neither."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api.models import Document, IdempotencyKey, Profile, Upload
from storage.local import LocalStorage
from tests.support.cases import DATABASES
from tests.support.cast import PDF, Caller, announcement, body, code, down, fetch, send
from tests.support.server import Server


def ask(who: Caller, upload: Any = None, key: str = "", **fields: Any) -> Any:
    """Ask for a document with a ticket."""
    headers = {"idempotency-key": key} if key else {}
    sent = {"title": "Feeding plan", "upload": announcement() if upload is None else upload, **fields}
    return who.post("documents/", sent, headers=headers)


def test_one_request_makes_a_document_and_a_ticket_that_works(alice: Caller):
    answer = ask(alice, category="care")
    document = answer.json()
    ticket = document["ticket"]
    path = f"documents/{document['id']}/"

    assert answer.status_code == 201
    assert answer.headers["Location"] == f"http://testserver/api/v1/{path}"
    assert answer.headers["Cache-Control"] == "no-store"
    assert {**alice.get(path).json(), "ticket": ticket} == document
    assert (document["category"], document["file"], document["owner"]["id"]) == ("care", None, str(alice.id))
    assert ticket.keys() == alice.ticket(document).keys()
    assert alice.get(f"uploads/{ticket['id']}/").json()["resource"] == answer.headers["Location"]
    assert send(ticket).status_code == 200
    assert alice.complete(ticket).status_code == 200
    assert body(fetch(alice.download_url(document))) == PDF


def test_it_may_be_the_first_request_of_a_member(alice: Caller):
    assert not Profile.objects.exists()

    assert ask(alice).status_code == 201


@pytest.mark.parametrize("fields", [{}, {"upload": None}])
def test_without_a_file_there_is_no_ticket(fields: dict, alice: Caller):
    answer = alice.post("documents/", {"title": "Feeding plan", **fields})

    assert answer.status_code == 201
    assert "ticket" not in answer.json()
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert not Upload.objects.exists()


@pytest.mark.parametrize(
    ("upload", "pointers"),
    [
        ({"size": 0}, ["#/upload/filename", "#/upload/content_type", "#/upload/size"]),
        ({}, ["#/upload/filename", "#/upload/content_type", "#/upload/size"]),
        (announcement(size=50 * 1024 * 1024 + 1), ["#/upload/size"]),
        (announcement(content_type="text/html"), ["#/upload/content_type"]),
        (announcement(content_type="", filename="page.html"), ["#/upload/content_type"]),
        (announcement(filename="a/b.pdf", sha256="x"), ["#/upload/filename", "#/upload/sha256"]),
        ("plan.pdf", ["#/upload"]),
        ([], ["#/upload"]),
        (0, ["#/upload"]),
        (False, ["#/upload"]),
    ],
)
def test_what_is_wrong_with_the_file_is_told_with_all_else(upload: Any, pointers: list, alice: Caller):
    answer = ask(alice, upload, title="", visibility="nobody")

    assert (answer.status_code, code(answer)) == (400, "invalid")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/title", "#/visibility", *pointers]
    assert code(ask(alice, upload, key="one")) == "invalid"
    assert not Document.objects.exists()
    assert not Upload.objects.exists()
    assert not IdempotencyKey.objects.exists()


def test_an_empty_type_is_that_of_the_file_name(alice: Caller):
    ticket = ask(alice, announcement(content_type="", filename="plan.PDF\u200e ")).json()["ticket"]

    assert ticket["headers"]["content-type"] == "application/pdf"


def test_beyond_the_quota_there_is_no_document(alice: Caller, settings):
    settings.QUOTA_OPEN_TICKETS = 1
    ask(alice)

    refused = ask(alice, key="one")

    assert code(refused, "quota", "used", "limit") == "quota_exceeded"
    assert Document.objects.count() == 1
    assert not IdempotencyKey.objects.exists()
    assert alice.post("documents/", {"title": "Without a file"}).status_code == 201


def test_a_ticket_that_cannot_be_signed_leaves_no_document(alice: Caller, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "sign_upload", down)
        answer = ask(alice, key="one")

    assert (answer.status_code, code(answer)) == (503, "storage_unavailable")
    assert not Document.objects.exists()
    assert not IdempotencyKey.objects.exists()
    assert ask(alice, key="one").status_code == 201


def test_an_erased_member_leaves_neither(alice: Caller):
    ask(alice)

    erased = alice.delete("profiles/me/").json()

    assert (erased["documents"], erased["tickets"]) == (1, 1)
    assert not Document.objects.exists()
    assert not Upload.objects.exists()


# --- Repeated requests --------------------------------------------------------------------------------


def test_a_repeated_request_gets_the_same_document_and_ticket(alice: Caller):
    first, second = ask(alice, key="one"), ask(alice, key="one")

    assert (first.status_code, second.status_code) == (201, 201)
    for name in ("id", "path", "state"):
        assert second.json()["ticket"][name] == first.json()["ticket"][name]
    assert second.json()["id"] == first.json()["id"]
    assert second.headers["Location"] == first.headers["Location"]
    assert (Document.objects.count(), Upload.objects.count()) == (1, 1)
    assert send(second.json()["ticket"]).status_code == 200
    assert alice.complete(first.json()["ticket"]).status_code == 200


@pytest.mark.parametrize("end", ["arrived", "completed", "rejected", "expired"])
def test_there_is_no_ticket_when_nothing_is_to_be_sent(end: str, alice: Caller):
    upload = announcement(size=1) if end == "rejected" else announcement()
    document = ask(alice, upload, key="one").json()
    if end == "expired":
        Upload.objects.update(state="expired")
    else:
        send(document["ticket"])
    if end in ("completed", "rejected"):
        alice.complete(document["ticket"])

    again = ask(alice, upload, key="one")

    assert (again.status_code, again.json()["id"], again.json()["ticket"]) == (201, document["id"], None)
    assert (again.json()["file"] is not None) is (end == "completed")
    assert Upload.objects.count() == 1


def test_what_was_cancelled_is_not_made_again(alice: Caller):
    document = ask(alice, key="one").json()
    alice.delete(f"uploads/{document['ticket']['id']}/")

    answer = ask(alice, key="one")

    assert (answer.status_code, code(answer)) == (409, "resource_gone")
    assert not Document.objects.exists()


def test_the_file_is_part_of_the_request(alice: Caller):
    ask(alice, key="one")

    assert code(ask(alice, announcement(size=7), key="one")) == "idempotency_key_reused"
    assert code(alice.post("documents/", {"title": "x"}, headers={"idempotency-key": "one"})) == (
        "idempotency_key_reused"
    )


@pytest.mark.parametrize("where", DATABASES)
def test_ten_requests_at_once_with_one_key_get_one_document_and_one_ticket(where: str, request):
    server: Server = request.getfixturevalue(where)
    alice = server.client(f"{uuid4()}@example.org")
    headers = {"Idempotency-Key": str(uuid4())}
    sent = {"title": "Race", "upload": announcement()}

    def act(number: int) -> httpx.Response:
        return alice.post("/api/v1/documents/", json=sent, headers=headers)

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(act, range(10)))

    assert [answer.text for answer in answers if answer.status_code != 201] == []
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len({answer.json()["ticket"]["id"] for answer in answers}) == 1
    assert alice.get("/api/v1/uploads/").json()["count"] == 1
    assert alice.get("/api/v1/documents/?owner=me").json()["count"] == 1


@pytest.mark.parametrize("where", DATABASES)
def test_one_key_for_different_requests_at_once_is_refused_and_blocks_nobody(where: str, request):
    """Those that create a document and those that ask for a ticket take their locks in the same order."""
    server: Server = request.getfixturevalue(where)
    alice = server.client(f"{uuid4()}@example.org")
    document = alice.post("/api/v1/documents/", json={"title": "Race"}).json()
    path = f"/api/v1/documents/{document['id']}/upload-url/"
    new = {"title": "Race", "upload": announcement()}

    def act(number: int) -> httpx.Response:
        headers = {"Idempotency-Key": f"{document['id']} {number // 6}"}
        if number % 2:
            return alice.post(path, json=announcement(), headers=headers)
        return alice.post("/api/v1/documents/", json=new, headers=headers)

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(act, range(36)))

    assert [answer.text for answer in answers if answer.status_code not in (201, 422)] == []
    assert {answer.json()["code"] for answer in answers if answer.status_code == 422} == {
        "idempotency_key_reused"
    }
