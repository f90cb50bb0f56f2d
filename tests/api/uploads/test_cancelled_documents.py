"""What becomes of a document that was made together with a ticket, when the ticket is given up."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest
from django.core.management import call_command

from api.models import Document, Upload
from api.uploads import claims, verification
from storage.local import LocalStorage
from tests.api.documents.test_documents import keys_of
from tests.support.cases import DATABASES
from tests.support.cast import PDF, Caller, announcement, code, expire, send
from tests.support.server import Server


def new(who: Caller) -> tuple[dict, dict]:
    """A document, and the ticket that was made with it."""
    document = who.post("documents/", {"title": "Feeding plan", "upload": announcement()}).json()
    return document, document["ticket"]


def cancel(who: Caller, ticket: dict) -> Any:
    return who.delete(f"uploads/{ticket['id']}/")


def test_a_document_that_never_had_a_file_goes_with_its_ticket(alice: Caller):
    document, ticket = new(alice)
    send(ticket)
    other = alice.document()

    assert [cancel(alice, ticket).status_code for _ in range(2)] == [204, 204]

    assert code(alice.get(f"documents/{document['id']}/")) == "not_found"
    assert [str(left.pk) for left in Document.objects.all()] == [other["id"]]
    assert keys_of("uploads") == set()
    upload = alice.get(f"uploads/{ticket['id']}/").json()
    assert (upload["state"], upload["resource"]) == ("cancelled", None)
    assert code(alice.complete(ticket)) == "ticket_cancelled"


def test_a_document_that_was_made_before_its_ticket_stays(alice: Caller):
    document = alice.document()
    cancel(alice, alice.ticket(document))

    assert alice.get(f"documents/{document['id']}/").status_code == 200


def take_a_file(alice: Caller, document: dict) -> None:
    ticket = alice.ticket(document)
    send(ticket)
    assert alice.complete(ticket).status_code == 200


def take_and_delete_a_file(alice: Caller, document: dict) -> None:
    take_a_file(alice, document)
    assert alice.delete(f"documents/{document['id']}/file/").status_code == 204


def keep_a_file_of_which_no_ticket_is_left(alice: Caller, document: dict) -> None:
    take_a_file(alice, document)
    Upload.objects.filter(state="completed").delete()


def ask_for_another_ticket(alice: Caller, document: dict) -> None:
    alice.ticket(document)


def let_another_ticket_expire(alice: Caller, document: dict) -> None:
    """Its file may still arrive."""
    expire(alice.ticket(document))


def mark_another_ticket_as_expired(alice: Caller, document: dict) -> None:
    let_another_ticket_expire(alice, document)
    call_command("sweep")


def have_a_file_verified(alice: Caller, document: dict) -> None:
    ticket = alice.ticket(document)
    Upload.objects.filter(pk=ticket["id"]).update(state="verifying")


@pytest.mark.parametrize(
    "act",
    [
        take_a_file,
        take_and_delete_a_file,
        keep_a_file_of_which_no_ticket_is_left,
        ask_for_another_ticket,
        let_another_ticket_expire,
        mark_another_ticket_as_expired,
        have_a_file_verified,
    ],
)
def test_a_document_that_had_or_may_get_a_file_stays(act: Callable[[Caller, dict], None], alice: Caller):
    document, ticket = new(alice)
    act(alice, document)

    assert cancel(alice, ticket).status_code == 204

    assert alice.get(f"documents/{document['id']}/").status_code == 200


@pytest.mark.parametrize("end", ["cancelled", "rejected"])
def test_other_tickets_that_are_over_do_not_keep_it(end: str, alice: Caller):
    document, ticket = new(alice)
    other = alice.ticket(document, size=1)
    if end == "cancelled":
        cancel(alice, other)
    else:
        send(other)
        assert alice.complete(other).status_code == 422
    assert Document.objects.exists()

    cancel(alice, ticket)

    assert not Document.objects.exists()


def test_after_a_rejection_another_file_may_be_sent(alice: Caller):
    document, ticket = new(alice)
    send(ticket, b"no PDF")
    assert alice.complete(ticket).status_code == 422
    assert cancel(alice, ticket).status_code == 204

    take_a_file(alice, document)

    assert alice.get(f"documents/{document['id']}/").json()["file"]


def test_after_its_ticket_has_expired_a_late_file_is_recorded(alice: Caller):
    document, ticket = new(alice)
    expire(ticket)
    call_command("sweep")
    assert alice.get(f"uploads/{ticket['id']}/").json()["state"] == "expired"

    send(ticket)

    assert alice.complete(ticket).status_code == 200
    assert alice.get(f"documents/{document['id']}/").json()["file"]


@pytest.mark.parametrize("state", ["expired", "held"])
def test_an_expired_or_held_ticket_is_given_up_with_its_document(state: str, alice: Caller):
    _, ticket = new(alice)
    Upload.objects.update(state=state)

    assert cancel(alice, ticket).status_code == 204

    assert not Document.objects.exists()


def test_a_document_may_be_deleted_before_its_ticket_is_given_up(alice: Caller):
    document, ticket = new(alice)
    assert alice.delete(f"documents/{document['id']}/").status_code == 204

    assert cancel(alice, ticket).status_code == 204


def test_staff_can_neither_give_up_the_ticket_nor_delete_the_document_by_it(alice: Caller, curator: Caller):
    document, ticket = new(alice)

    assert code(cancel(curator, ticket)) == "permission_denied"

    assert alice.get(f"documents/{document['id']}/").status_code == 200


# --- Others at the same time ----------------------------------------------------------------------------


def test_the_file_wins_over_a_cancellation_during_its_verification(alice: Caller, monkeypatch):
    monkeypatch.setattr("api.uploads.lifecycle.WAIT_SECONDS", 0.1)
    document, ticket = new(alice)
    send(ticket)
    verify, answers = verification.verify, []

    def overtaken(*args: Any) -> Any:
        answers.append(cancel(alice, ticket))
        return verify(*args)

    monkeypatch.setattr(verification, "verify", overtaken)
    assert alice.complete(ticket).status_code == 200

    assert code(answers[0]) == "verification_in_progress"
    assert code(cancel(alice, ticket)) == "ticket_completed"
    assert alice.get(f"documents/{document['id']}/").json()["file"]


def test_another_ticket_is_not_issued_for_a_document_that_goes_meanwhile(alice: Caller, monkeypatch):
    document, ticket = new(alice)
    sign = LocalStorage.sign_upload

    def overtaken(*args: Any, **options: Any) -> Any:
        cancel(alice, ticket)
        return sign(*args, **options)

    monkeypatch.setattr(LocalStorage, "sign_upload", overtaken)
    answer = alice.post(f"documents/{document['id']}/upload-url/", announcement())

    assert (answer.status_code, code(answer)) == (404, "not_found")
    assert Upload.objects.count() == 1
    assert not Document.objects.exists()


def test_a_cancellation_that_lost_its_claim_deletes_nothing(alice: Caller, monkeypatch):
    """Another caller took over, and records the file."""
    document, ticket = new(alice)
    send(ticket)
    claim = claims.claim

    def overtaken(*args: Any) -> Any:
        claimed = claim(*args)
        Upload.objects.update(claim_id=None, state="completed")
        return claimed

    monkeypatch.setattr(claims, "claim", overtaken)

    assert code(cancel(alice, ticket)) == "ticket_completed"
    assert alice.get(f"documents/{document['id']}/").status_code == 200


@pytest.mark.parametrize("where", DATABASES)
def test_cancellations_tickets_and_completions_at_once(where: str, request):
    """Whatever comes first, no ticket is issued for a document that goes, and no file is lost."""
    server: Server = request.getfixturevalue(where)
    alice = server.client(f"{uuid4()}@example.org")
    for number in range(6):
        sent = {"title": "Race", "upload": announcement()}
        document = alice.post("/api/v1/documents/", json=sent).json()
        path, ticket = f"/api/v1/documents/{document['id']}/", document["ticket"]
        if number % 2:
            httpx.put(ticket["url"], content=PDF, headers=ticket["headers"]).raise_for_status()
        acts = [
            lambda ticket=ticket: alice.delete(f"/api/v1/uploads/{ticket['id']}/"),
            lambda path=path: alice.post(f"{path}upload-url/", json=announcement()),
            lambda ticket=ticket: alice.post(ticket["complete_url"]),
        ] * 2

        with ThreadPoolExecutor(len(acts)) as pool:
            answers = list(pool.map(lambda act: act(), acts))

        assert [answer.text for answer in answers if answer.status_code >= 500] == []
        exists = alice.get(path).status_code == 200
        issued, completed = (
            [answer for answer in answers[start::3] if answer.status_code in (200, 201)] for start in (1, 2)
        )
        assert exists is bool(issued or completed)
        assert exists or {answer.status_code for answer in answers[1::3]} == {404}
