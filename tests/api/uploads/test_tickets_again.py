"""A ticket that the client has lost, read again: for its owner alone, as long as a file is to be sent."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from api.models import Document, Upload
from api.throttling import TicketRateThrottle
from storage.local import LocalStorage
from tests.api.uploads.test_resumable_uploads import begin, send_part
from tests.support.cast import PDF, Caller, announcement, code, down, expire, send


def read_again(who: Caller, ticket: dict) -> Any:
    return who.get(f"uploads/{ticket['id']}/ticket/")


def test_a_ticket_is_read_again_with_a_url_that_works(alice: Caller):
    ticket = alice.ticket(alice.document())

    answer = read_again(alice, ticket)
    again = answer.json()

    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert again.keys() == ticket.keys()
    for name in ("id", "state", "bucket", "path", "limits", "complete_url"):
        assert again[name] == ticket[name]
    assert send(again).status_code == 200
    assert alice.complete(ticket).status_code == 200


@pytest.mark.parametrize("url", [1800, 90])
def test_it_expires_with_its_new_url(url: int, alice: Caller, settings):
    ticket = alice.ticket(alice.document())
    Upload.objects.update(expires_at=timezone.now() - timedelta(hours=3))
    settings.UPLOAD_URL_TTL = url

    again = read_again(alice, ticket).json()

    expires_at = datetime.fromisoformat(again["expires_at"])
    assert timedelta(0) < expires_at - timezone.now() <= timedelta(seconds=url)
    assert Upload.objects.get().expires_at == expires_at
    assert again["state"] == "pending"


def test_one_that_has_expired_is_held_to_the_quota(alice: Caller, settings):
    settings.QUOTA_OPEN_TICKETS = 1
    document = alice.document()
    ticket = alice.ticket(document)
    assert read_again(alice, ticket).status_code == 200, "an open ticket counts once"
    expire(ticket)
    alice.ticket(document)

    assert code(read_again(alice, ticket), "quota", "used", "limit") == "quota_exceeded"


def test_nobody_else_gets_the_token(alice: Caller, bob: Caller, curator: Caller, nobody: Caller):
    ticket = alice.ticket(alice.document(visibility="authenticated"))

    for who, expected in ((bob, "not_found"), (curator, "permission_denied"), (nobody, "not_authenticated")):
        answer = read_again(who, ticket)
        assert code(answer) == expected
        assert "token=" not in answer.content.decode()


def test_staff_read_their_own_until_they_are_staff_no_more(alice: Caller, curator: Caller):
    ticket = curator.ticket(alice.document(visibility="authenticated"))

    assert read_again(curator, ticket).json()["id"] == ticket["id"]
    assert code(read_again(Caller(curator.email), ticket)) == "permission_denied"


def test_the_session_of_staff_is_checked(alice: Caller, curator: Caller, monkeypatch):
    """Whoever reads the ticket may write."""
    monkeypatch.setattr("api.uploads.permissions.check_session", lambda request: False)
    hers, theirs = alice.ticket(alice.document()), curator.ticket(curator.document())

    assert read_again(alice, hers).status_code == 200
    assert code(read_again(curator, theirs)) == "permission_denied"


def cancelled(alice: Caller, ticket: dict) -> None:
    alice.delete(f"uploads/{ticket['id']}/")


def completed(alice: Caller, ticket: dict) -> None:
    send(ticket)
    assert alice.complete(ticket).status_code == 200


def rejected(alice: Caller, ticket: dict) -> None:
    send(ticket, PDF + b"more")
    assert alice.complete(ticket).status_code == 422


def expired(alice: Caller, ticket: dict) -> None:
    expire(ticket)
    call_command("sweep")


def held(alice: Caller, ticket: dict) -> None:
    Upload.objects.update(state="held")


def verified(alice: Caller, ticket: dict) -> None:
    Upload.objects.update(state="verifying")


def without_document(alice: Caller, ticket: dict) -> None:
    Document.objects.all().delete()


def deleted_with_its_document(alice: Caller, ticket: dict) -> None:
    alice.delete(f"documents/{Document.objects.get().pk}/")


def arrived(alice: Caller, ticket: dict) -> None:
    send(ticket)


def moved_when_the_store_failed(alice: Caller, ticket: dict) -> None:
    send(ticket)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalStorage, "open_object", down)
        assert alice.complete(ticket).status_code == 503


@pytest.mark.parametrize(
    ("end", "status", "expected"),
    [
        (completed, 409, "ticket_completed"),
        (cancelled, 409, "ticket_cancelled"),
        (expired, 409, "ticket_expired"),
        (held, 409, "held"),
        (verified, 409, "verification_in_progress"),
        (rejected, 422, "size_mismatch"),
        (without_document, 409, "resource_gone"),
        (deleted_with_its_document, 409, "resource_gone"),
        (arrived, 409, "object_arrived"),
        (moved_when_the_store_failed, 409, "object_arrived"),
    ],
)
def test_when_nothing_is_to_be_sent_the_reason_is_told(end: Any, status: int, expected: str, alice: Caller):
    ticket = alice.ticket(alice.document())
    end(alice, ticket)

    answer = read_again(alice, ticket)

    assert (answer.status_code, code(answer)) == (status, expected)


def test_a_store_that_is_down_is_told(alice: Caller, monkeypatch):
    ticket = alice.ticket(alice.document())
    monkeypatch.setattr(LocalStorage, "describe", down)

    assert code(read_again(alice, ticket)) == "storage_unavailable"


def test_a_file_that_was_sent_in_part_is_continued(alice: Caller):
    ticket = alice.ticket(alice.document())
    begun = begin(ticket)
    send_part(ticket, begun, PDF[:10])

    again = read_again(alice, ticket).json()
    where = Client().head(
        urlsplit(begun.headers["Location"]).path,
        headers={**again["resumable"]["headers"], "tus-resumable": "1.0.0"},
    )

    assert again["resumable"]["metadata"] == ticket["resumable"]["metadata"]
    assert where.headers["Upload-Offset"] == "10"
    assert send_part(again, begun, PDF[10:], 10).status_code == 204
    assert alice.complete(ticket).status_code == 200


def test_it_counts_as_a_ticket(alice: Caller, monkeypatch):
    monkeypatch.setitem(TicketRateThrottle.THROTTLE_RATES, "tickets", "3/day")
    ticket = alice.post("documents/", {"title": "One", "upload": announcement()}).json()["ticket"]
    assert alice.post("documents/", {"title": "Without", "upload": None}).status_code == 201
    assert code(alice.post("documents/", {"title": "Two", "upload": {}})) == "invalid"
    assert read_again(alice, ticket).status_code == 200

    assert code(read_again(alice, ticket)) == "throttled"
    assert code(alice.post("documents/", {"title": "Three", "upload": announcement()})) == "throttled"
    assert alice.post("documents/", {"title": "Without"}).status_code == 201
    assert Document.objects.count() == 3


@pytest.mark.parametrize(
    "path", ["uploads/nonsense/ticket/", "uploads/01971f6e-8c5b-7a40-b0a5-3d6b1c1f7e55/ticket/"]
)
def test_what_is_no_ticket_is_not_found(path: str, alice: Caller):
    assert code(alice.get(path)) == "not_found"
    assert code(alice.post(path)) == "method_not_allowed"
