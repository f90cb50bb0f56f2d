"""What must be deleted in storage is deleted, whatever fails: at once, when asked again, or by the sweep."""

from datetime import timedelta

import pytest
from django.core.files.storage import storages
from django.core.management import call_command
from django.utils import timezone

from api.documents.models import Document
from api.models import Removal, Upload
from api.uploads import removals
from storage.errors import ObjectMissing, StorageUnavailable
from storage.local import LocalStorage
from tests.api.documents.test_documents import keys_of
from tests.support.cast import PDF, Caller, body, code, down, fetch, send

OTHER = PDF + b"%other"


class Killed(BaseException):
    """As if the process had been killed: nothing after it is done."""


def killed(monkeypatch, verb: str, *, after: bool) -> None:
    """The process dies before or after this call to the store, and carries nothing out any more."""
    call = getattr(LocalStorage, verb)

    def die(*args, **options):
        if after:
            call(*args, **options)
        monkeypatch.setattr(removals, "carry_out", lambda removals: False)
        monkeypatch.setattr(removals, "_end_reservations", lambda reservations: reservations.none())
        raise Killed

    monkeypatch.setattr(LocalStorage, verb, die)


def later(monkeypatch, **span: int) -> None:
    now = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: now() + timedelta(**span))


@pytest.fixture
def refusing(monkeypatch):
    """A store that refuses every deletion, until the context is left."""
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "delete_object", down)
        yield patch


# --- 2xx other than 202: it is done in storage too --------------------------------------------------------


def test_urls_are_not_said_to_be_revoked_while_one_still_works(alice: Caller, monkeypatch):
    document = alice.document_with_file()
    url = alice.download_url(document)
    path = f"documents/{document['id']}/revoke-urls/"
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "delete_object", down)
        answers = [alice.post(path) for _ in range(3)]
        assert fetch(url).status_code == 200

    assert [(answer.status_code, code(answer)) for answer in answers] == [(503, "storage_unavailable")] * 3
    assert answers[0].headers["Retry-After"]
    assert len(keys_of("documents")) == 2, "asking again makes no more copies"
    assert alice.post(path).status_code == 204
    assert fetch(url).status_code == 400
    assert len(keys_of("documents")) == 1


def test_a_document_is_not_said_to_be_private_while_others_can_read_it(
    alice: Caller, bob: Caller, monkeypatch
):
    document = alice.document_with_file(visibility="authenticated")
    path = f"documents/{document['id']}/"
    url = bob.download_url(document)
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "delete_object", down)
        answers = [alice.patch(path, {"visibility": "private"}) for _ in range(2)]
        assert alice.patch(path, {"title": "Plan"}).status_code == 200

    assert [(answer.status_code, code(answer)) for answer in answers] == [(503, "storage_unavailable")] * 2
    assert code(bob.get(path)) == "not_found", "the API denies it at once"
    assert alice.patch(path, {"visibility": "private"}).status_code == 200
    assert fetch(url).status_code == 400
    assert not [key for key in keys_of("documents") if key.startswith("shared/")]


def test_a_deletion_whose_object_is_due_is_accepted_and_carried_out_by_the_sweep(alice: Caller, monkeypatch):
    document = alice.document_with_file()
    url = alice.download_url(document)
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "delete_object", down)
        assert alice.delete(f"documents/{document['id']}/").status_code == 202

    assert fetch(url).status_code == 200
    call_command("sweep")
    assert fetch(url).status_code == 400
    assert keys_of("documents") == set()
    assert not Removal.objects.exists()


def test_a_deletion_also_removes_what_an_earlier_change_could_not(alice: Caller, monkeypatch):
    document = alice.document_with_file()
    ticket = alice.ticket(document, OTHER)
    send(ticket, OTHER)
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "delete_object", down)
        assert alice.complete(ticket).status_code == 200
    assert len(keys_of("documents")) == 2

    assert alice.delete(f"documents/{document['id']}/").status_code == 204
    assert keys_of("documents") == set()


