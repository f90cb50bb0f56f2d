"""Tickets: what may be announced, what a ticket says, and giving it up."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest
from django.utils import timezone

from api.documents.models import Document
from api.models import Upload
from storage.keys import suffix
from storage.local import LocalStorage
from tests.api.documents.test_documents import keys_of
from tests.support.cast import PDF, Caller, announcement, code, down, fetch, send


def test_a_ticket_has_all_that_a_client_needs(alice: Caller, settings):
    answer = alice.post(f"documents/{alice.document()['id']}/upload-url/", announcement())
    ticket = answer.json()

    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Location"] == f"http://testserver/api/v1/uploads/{ticket['id']}/"
    assert ticket["complete_url"] == f"http://testserver/api/v1/uploads/{ticket['id']}/complete/"
    assert (ticket["state"], ticket["method"], ticket["bucket"]) == ("pending", "PUT", "uploads")
    assert ticket["path"].startswith(f"{ticket['id']}/")
    assert ticket["path"].endswith(".pdf")
    assert ticket["url"] == (
        f"{settings.SUPABASE_URL}/storage/v1/object/upload/sign/uploads/{ticket['path']}?token={ticket['token']}"
    )
    assert ticket["headers"] == {
        "content-type": "application/pdf",
        "x-upsert": "false",
        "cache-control": "max-age=3600",
    }
    assert ticket["resumable"] == {
        "protocol": "tus",
        "endpoint": f"{settings.SUPABASE_URL}/storage/v1/upload/resumable/sign",
        "headers": {"x-signature": ticket["token"]},
        "chunk_size": 6 * 1024 * 1024,
        "metadata": {
            "bucketName": "uploads",
            "objectName": ticket["path"],
            "contentType": "application/pdf",
            "cacheControl": "3600",
        },
    }
    assert ticket["limits"] == {
        "max_bytes": 50 * 1024 * 1024,
        "content_types": ["application/pdf", "image/jpeg", "image/png"],
    }


def test_a_ticket_expires_when_its_token_does(alice: Caller, settings):
    settings.UPLOAD_URL_TTL = 90
    ticket = alice.ticket(alice.document())

    claims = jwt.decode(ticket["token"], options={"verify_signature": False})

    assert claims["exp"] - claims["iat"] == 90
    assert datetime.fromisoformat(ticket["expires_at"]) == datetime.fromtimestamp(claims["exp"], UTC)
    assert Upload.objects.get().expires_at == datetime.fromtimestamp(claims["exp"], UTC)


def test_the_token_is_kept_nowhere(alice: Caller):
    ticket = alice.ticket(alice.document())

    read = alice.get(f"uploads/{ticket['id']}/")

    assert ticket["token"] not in read.content.decode()
    assert ticket["token"] not in str(Upload.objects.values().get())


@pytest.mark.parametrize(
    ("announced", "pointer"),
    [
        ({"content_type": "text/html"}, "#/content_type"),
        ({"content_type": "application/pdf\x00"}, "#/content_type"),
        ({"content_type": "", "filename": "guía"}, "#/content_type"),
        ({"content_type": "", "filename": "page.html"}, "#/content_type"),
        ({"content_type": None}, "#/content_type"),
        ({"size": 0}, "#/size"),
        ({"size": -1}, "#/size"),
        ({"size": 50 * 1024 * 1024 + 1}, "#/size"),
        ({"size": 10**30}, "#/size"),
        ({"size": 1e300}, "#/size"),
        ({"size": "large"}, "#/size"),
        ({"size": None}, "#/size"),
        ({"size": [1]}, "#/size"),
        ({"sha256": "abc"}, "#/sha256"),
        ({"sha256": "g" * 64}, "#/sha256"),
        ({"filename": ""}, "#/filename"),
        ({"filename": "   "}, "#/filename"),
        ({"filename": "x" * 256}, "#/filename"),
        ({"filename": "x" * 10_000}, "#/filename"),
        ({"filename": "../../etc/passwd"}, "#/filename"),
        ({"filename": "a/b.pdf"}, "#/filename"),
        ({"filename": "a\\b.pdf"}, "#/filename"),
        ({"filename": ".."}, "#/filename"),
        ({"filename": "a\x00.pdf"}, "#/filename"),
        ({"filename": "a\r\nX-Evil: 1.pdf"}, "#/filename"),
        ({"filename": "\u202efdp.exe"}, "#/filename"),
        ({"filename": "\u200b"}, "#/filename"),
        ({"filename": "a\u2028.pdf"}, "#/filename"),
        ({"filename": "\ud800.pdf"}, "#/filename"),
    ],
)
def test_a_senseless_announcement_is_refused(announced: dict, pointer: str, alice: Caller):
    document = alice.document()

    answer = alice.post(f"documents/{document['id']}/upload-url/", announcement(**announced))

    assert code(answer) == "invalid"
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert not Upload.objects.exists()


@pytest.mark.parametrize(
    "filename",
    [
        "guía.pdf",
        "🐧.pdf",
        "%2e%2e%2fx.pdf",
        "'; drop table --.pdf",
        "x" * 255,
        "a b.PDF",
        "ملف.pdf",
        "👩\u200d🚀.pdf",
    ],
)
def test_odd_names_are_harmless(filename: str, alice: Caller):
    """The name is kept for people; the key is of the server's making."""
    document = alice.document()
    ticket = alice.ticket(document, filename=filename)
    send(ticket)

    assert alice.complete(ticket).status_code == 200

    assert alice.get(f"documents/{document['id']}/").json()["file"]["name"] == filename
    assert Document.objects.get().file.name.isascii()
    served = fetch(alice.download_url(document, download=""))
    assert served.headers["Content-Disposition"].isascii()


