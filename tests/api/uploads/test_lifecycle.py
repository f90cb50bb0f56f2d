"""Completion: every row of the table of states, replays, takeovers and losers."""

import io
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.files.storage import storages
from django.db import connection, transaction
from django.utils import timezone

from api.documents.models import Document
from api.models import Upload
from api.uploads import claims, lifecycle, verification
from storage.errors import translate_os_errors
from storage.local import LocalStorage
from storage.local.disk import ObjectFile
from storage.local.objects import LocalObjects
from tests.api.documents.test_documents import keys_of
from tests.api.uploads.test_verification import picture
from tests.support.cast import PDF, Caller, body, code, down, expire, fetch, send

OTHER = PDF + b"%other"
PICTURE = picture("PNG", (300, 300), compress_level=0)


@pytest.fixture
def impatient(monkeypatch):
    """Second callers wait for a tenth of a second only."""
    monkeypatch.setattr("api.uploads.lifecycle.WAIT_SECONDS", 0.1)


def state_of(who: Caller, ticket: dict) -> str:
    return who.get(f"uploads/{ticket['id']}/").json()["state"]


def test_before_the_put_there_is_nothing(alice: Caller):
    ticket = alice.ticket(alice.document())

    for _ in range(2):
        answer = alice.complete(ticket)
        assert (answer.status_code, code(answer)) == (409, "object_missing")
    send(ticket)

    assert alice.complete(ticket).status_code == 200


def test_the_answer_is_the_same_however_often_asked(alice: Caller):
    ticket = alice.ticket(alice.document())
    send(ticket)

    answers = [alice.complete(ticket) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert answers[0].json() == answers[1].json() == answers[2].json()
    assert len(keys_of("documents")) == 1


def test_a_put_after_completion_changes_nothing_that_is_served(alice: Caller):
    document = alice.document()
    ticket = alice.ticket(document)
    send(ticket)
    first = alice.complete(ticket).json()
    url = alice.download_url(document)

    evil = b"%PDF-1.4 evil".ljust(len(PDF))
    assert send(ticket, evil).status_code == 200  # the token is good until it expires

    assert alice.complete(ticket).json() == first
    assert body(fetch(url)) == PDF
    assert body(fetch(alice.download_url(document))) == PDF


def test_nobody_holds_a_token_for_the_served_key(alice: Caller):
    document = alice.document()
    ticket = alice.ticket(document)
    send(ticket)
    alice.complete(ticket)
    key = Document.objects.get().file.name

    forged = ticket | {"url": ticket["url"].replace(f"uploads/{ticket['path']}", f"documents/{key}")}

    assert send(forged).status_code == 400
    assert keys_of("uploads") == set()


# --- Not true ---------------------------------------------------------------------------------------------


def test_a_rejected_object_is_gone_and_nothing_is_recorded(alice: Caller):
    document = alice.document_with_file()
    ticket = alice.ticket(document, size=len(OTHER) + 1)
    send(ticket, OTHER)

    answers = [alice.complete(ticket) for _ in range(2)]

    for answer in answers:
        assert (answer.status_code, code(answer)) == (422, "size_mismatch")
        assert answer.json() == answers[0].json()
    upload = alice.get(f"uploads/{ticket['id']}/").json()
    assert upload["state"] == "rejected"
    assert upload["problem"]["code"] == "size_mismatch"
    assert upload["found"]["size"] == len(OTHER)
    assert alice.get(f"documents/{document['id']}/").json() == document
    assert len(keys_of("documents")) == 1
    assert keys_of("uploads") == set()


def test_a_rejected_ticket_stays_rejected(alice: Caller):
    ticket = alice.ticket(alice.document())
    send(ticket, OTHER)
    assert code(alice.complete(ticket)) == "size_mismatch"

    send(ticket, PDF)

    assert code(alice.complete(ticket)) == "size_mismatch"


@pytest.mark.parametrize("how", ["rejected", "given up", "gone"])
def test_what_is_sent_after_all_is_over_does_not_stay(how: str, alice: Caller):
    document = alice.document()
    ticket = alice.ticket(document)
    if how == "rejected":
        send(ticket, OTHER)
        assert code(alice.complete(ticket)) == "size_mismatch"
    elif how == "given up":
        alice.delete(f"uploads/{ticket['id']}/")
    else:
        alice.delete(f"documents/{document['id']}/")

    for act in (lambda: alice.complete(ticket), lambda: alice.delete(f"uploads/{ticket['id']}/")):
        send(ticket)
        act()
        assert keys_of("uploads") == set()


# --- Late -------------------------------------------------------------------------------------------------


def test_a_ticket_expires_on_read(alice: Caller):
    ticket = alice.ticket(alice.document())
    expire(ticket)

    assert state_of(alice, ticket) == "expired"
    assert alice.get("uploads/").json()["results"][0]["state"] == "expired"


def test_late_and_empty_is_expired(alice: Caller):
    ticket = alice.ticket(alice.document())
    expire(ticket)

    for _ in range(2):
        answer = alice.complete(ticket)
        assert (answer.status_code, code(answer)) == (409, "ticket_expired")


def test_a_slow_put_that_ends_after_the_ticket_was_found_expired_is_not_lost(alice: Caller):
    document = alice.document()
    ticket = alice.ticket(document)
    expire(ticket)
    assert code(alice.complete(ticket)) == "ticket_expired"

    send(ticket)

    assert alice.complete(ticket).status_code == 200
    assert body(fetch(alice.download_url(document))) == PDF


def test_late_is_not_lost(alice: Caller):
    document = alice.document()
    ticket = alice.ticket(document)
    send(ticket)
    expire(ticket)
    assert state_of(alice, ticket) == "expired"

    assert alice.complete(ticket).status_code == 200

    assert body(fetch(alice.download_url(document))) == PDF


# --- Trouble ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["move", "open_object"])
def test_a_store_in_trouble_leaves_the_ticket_as_it_was(verb: str, alice: Caller, monkeypatch):
    document = alice.document()
    ticket = alice.ticket(document)
    send(ticket)
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, verb, down)
        answer = alice.complete(ticket)

    assert (answer.status_code, code(answer)) == (503, "storage_unavailable")
    assert answer.headers["Retry-After"]
    assert state_of(alice, ticket) == "pending"
    assert alice.complete(ticket).status_code == 200
    assert body(fetch(alice.download_url(document))) == PDF