def test_a_picture_of_the_catalogue_is_deleted_with_its_entry_or_due(curator: Caller, monkeypatch):
    fields = {"common_name": "African penguin", "scientific_name": "Spheniscus demersus"}
    species = curator.post("species/", fields).json()
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "delete_object", down)
        assert curator.delete(f"species/{species['slug']}/").status_code == 202

    assert len(keys_of("species")) == 1
    call_command("sweep")
    assert keys_of("species") == set()


def test_a_replaced_file_is_removed_by_the_sweep_if_not_at_once(alice: Caller, monkeypatch):
    document = alice.document_with_file()
    ticket = alice.ticket(document, OTHER)
    send(ticket, OTHER)
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "delete_object", down)
        assert alice.complete(ticket).status_code == 200
        assert code(alice.post(f"documents/{document['id']}/revoke-urls/")) == "storage_unavailable"

    call_command("sweep")

    assert keys_of("documents") == {Document.objects.get().file.name}
    assert body(fetch(alice.download_url(document))) == OTHER


@pytest.mark.parametrize("trouble", [StorageUnavailable("locked"), ObjectMissing("gone")])
def test_two_changes_at_once_do_not_fail_because_of_each_other(trouble, alice: Caller, monkeypatch):
    """Given a copy that fails because another request has just moved the file, then the row is read again."""
    document = alice.document_with_file()
    path = f"documents/{document['id']}/"
    copy = LocalStorage.copy

    def be_overtaken(*args):
        monkeypatch.setattr(LocalStorage, "copy", copy)
        assert alice.post(f"{path}revoke-urls/").status_code == 204
        raise trouble

    monkeypatch.setattr(LocalStorage, "copy", be_overtaken)

    assert alice.patch(path, {"visibility": "authenticated"}).status_code == 200
    [key] = keys_of("documents")
    assert key.startswith("shared/")


def test_an_erasure_of_staff_does_not_hide_what_is_due_for_a_document(
    alice: Caller, curator: Caller, monkeypatch
):
    document = alice.document()
    ticket = curator.ticket(document)
    send(ticket)
    curator.complete(ticket)
    path = f"documents/{document['id']}/revoke-urls/"
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "delete_object", down)
        assert code(alice.post(path)) == "storage_unavailable"
        assert curator.delete("profiles/me/").status_code == 202
        assert code(alice.post(path)) == "storage_unavailable"

    assert alice.post(path).status_code == 204
    assert len(keys_of("documents")) == 1


# --- Processes that die -----------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("verb", ["copy", "delete_object"])
def test_a_change_that_dies_at_any_call_leaves_one_object(verb: str, after: bool, alice: Caller, monkeypatch):
    document = alice.document_with_file()
    with monkeypatch.context() as patch:
        killed(patch, verb, after=after)
        with pytest.raises(Killed):
            alice.patch(f"documents/{document['id']}/", {"visibility": "authenticated"})

    with monkeypatch.context() as patch:
        later(patch, seconds=11)
        call_command("sweep")

    assert keys_of("documents") == {Document.objects.get().file.name}
    assert body(fetch(alice.download_url(document))) == PDF


def test_a_copy_that_is_being_made_is_left_alone_by_the_sweep(alice: Caller, monkeypatch):
    document = alice.document_with_file()
    copy = LocalStorage.copy

    def copy_and_sweep(*args):
        copy(*args)
        call_command("sweep")

    monkeypatch.setattr(LocalStorage, "copy", copy_and_sweep)

    assert alice.post(f"documents/{document['id']}/revoke-urls/").status_code == 204
    assert body(fetch(alice.download_url(document))) == PDF


def test_a_copy_that_took_so_long_that_the_sweep_removed_it_is_not_recorded(alice: Caller, monkeypatch):
    document = alice.document_with_file()
    key = Document.objects.get().file.name
    copy = LocalStorage.copy

    def dawdle(*args):
        copy(*args)
        with monkeypatch.context() as patch:
            later(patch, seconds=11)
            call_command("sweep")

    monkeypatch.setattr(LocalStorage, "copy", dawdle)
    answer = alice.post(f"documents/{document['id']}/revoke-urls/")

    assert code(answer) == "storage_unavailable"
    assert keys_of("documents") == {key} == {Document.objects.get().file.name}
    assert body(fetch(alice.download_url(document))) == PDF