def test_a_file_name_is_cleaned_as_every_text(alice: Caller):
    document = alice.document()
    ticket = alice.ticket(document, filename="\u200fgui\u0301a\u200b.pdf\u200e")
    send(ticket)
    alice.complete(ticket)

    assert alice.get(f"documents/{document['id']}/").json()["file"]["name"] == "gu\u00eda.pdf"
    served = fetch(alice.download_url(document, download=""))
    assert "filename*=UTF-8''gu%C3%ADa.pdf" in served.headers["Content-Disposition"]
    assert "%E2%80" not in alice.download_url(document, download="\u202efdp.exe")


@pytest.mark.parametrize(
    ("declared", "filename", "canonical"),
    [
        ("image/jpg", "otter.jpg", "image/jpeg"),
        ("IMAGE/PJPEG", "otter.pdf", "image/jpeg"),
        ("application/x-pdf", "plan.pdf", "application/pdf"),
        ("application/pdf; charset=binary", "plan.pdf", "application/pdf"),
        ("", "plan.PDF\u200e ", "application/pdf"),
        ("application/octet-stream", "otter.jpeg", "image/jpeg"),
    ],
)
def test_a_type_is_taken_as_it_is_meant(declared: str, filename: str, canonical: str, alice: Caller):
    ticket = alice.ticket(alice.document(), content_type=declared, filename=filename)

    assert ticket["headers"]["content-type"] == canonical
    assert ticket["resumable"]["metadata"]["contentType"] == canonical
    assert ticket["path"].endswith(suffix(canonical))
    assert alice.get(f"uploads/{ticket['id']}/").json()["declared"]["content_type"] == canonical


def test_types_and_hashes_are_compared_without_case(alice: Caller):
    document = alice.document()
    plain = announcement()

    ticket = alice.ticket(document, content_type="Application/PDF", sha256=plain["sha256"].upper())
    send(ticket)

    assert alice.complete(ticket).status_code == 200


def test_a_ticket_is_its_owners_and_staff_may_look(
    alice: Caller, bob: Caller, curator: Caller, nobody: Caller
):
    ticket = alice.ticket(alice.document(visibility="authenticated"))
    path = f"uploads/{ticket['id']}/"

    assert alice.get(path).json()["id"] == ticket["id"]
    assert curator.get(path).json()["id"] == ticket["id"]
    assert code(bob.get(path)) == "not_found"
    assert code(nobody.get(path)) == "not_authenticated"
    for act in (lambda who: who.complete(ticket), lambda who: who.delete(path)):
        assert code(bob.complete(ticket)) == "not_found"
        assert code(act(curator)) == "permission_denied"
        assert code(act(nobody)) == "not_authenticated"
    assert bob.get("uploads/").json()["count"] == 0
    assert alice.get("uploads/").json()["count"] == curator.get("uploads/").json()["count"] == 1