def test_a_bug_in_the_verifier_leaves_the_ticket_as_it_was(alice: Caller, monkeypatch):
    ticket = alice.ticket(alice.document())
    send(ticket)
    with monkeypatch.context() as patch:
        patch.setattr(verification, "content_types_of", lambda head: 1 / 0)
        assert code(alice.complete(ticket)) == "internal"

    assert state_of(alice, ticket) == "pending"
    assert alice.complete(ticket).status_code == 200


@pytest.mark.parametrize(
    ("trouble", "answered"), [(OSError(5, "I/O error"), "storage_unavailable"), (MemoryError(), "internal")]
)
def test_trouble_while_a_picture_is_read_does_not_condemn_it(trouble, answered, alice: Caller, monkeypatch):
    document = alice.document()
    ticket = alice.ticket(document, PICTURE, content_type="image/png")
    send(ticket, PICTURE)
    readinto = io.FileIO.readinto
    reads = []

    def fail_later(self, buffer):
        reads.append(1)
        if len(reads) > 1:
            raise trouble
        return readinto(self, buffer[:512])

    with monkeypatch.context() as patch:
        patch.setattr(ObjectFile, "readinto", _through_the_throat(fail_later))
        answer = alice.complete(ticket)

    assert code(answer) == answered
    assert state_of(alice, ticket) == "pending"
    assert alice.complete(ticket).status_code == 200


# --- Rights that are lost -----------------------------------------------------------------------------------


def test_a_ticket_does_not_outlive_the_right_to_it(alice: Caller, curator: Caller):
    """Given staff with a ticket for another's document, when they are staff no more, it is worthless."""
    document = alice.document_with_file()
    ticket = curator.ticket(document, OTHER)
    send(ticket, OTHER)
    former = Caller("curator@example.org")

    answer = former.complete(ticket)

    assert (answer.status_code, code(answer)) == (403, "permission_denied")
    assert body(fetch(alice.download_url(document))) == PDF
    assert curator.complete(ticket).status_code == 200
    assert former.complete(ticket).status_code == 200, "the answer of a completed ticket stays the same"


# --- Several at once, and verifiers that died ---------------------------------------------------------------


def hold(ticket: dict, seconds: float, **values) -> None:
    """Another process verifies this ticket, with a lease of so many seconds."""
    lease = timezone.now() + timedelta(seconds=seconds)
    Upload.objects.filter(pk=ticket["id"]).update(
        state="verifying", claim_id=uuid4(), lease_expires_at=lease, **values
    )