def test_a_copy_that_arrives_after_its_request_has_failed_is_removed_too(alice: Caller, monkeypatch):
    """The answer timed out, and the storage made the copy a minute later."""
    document = alice.document_with_file()
    copies = []
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "copy", lambda *args: copies.append(args) or down())
        assert code(alice.post(f"documents/{document['id']}/revoke-urls/")) == "storage_unavailable"

    LocalStorage.copy(*copies[0])
    assert len(keys_of("documents")) == 2
    with monkeypatch.context() as patch:
        later(patch, minutes=6)
        call_command("sweep")

    assert keys_of("documents") == {Document.objects.get().file.name}
    assert not Removal.objects.exists()


# --- The sweep and the removals ---------------------------------------------------------------------------


def test_between_two_attempts_the_time_is_doubled_up_to_an_hour(alice: Caller, monkeypatch):
    store = storages["documents"]
    [removal] = removals.schedule([(store, "a/b.pdf")], alice.id)
    monkeypatch.setattr(LocalStorage, "delete_object", down)
    waits = []
    for _ in range(12):
        removal.refresh_from_db()
        before = timezone.now()
        assert not removals.carry_out([removal])
        removal.refresh_from_db()
        waits.append(round((removal.due_at - before).total_seconds()))

    assert waits[:4] == [0, 10, 20, 40]
    assert waits[-1] == 3600
    assert removal.attempts == 12
    assert removal.last_error == "StorageUnavailable: down"


def test_a_regular_sweep_waits_and_a_single_one_does_not(alice: Caller, monkeypatch):
    [removal] = removals.schedule([(storages["documents"], "a/b.pdf")], alice.id)
    Removal.objects.update(attempts=3, due_at=timezone.now() + timedelta(minutes=1))

    assert removals.claim_due(10) == []
    assert removals.claim_due(10, retry_all=True) == [removal]


def test_what_one_sweep_has_claimed_another_leaves_alone(alice: Caller):
    removals.schedule([(storages["documents"], f"a/{number}.pdf") for number in range(5)], alice.id)

    first, second, third = (removals.claim_due(3) for _ in range(3))

    assert [len(claimed) for claimed in (first, second, third)] == [3, 2, 0]
    assert not {removal.key for removal in first} & {removal.key for removal in second}


def test_a_removal_that_is_scheduled_again_meanwhile_stays(alice: Caller, monkeypatch):
    store = storages["documents"]
    [removal] = removals.schedule([(store, "a/b.pdf")], alice.id)
    delete_object = LocalStorage.delete_object

    def be_overtaken(self, key):
        removals.schedule([(store, "a/b.pdf")], alice.id, may_appear=True)
        delete_object(self, key)

    monkeypatch.setattr(LocalStorage, "delete_object", be_overtaken)
    assert removals.carry_out([removal])

    assert Removal.objects.get().check_until


def test_a_second_look_is_not_forgotten_when_the_object_is_scheduled_again(alice: Caller):
    store = storages["documents"]
    removals.schedule([(store, "a/b.pdf")], alice.id, may_appear=True)

    removals.schedule([(store, "a/b.pdf")], alice.id)

    assert Removal.objects.get().check_until


def test_an_object_that_cannot_exist_is_gone(alice: Caller):
    """A row of long ago, with a key that no store accepts."""
    document = alice.document_with_file()
    Document.objects.update(file="documents/guía.pdf")

    assert alice.delete(f"documents/{document['id']}/").status_code == 204
    assert not Removal.objects.exists()


def test_a_bucket_that_the_settings_do_not_name_any_more_is_told(alice: Caller):
    Removal.objects.create(bucket="former", key="a.pdf", due_at=timezone.now())

    assert not removals.carry_out(Removal.objects.all())
    assert "'former'" in Removal.objects.get().last_error


def test_a_used_token_that_sends_again_is_cleared_by_the_next_callback(alice: Caller):
    ticket = alice.ticket(alice.document())
    send(ticket)
    alice.complete(ticket)
    send(ticket)
    assert keys_of("uploads") == {ticket["path"]}

    assert alice.complete(ticket).status_code == 200
    assert keys_of("uploads") == set()
    assert Upload.objects.get().state == "completed"