def test_tickets_are_ordered(alice: Caller):
    made = [alice.ticket(alice.document())["id"] for _ in range(3)]

    def ids(**query: str) -> list[str]:
        return [upload["id"] for upload in alice.get("uploads/", **query).json()["results"]]

    assert ids() == made[::-1]
    assert ids(ordering="created_at") == made
    assert code(alice.get("uploads/", ordering="owner")) == "invalid"


def test_an_upload_tells_what_was_declared_and_found(alice: Caller):
    document = alice.document()
    ticket = alice.ticket(document)
    before = alice.get(f"uploads/{ticket['id']}/").json()
    send(ticket)
    after = alice.complete(ticket).json()

    assert before["declared"] == after["declared"] == announcement()
    assert (before["found"], before["problem"]) == (None, None)
    assert after["found"] == {
        "content_type": "application/pdf",
        "size": len(PDF),
        "sha256": announcement()["sha256"],
    }
    assert after["resource"] == f"http://testserver/api/v1/documents/{document['id']}/"


# --- Giving up ------------------------------------------------------------------------------------------


def test_a_ticket_given_up_is_cancelled_with_its_object(alice: Caller):
    ticket = alice.ticket(alice.document())
    send(ticket)

    for _ in range(2):
        assert alice.delete(f"uploads/{ticket['id']}/").status_code == 204

    assert keys_of("uploads") == set()
    assert alice.get(f"uploads/{ticket['id']}/").json()["state"] == "cancelled"
    answer = alice.complete(ticket)
    assert (answer.status_code, code(answer)) == (409, "ticket_cancelled")


def test_what_is_sent_after_giving_up_is_never_served(alice: Caller):
    document = alice.document()
    ticket = alice.ticket(document)
    alice.delete(f"uploads/{ticket['id']}/")

    send(ticket)

    assert code(alice.complete(ticket)) == "ticket_cancelled"
    assert alice.get(f"documents/{document['id']}/").json()["file"] is None


def test_a_completed_ticket_cannot_be_given_up(alice: Caller):
    ticket = alice.ticket(alice.document())
    send(ticket)
    alice.complete(ticket)

    answer = alice.delete(f"uploads/{ticket['id']}/")

    assert (answer.status_code, code(answer)) == (409, "ticket_completed")
    assert len(keys_of("documents")) == 1


def test_a_ticket_that_is_being_verified_cannot_be_given_up(alice: Caller, monkeypatch):
    monkeypatch.setattr("api.uploads.lifecycle.WAIT_SECONDS", 0.1)
    ticket = alice.ticket(alice.document())
    Upload.objects.update(state="verifying", lease_expires_at=timezone.now() + timedelta(minutes=1))

    answer = alice.delete(f"uploads/{ticket['id']}/")

    assert (answer.status_code, code(answer)) == (409, "verification_in_progress")
    assert answer.headers["Retry-After"]


def test_a_ticket_whose_verifier_died_can_be_given_up(alice: Caller):
    ticket = alice.ticket(alice.document())
    Upload.objects.update(state="verifying", lease_expires_at=timezone.now() - timedelta(seconds=1))

    assert alice.delete(f"uploads/{ticket['id']}/").status_code == 204


def test_a_ticket_whose_object_cannot_be_deleted_now_is_cancelled_all_the_same(alice: Caller, monkeypatch):
    ticket = alice.ticket(alice.document())
    path = f"uploads/{ticket['id']}/"
    send(ticket)
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "delete_object", down)
        assert [alice.delete(path).status_code for _ in range(2)] == [202, 202]

    assert alice.get(path).json()["state"] == "cancelled"
    assert code(alice.complete(ticket)) == "ticket_cancelled"
    assert alice.delete(path).status_code == 204
    assert keys_of("uploads") == set()