def test_a_second_caller_waits_and_then_is_told(alice: Caller, impatient):
    ticket = alice.ticket(alice.document())
    send(ticket)
    hold(ticket, 60)

    answer = alice.complete(ticket)

    assert (answer.status_code, code(answer)) == (409, "verification_in_progress")
    assert answer.headers["Retry-After"]
    assert keys_of("documents") == set()


def test_a_waiting_caller_gets_the_winners_answer(alice: Caller, monkeypatch):
    ticket = alice.ticket(alice.document())
    hold(ticket, 60)
    looks = []

    def look(pause: float) -> None:
        looks.append(pause)
        if len(looks) == 3:
            problem = {"code": "image_invalid", "detail": "said by the winner"}
            Upload.objects.update(state="rejected", problem=problem)

    monkeypatch.setattr(claims.time, "sleep", look)
    answer = alice.complete(ticket)

    assert (answer.status_code, code(answer)) == (422, "image_invalid")
    assert answer.json()["detail"] == "said by the winner"
    assert looks == sorted(looks)


def test_a_lease_that_ran_out_is_taken_over(alice: Caller):
    document = alice.document()
    ticket = alice.ticket(document)
    send(ticket)
    hold(ticket, -1)

    assert alice.complete(ticket).status_code == 200
    assert body(fetch(alice.download_url(document))) == PDF


def test_the_next_one_finds_what_a_dead_verifier_moved(alice: Caller):
    """Killed between move and record: the object is at its final key already."""
    document = alice.document()
    ticket = alice.ticket(document)
    send(ticket)
    final_key = f"{alice.id}/moved-before-the-crash.pdf"
    storages["uploads"].move(ticket["path"], storages["documents"], final_key)
    hold(ticket, -1, final_key=final_key)

    assert alice.complete(ticket).status_code == 200

    assert keys_of("documents") == {Document.objects.get().file.name}
    assert body(fetch(alice.download_url(document))) == PDF


def test_a_refilled_path_is_not_taken_for_what_was_moved(alice: Caller):
    """The token fills the path again while the true object waits at its final key."""
    document = alice.document()
    ticket = alice.ticket(document)
    send(ticket)
    final_key = f"{alice.id}/moved-before-the-crash.pdf"
    storages["uploads"].move(ticket["path"], storages["documents"], final_key)
    hold(ticket, -1, final_key=final_key)
    send(ticket, b"%PDF-1.4 evil".ljust(len(PDF)))

    assert alice.complete(ticket).status_code == 200

    assert body(fetch(alice.download_url(document))) == PDF


@pytest.mark.parametrize("stopped_at", [0, 1, 2])
def test_a_crash_while_the_place_was_chosen_again_loses_nothing(stopped_at: int, alice: Caller):
    """Wherever the chain of claims before ours has left the object, it is found."""
    document = alice.document()
    ticket = alice.ticket(document)
    send(ticket)
    chosen = [f"shared/{alice.id}/first.pdf", f"{alice.id}/second.pdf", f"{alice.id}/third.pdf"]
    storages["uploads"].move(ticket["path"], storages["documents"], chosen[stopped_at])
    hold(ticket, -1, earlier_keys=chosen[:2], final_key=chosen[2])

    assert alice.complete(ticket).status_code == 200

    assert keys_of("documents") == {Document.objects.get().file.name}
    assert body(fetch(alice.download_url(document))) == PDF


def test_a_slow_one_that_gives_up_cannot_delete_what_was_completed_meanwhile(alice: Caller, monkeypatch):
    """Given an object at its final key, when giving up stalls there and another completes, it stays."""
    document = alice.document()
    ticket = alice.ticket(document)
    send(ticket)
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "open_object", down)
        assert code(alice.complete(ticket)) == "storage_unavailable"
    atomic = transaction.atomic

    def complete_before(**options):
        """Somebody else completes the ticket before the transaction that cancels it."""
        monkeypatch.setattr(lifecycle.transaction, "atomic", atomic)
        Upload.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
        assert alice.complete(ticket).status_code == 200
        return atomic(**options)

    monkeypatch.setattr(lifecycle.transaction, "atomic", complete_before)
    answer = alice.delete(f"uploads/{ticket['id']}/")

    assert code(answer) == "ticket_completed"
    assert body(fetch(alice.download_url(document))) == PDF


def test_a_slow_one_that_rejects_cannot_delete_what_was_completed_meanwhile(alice: Caller, monkeypatch):
    document = alice.document()
    ticket = alice.ticket(document)
    send(ticket)
    verify = verification.verify

    def dawdle(store, key, declared, *rest):
        monkeypatch.setattr(verification, "verify", verify)
        Upload.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
        assert alice.complete(ticket).status_code == 200
        raise verification.VerificationFailed(
            "image_invalid", "", verification.VerifiedFile("application/pdf", 1)
        )

    monkeypatch.setattr(verification, "verify", dawdle)
    answer = alice.complete(ticket)

    assert (answer.status_code, answer.json()["state"]) == (200, "completed")
    assert body(fetch(alice.download_url(document))) == PDF


def test_a_slow_verifier_that_lost_its_claim_gives_the_other_ones_answer(alice: Caller, monkeypatch):
    document = alice.document()
    ticket = alice.ticket(document)
    send(ticket)
    verify = verification.verify

    def dawdle(*args):
        monkeypatch.setattr(verification, "verify", verify)
        found = verify(*args)
        Upload.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
        assert alice.complete(ticket).status_code == 200
        return found

    monkeypatch.setattr(verification, "verify", dawdle)
    answer = alice.complete(ticket)

    assert (answer.status_code, answer.json()["state"]) == (200, "completed")
    assert len(keys_of("documents")) == 1
    assert body(fetch(alice.download_url(document))) == PDF


def test_a_verifier_that_still_reads_keeps_its_claim(alice: Caller, monkeypatch):
    monkeypatch.setattr(claims, "RENEWAL_SECONDS", -1)
    ticket = alice.ticket(alice.document())
    send(ticket)
    leases = []
    verify = verification.verify

    def watch(*args):
        leases.append(Upload.objects.get().lease_expires_at)
        found = verify(*args)
        leases.append(Upload.objects.get().lease_expires_at)
        return found

    monkeypatch.setattr(verification, "verify", watch)
    assert alice.complete(ticket).status_code == 200

    assert timezone.now() < leases[0] < leases[1]


# --- The resource changes meanwhile -------------------------------------------------------------------------


def overtake(monkeypatch, act) -> None:
    """Do this after the object was examined and before it is recorded, once."""
    verify = verification.verify

    def be_overtaken(*args):
        found = verify(*args)
        monkeypatch.setattr(verification, "verify", verify)
        act()
        return found

    monkeypatch.setattr(verification, "verify", be_overtaken)


def test_a_resource_deleted_meanwhile(alice: Caller, monkeypatch):
    document = alice.document()
    ticket = alice.ticket(document)
    send(ticket)
    overtake(monkeypatch, lambda: Document.objects.all().delete())

    for _ in range(2):
        answer = alice.complete(ticket)
        assert (answer.status_code, code(answer)) == (409, "resource_gone")

    assert keys_of("documents") == keys_of("uploads") == set()
    upload = alice.get(f"uploads/{ticket['id']}/").json()
    assert (upload["state"], upload["resource"]) == ("cancelled", None)


def test_a_visibility_changed_meanwhile_chooses_the_place_again(alice: Caller, monkeypatch):
    document = alice.document(visibility="authenticated")
    ticket = alice.ticket(document)
    send(ticket)
    overtake(monkeypatch, lambda: alice.patch(f"documents/{document['id']}/", {"visibility": "private"}))

    assert alice.complete(ticket).status_code == 200

    [key] = keys_of("documents")
    assert key.startswith(f"{alice.id}/")
    assert Document.objects.get().file.name == key


def test_who_stalls_while_another_takes_over_does_not_go_on_with_its_claim(alice: Caller, monkeypatch):
    """Given a resource that changes before the record, and a lease that expires then."""
    document = alice.document()
    ticket = alice.ticket(document)
    send(ticket)
    record, claimed = lifecycle.record, []

    def stall(upload, *args):
        alice.patch(f"documents/{document['id']}/", {"visibility": "authenticated"})
        monkeypatch.setattr(lifecycle, "record", record)
        try:
            return record(upload, *args)
        finally:
            Upload.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
            claimed.append(claims.claim(Upload.objects.get(), lifecycle.UNCLAIMED))

    monkeypatch.setattr(lifecycle, "record", stall)
    monkeypatch.setattr(lifecycle, "WAIT_SECONDS", 0.1)
    answer = alice.complete(ticket)

    assert code(answer) == "verification_in_progress"
    assert Upload.objects.get().claim_id == claimed[0].claim_id


def test_who_has_lost_the_claim_only_waits(alice: Caller, monkeypatch):
    """... also if the other one gives the ticket back: two could take it from each other for ever."""
    ticket = alice.ticket(alice.document())
    send(ticket)
    verify = verification.verify

    def lose(*args):
        monkeypatch.setattr(verification, "verify", verify)
        Upload.objects.update(state="pending", claim_id=None)
        raise claims.ClaimLost

    monkeypatch.setattr(verification, "verify", lose)
    monkeypatch.setattr(lifecycle, "WAIT_SECONDS", 0.1)

    assert code(alice.complete(ticket)) == "verification_in_progress"
    assert alice.complete(ticket).status_code == 200


def test_a_ticket_that_was_renewed_is_not_marked_as_expired(alice: Caller):
    ticket = alice.ticket(alice.document())

    assert lifecycle.expire(Upload.objects.get()).state == "pending"
    assert state_of(alice, ticket) == "pending"


def test_a_ticket_without_a_file_remembers_few_keys(alice: Caller):
    document = alice.document()
    ticket = alice.ticket(document)
    for number in range(30):
        visibility = ["authenticated", "private"][number % 2]
        alice.patch(f"documents/{document['id']}/", {"visibility": visibility})
        assert code(alice.complete(ticket)) == "object_missing"
    assert len(Upload.objects.get().earlier_keys) <= 11

    send(ticket)
    assert alice.complete(ticket).status_code == 200


def test_of_two_tickets_the_last_completion_wins_and_the_loser_is_deleted(alice: Caller):
    document = alice.document()
    first, second = alice.ticket(document), alice.ticket(document, OTHER)
    send(first)
    send(second, OTHER)

    assert alice.complete(second).status_code == 200
    loser = alice.download_url(document)
    assert alice.complete(first).status_code == 200

    assert body(fetch(alice.download_url(document))) == PDF
    assert fetch(loser).status_code == 400
    assert len(keys_of("documents")) == 1


def test_two_tickets_that_cross(alice: Caller, monkeypatch):
    document = alice.document()
    first, second = alice.ticket(document), alice.ticket(document, OTHER)
    send(first)
    send(second, OTHER)
    overtake(monkeypatch, lambda: alice.complete(second))

    assert alice.complete(first).status_code == 200

    assert body(fetch(alice.download_url(document))) == PDF
    assert len(keys_of("documents")) == 1
    assert state_of(alice, second) == "completed"


def test_a_replaced_file_is_deleted_after_its_successor_is_recorded(alice: Caller, monkeypatch):
    document = alice.document_with_file()
    ticket = alice.ticket(document, OTHER)
    send(ticket, OTHER)
    remove = LocalStorage.delete_object
    recorded = []

    def look_and_remove(self, key):
        recorded.append(Document.objects.get().file.name)
        assert recorded[-1] != key
        remove(self, key)

    monkeypatch.setattr(LocalStorage, "delete_object", look_and_remove)
    alice.complete(ticket)

    assert recorded == list(keys_of("documents"))


def test_a_replaced_file_that_cannot_be_deleted_does_not_undo_its_successor(alice: Caller, monkeypatch):
    document = alice.document_with_file()
    ticket = alice.ticket(document, OTHER)
    send(ticket, OTHER)
    monkeypatch.setattr(LocalStorage, "delete_object", down)

    assert alice.complete(ticket).status_code == 200
    assert body(fetch(alice.download_url(document))) == OTHER


@pytest.mark.django_db(transaction=True)
def test_no_storage_call_is_made_inside_a_transaction(monkeypatch):
    """Real transactions here: the others of this suite run inside one that is rolled back."""
    inside = []
    for verb in ("describe", "move", "copy", "open", "remove", "write"):
        call = getattr(LocalObjects, verb)

        def noted(*args, call=call, verb=verb, **options):
            inside.append((verb, connection.in_atomic_block))
            return call(*args, **options)

        monkeypatch.setattr(LocalObjects, verb, noted)
    alice = Caller("alice@example.org")

    document = alice.document_with_file()
    alice.patch(f"documents/{document['id']}/", {"visibility": "authenticated"})
    given_up = alice.ticket(document)
    alice.delete(f"uploads/{given_up['id']}/")
    alice.delete(f"documents/{document['id']}/")

    assert {verb for verb, _ in inside} == {"describe", "move", "copy", "open", "remove", "write"}
    assert not [verb for verb, in_transaction in inside if in_transaction]


def _through_the_throat(read):
    """Trouble of the disk becomes the store's where it does in earnest."""

    def readinto(self, buffer):
        with translate_os_errors():
            return read(self, buffer)

    return readinto
