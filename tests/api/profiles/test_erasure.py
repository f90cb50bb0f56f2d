"""Erasing a member: everything goes, nobody else's does, and whatever interrupts it, again completes it."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from itertools import count, islice
from threading import Event
from uuid import uuid4

import httpx
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db.models import ProtectedError
from django.utils import timezone

from api.idempotency import KeyedRequest
from api.models import Document, IdempotencyKey, Profile, Removal, Species, SpeciesPicture, Upload
from api.profiles import erasure
from api.uploads import lifecycle, tickets
from api.uploads.attachments import objects_of
from storage.base import store_of
from storage.errors import StorageUnavailable
from storage.fields import stored_files
from storage.local import LocalStorage
from tests.api.documents.test_documents import keys_of
from tests.api.profiles.test_profiles import PNG, avatar_ticket, with_avatar
from tests.support.cast import PDF, Caller, announcement, body, code, down, fetch, send
from tests.support.server import Server

BUCKETS = ("uploads", "documents", "originals", "user-profiles", "species")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch) -> None:
    """Who finds a ticket being verified does not wait ten seconds for it."""
    monkeypatch.setattr("api.uploads.lifecycle.WAIT_SECONDS", 0.1)


def furnish(alice: Caller, curator: Caller) -> None:
    """Alice has something of every kind: 3 documents, 9 objects, 8 tickets."""
    with_avatar(alice)  # 3 objects with the renditions, 1 ticket
    alice.document_with_file(visibility="private")  # 1, 1
    alice.document_with_file(visibility="authenticated")  # 1, 1
    document = alice.document()
    send(alice.ticket(document))  # 1, 1
    alice.ticket(document)  # 0, 1
    refused = alice.ticket(document, size=1)  # 0, 1
    send(refused)
    assert alice.complete(refused).status_code == 422
    send(curator.ticket(document))  # 1, 1: staff help
    gone = alice.document()
    send(alice.ticket(gone))  # 0, 1
    alice.delete(f"documents/{gone['id']}/")
    for key in STRAY:
        store_of("documents").put(key.format(alice.id), [PDF], content_type="", cache_control="")  # 1, 0


STRAY = ["{}/stray.pdf", "shared/{}/random/stray.pdf"]  # of no row; the first as earlier versions named them
NOTHING = dict.fromkeys(erasure.kinds_of_summary(), 0)
ALL = {**NOTHING, "documents": 3, "objects": 9, "tickets": 8}


def counts(summary: dict[str, int]) -> str:
    """As the command prints them."""
    return ", ".join(f"{kind} {number}" for kind, number in summary.items())


def objects() -> set[str]:
    """Every object in every bucket."""
    return {f"{bucket}/{key}" for bucket in BUCKETS for key in keys_of(bucket)}


def named() -> set[str]:
    """Every object that some row names, and every one whose removal is scheduled."""
    return {
        *(str(removal) for removal in Removal.objects.all()),
        *(
            f"{file.storage.bucket}/{file.key}"
            for model in (Document, Profile, SpeciesPicture)
            for row in model.objects.all()
            for file in stored_files(row)
        ),
        *(f"{store.bucket}/{key}" for each in Upload.objects.all() for store, key in objects_of(each)),
    }


def nothing_is_left() -> bool:
    rows = [*Profile.objects.all(), *Document.objects.all(), *Upload.objects.all()]
    return not rows and not objects()


# --- Everything goes, and nobody else's ---------------------------------------------------------------


def test_everything_goes_and_the_answer_says_how_much(alice: Caller, curator: Caller):
    furnish(alice, curator)
    assert len(objects()) == ALL["objects"]

    answer = alice.delete("profiles/me/")

    assert (answer.status_code, answer.json()) == (200, ALL)
    assert nothing_is_left()


def test_it_is_safe_to_repeat(alice: Caller, curator: Caller):
    furnish(alice, curator)
    alice.delete("profiles/me/")

    for path in ("profiles/me/", f"profiles/{alice.id}/"):
        again = alice.delete(path)
        assert (again.status_code, again.json()) == (200, NOTHING)


def test_who_was_erased_may_begin_anew(alice: Caller):
    with_avatar(alice)
    alice.patch("profiles/me/", {"display_name": "Alice"})
    alice.delete("profiles/me/")

    profile = alice.get("profiles/me/").json()

    assert (profile["display_name"], profile["avatar"]) == ("", None)
    assert alice.document_with_file()["owner"]["id"] == str(alice.id)


def test_what_is_others_stays(alice: Caller, bob: Caller, curator: Caller):
    furnish(alice, curator)
    kept = bob.document_with_file()
    with_avatar(bob)
    waiting = bob.ticket(bob.document())
    send(waiting)

    alice.delete("profiles/me/")

    assert body(fetch(bob.download_url(kept))) == PDF
    assert bob.get("profiles/me/download-url/").status_code == 200
    assert bob.complete(waiting).status_code == 200
    assert Upload.objects.count() == Upload.objects.filter(owner=bob.id).count() == 3


def test_urls_and_tickets_handed_out_before_are_dead(alice: Caller):
    url = alice.download_url(alice.document_with_file())
    sent, settled = alice.ticket(alice.document()), avatar_ticket(alice)
    send(sent)
    send(settled, PNG)
    alice.complete(settled)

    alice.delete("profiles/me/")

    assert fetch(url).status_code == 400
    for ticket in (sent, settled):
        assert code(alice.complete(ticket)) == "not_found"
    assert nothing_is_left()


def test_staff_who_are_erased_leave_the_pictures_that_they_brought(alice: Caller, curator: Caller):
    """Their tickets go, open ones with the object; what is recorded on what stays is no part of them."""
    species = curator.post(
        "species/", {"common_name": "African penguin", "scientific_name": "Spheniscus demersus"}
    ).json()
    path = f"species/{species['slug']}/"
    said = announcement(PNG, filename="penguin.png", content_type="image/png")
    first, second, third = (curator.post(f"{path}upload-url/", said).json() for _ in range(3))
    for ticket in (first, second, third):
        send(ticket, PNG)
    for ticket in (first, second):
        assert curator.complete(ticket).status_code == 200
    document = alice.document()
    help_ = curator.ticket(document)
    send(help_)
    curator.complete(help_)

    answer = curator.delete("profiles/me/")

    assert answer.json() == {**NOTHING, "documents": 0, "objects": 1, "tickets": 4}
    assert curator.get(path).json()["image_url"]
    assert keys_of("uploads") == set()
    assert len(keys_of("documents")) == 1
    assert keys_of("originals") == {Species.objects.get().image.original.name}
    assert body(fetch(alice.download_url(document))) == PDF


def test_a_file_that_was_left_behind_when_another_took_its_place_goes_too(alice: Caller, monkeypatch):
    document = alice.document_with_file()
    newer = alice.ticket(document)
    send(newer)
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "delete_object", down)
        assert alice.complete(newer).status_code == 200
    assert len(keys_of("documents")) == 2

    assert alice.delete("profiles/me/").json() == {**NOTHING, "documents": 1, "objects": 2, "tickets": 2}
    assert nothing_is_left()


def test_a_member_without_a_profile_is_erased_too(alice: Caller):
    alice.ticket(alice.document())
    Document.objects.all().delete()
    Profile.objects.all().delete()

    removed = list(erasure.erase(alice.id))

    assert [each.kind for each in removed] == ["ticket"]
    assert nothing_is_left()


def test_nothing_is_erased_for_somebody_else(alice: Caller, bob: Caller, curator: Caller, nobody: Caller):
    furnish(alice, curator)
    before = objects(), Upload.objects.count(), Document.objects.count()

    assert code(bob.delete(f"profiles/{alice.id}/")) == "not_found"
    assert code(curator.delete(f"profiles/{alice.id}/")) == "permission_denied"
    for path in (f"profiles/{alice.id}/", "profiles/me/"):
        assert code(nobody.delete(path)) == "not_authenticated"

    assert (objects(), Upload.objects.count(), Document.objects.count()) == before


# --- Interrupted at any moment, and done again --------------------------------------------------------


def failing(at: int, calls: list[str], *, after: bool = False):
    """`_remove` of which one call fails, before or after it did its work; the keys go to `calls`."""
    remove = LocalStorage.delete_object

    def remove_or_fail(store: LocalStorage, key: str) -> None:
        calls.append(key)
        fails = len(calls) == at
        if fails and not after:
            raise StorageUnavailable("down")
        remove(store, key)
        if fails:
            raise StorageUnavailable("down")

    return remove_or_fail


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_the_store_may_fail_at_every_deletion(after: bool, alice: Caller, curator: Caller, monkeypatch):
    failed = 0
    for at in count(1):
        furnish(alice, curator)
        calls: list[str] = []
        with monkeypatch.context() as patch:
            patch.setattr(LocalStorage, "delete_object", failing(at, calls, after=after))
            answer = alice.delete("profiles/me/")

        assert objects() <= named() | {f"documents/{key.format(alice.id)}" for key in STRAY}
        if answer.status_code != 200:
            failed += 1
            assert answer.status_code == 202
            assert not Document.objects.exists()
            assert alice.delete("profiles/me/").status_code == 200
        assert nothing_is_left()
        if len(calls) < at:
            break
    assert failed >= ALL["objects"]


@pytest.mark.slow
def test_it_may_die_after_every_step(alice: Caller, curator: Caller):
    for steps in count():
        furnish(alice, curator)
        first = list(islice(erasure.erase(alice.id), steps))

        assert objects() <= named() | {f"documents/{key.format(alice.id)}" for key in STRAY}
        rest = list(erasure.erase(alice.id))

        assert nothing_is_left()
        assert erasure.summary([*first, *rest]) == ALL
        if not rest:
            break
    assert steps == sum(ALL.values()) + 1


def test_while_the_store_is_down_nothing_goes_that_names_an_object(
    alice: Caller, curator: Caller, monkeypatch
):
    furnish(alice, curator)
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "walk", down)
        answer = alice.delete("profiles/me/")

    assert code(answer) == "storage_unavailable"
    assert answer.headers["Retry-After"]
    assert len(objects()) == ALL["objects"]
    assert alice.delete("profiles/me/").json() == ALL
    assert nothing_is_left()


def test_objects_that_cannot_be_deleted_now_are_due(alice: Caller, curator: Caller, monkeypatch):
    furnish(alice, curator)
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "delete_object", down)
        answers = [alice.delete("profiles/me/") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == {**ALL, "objects": 0}
    assert objects() <= named()
    again = alice.delete("profiles/me/")
    assert (again.status_code, again.json()) == (200, {**NOTHING, "objects": ALL["objects"]})
    assert nothing_is_left()


# --- While others act ---------------------------------------------------------------------------------


def overtaken(method, at: int, *acts):
    """The method, before whose given call somebody else acts."""
    calls = count(1)

    def act_and_call(*args, **options):
        if next(calls) == at:
            for act in acts:
                act()
        return method(*args, **options)

    return act_and_call


def erased_while(monkeypatch, alice: Caller, prepare) -> Iterator[tuple[str, int]]:
    """Erase alice again and again; each time what `prepare` gives acts before another step of the erasure.

    A step that is not taken so often ends its turn.
    """
    steps = [(erasure, "keys_in"), (erasure, "stored_files"), (lifecycle, "cancel")]
    steps.append((LocalStorage, "delete_object"))
    for owner, name in steps:
        for at in (1, 2, 3):
            act, reached = prepare(), Event()
            with monkeypatch.context() as patch:
                method = overtaken(getattr(owner, name), at, reached.set, act)
                patch.setattr(owner, name, method)
                answer = alice.delete("profiles/me/")
            assert answer.status_code == 200, answer.content
            # What came about when the last document was gone already is found by the next call.
            assert alice.delete("profiles/me/").status_code == 200
            if not reached.is_set():
                break
            yield name, at


def test_a_ticket_completed_at_any_moment_leaves_nothing_behind(alice: Caller, monkeypatch):
    def prepare():
        document = alice.document_with_file()
        tickets = [alice.ticket(document), alice.ticket(document), avatar_ticket(alice)]
        send(tickets[0])
        send(tickets[1])
        send(tickets[2], PNG)
        return lambda: [alice.complete(ticket) for ticket in tickets]

    steps = set()
    for name, at in erased_while(monkeypatch, alice, prepare):
        assert nothing_is_left(), (name, at)
        steps.add(name)
    assert steps == {"keys_in", "stored_files", "cancel", "delete_object"}


def test_a_change_of_visibility_at_any_moment_leaves_nothing_behind(alice: Caller, monkeypatch):
    def prepare():
        document = alice.document_with_file()
        path = f"documents/{document['id']}/"
        return lambda: alice.patch(path, {"visibility": "authenticated"})

    for at in erased_while(monkeypatch, alice, prepare):
        assert nothing_is_left(), at


@pytest.mark.slow
def test_two_erasures_at_once_leave_nothing_behind(alice: Caller, curator: Caller, monkeypatch):
    def prepare():
        furnish(alice, curator)
        return lambda: list(erasure.erase(alice.id))

    for at in erased_while(monkeypatch, alice, prepare):
        assert nothing_is_left(), at


def test_a_row_that_protects_the_profile_is_an_error_and_no_endless_loop(alice: Caller, monkeypatch):
    alice.get("profiles/me/")

    def protected(profile: Profile) -> None:
        raise ProtectedError("A loan has this member.", {profile})

    monkeypatch.setattr(Profile, "delete", protected)
    with pytest.raises(ProtectedError):
        list(islice(erasure.erase(alice.id), 100))


def test_a_document_made_meanwhile_goes_too(alice: Caller, monkeypatch):
    def late(*args):
        monkeypatch.setattr(erasure, "keys_in", keys_in)
        alice.document_with_file()
        return keys_in(*args)

    keys_in = erasure.keys_in
    monkeypatch.setattr(erasure, "keys_in", late)

    assert alice.delete("profiles/me/").json() == {**NOTHING, "documents": 1, "objects": 1, "tickets": 1}
    assert nothing_is_left()


def test_a_ticket_asked_for_meanwhile_goes_too(alice: Caller, curator: Caller, monkeypatch):
    """Given a ticket of staff for a document that is just going, then it goes before the document."""
    document = alice.document()
    stored_files = erasure.stored_files

    def late(*args):
        """Called when the tickets of the document are gone, and the document is not."""
        monkeypatch.setattr(erasure, "stored_files", stored_files)
        send(curator.ticket(document))
        return stored_files(*args)

    monkeypatch.setattr(erasure, "stored_files", late)

    assert alice.delete("profiles/me/").json() == {**NOTHING, "documents": 1, "objects": 1, "tickets": 1}
    assert nothing_is_left()


def test_no_ticket_is_issued_when_its_document_is_gone(alice: Caller, monkeypatch):
    """Given a request that has read the document, and asks for a ticket just before the profile goes."""
    document = Document.objects.get(pk=alice.document()["id"])
    declared = {"filename": "a.pdf", "content_type": "application/pdf", "size": 5, "sha256": None}
    key = KeyedRequest(alice.id, "k", "fingerprint")
    stored_files = erasure.stored_files

    def late(row):
        if isinstance(row, Profile) and not Document.objects.exists():
            monkeypatch.setattr(erasure, "stored_files", stored_files)
            with pytest.raises(Document.DoesNotExist):
                tickets.issue(document, "file", alice.id, declared, on_create=key.store)
        return stored_files(row)

    monkeypatch.setattr(erasure, "stored_files", late)

    assert alice.delete("profiles/me/").json()["tickets"] == 0
    assert nothing_is_left()
    assert not IdempotencyKey.objects.exists()


def test_a_file_recorded_since_the_row_was_read_goes_before_the_row(alice: Caller, monkeypatch):
    ticket = alice.ticket(alice.document())
    send(ticket)
    act = overtaken(lifecycle.cancel, 1, lambda: alice.complete(ticket))
    monkeypatch.setattr(lifecycle, "cancel", act)

    removed = [each.kind for each in erasure.erase(alice.id)]

    assert removed == ["ticket", "document", "profile", "object"]
    assert objects() == set()


def test_a_file_that_is_being_verified_is_waited_for(alice: Caller):
    ticket = alice.ticket(alice.document())
    send(ticket)
    held = Upload.objects.filter(pk=ticket["id"])
    held.update(state="verifying", claim_id=uuid4(), lease_expires_at=timezone.now() + timedelta(minutes=1))

    answer = alice.delete("profiles/me/")

    assert (answer.status_code, code(answer)) == (409, "verification_in_progress")
    assert answer.headers["Retry-After"]
    assert held.exists()
    held.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    assert alice.delete("profiles/me/").status_code == 200
    assert nothing_is_left()


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_what_a_dead_verifier_moved_goes_too(moved: int, alice: Caller):
    """Wherever the object has got to: where it arrived, at a former final key, or at the last one."""
    ticket = alice.ticket(alice.document())
    send(ticket)
    places = [f"{alice.id}/former.pdf", f"{alice.id}/last.pdf"]
    Upload.objects.update(
        state="verifying",
        claim_id=uuid4(),
        lease_expires_at=timezone.now() - timedelta(seconds=1),
        earlier_keys=places[:1],
        final_key=places[1],
    )
    if moved:
        store_of("uploads").move(ticket["path"], store_of("documents"), places[moved - 1])

    assert alice.delete("profiles/me/").json() == {**NOTHING, "documents": 1, "objects": 1, "tickets": 1}
    assert nothing_is_left()


@pytest.mark.slow
def test_members_who_are_erased_while_they_do_everything_at_once(server: Server):
    """Two processes, many callers: afterwards one more erasure leaves neither row nor object."""
    dice = random.Random(3)
    for round_ in range(4):
        member = server.client(f"erased-{round_}@example.org")
        id_ = member.get("/api/v1/profiles/me/").json()["id"]
        acts, sent = everything_at_once(member)
        dice.shuffle(acts)

        with ThreadPoolExecutor(len(acts)) as pool:
            answers = list(pool.map(lambda act: act(), acts))

        assert not [answer.text for answer in answers if answer.status_code >= 500]
        member.delete("/api/v1/profiles/me/").raise_for_status()
        assert not [path for path in server.media.rglob(f"{id_}/*") if path.is_file()]
        assert not [path for upload in sent for path in (server.media / "uploads").glob(f"{upload}/*")]
        assert member.get("/api/v1/uploads/").json()["count"] == 0
        assert member.get("/api/v1/documents/", params={"owner": "me"}).json()["count"] == 0


def everything_at_once(member: httpx.Client) -> tuple[list, list[str]]:
    """Completions, changes of visibility and erasures, and the ids of the tickets."""
    acts: list = [lambda: member.delete("/api/v1/profiles/me/")] * 4
    sent = []
    for _ in range(6):
        document = member.post("/api/v1/documents/", json={"title": "Race"}).json()
        path = f"/api/v1/documents/{document['id']}/"
        acts.append(lambda path=path: member.patch(path, json={"visibility": "authenticated"}))
        for _ in range(2):
            ticket = member.post(f"{path}upload-url/", json=announcement()).json()
            httpx.put(ticket["url"], content=PDF, headers=ticket["headers"])
            acts.append(lambda url=ticket["complete_url"]: member.post(url))
            sent.append(ticket["id"])
    return acts, sent


# --- The command --------------------------------------------------------------------------------------


def erase_member(*arguments: str) -> str:
    printed = StringIO()
    call_command("erase_member", *arguments, stdout=printed)
    return printed.getvalue()


def test_the_command_does_the_same_and_says_what(alice: Caller, bob: Caller, curator: Caller):
    furnish(alice, curator)
    kept = bob.document_with_file()
    own = {f"removed object {name}" for name in objects() if not name.startswith(f"documents/{bob.id}/")}
    tickets = {f"removed ticket {each.pk}" for each in Upload.objects.exclude(owner=bob.id)}
    documents = {f"removed document {each.pk}" for each in Document.objects.filter(owner=alice.id)}

    *lines, last = erase_member(str(alice.id)).splitlines()

    assert sorted(lines) == sorted(own | tickets | documents | {f"removed profile {alice.id}"})
    assert last == f"erased {alice.id}: {counts(ALL)}"
    assert body(fetch(bob.download_url(kept))) == PDF


def test_the_command_is_safe_to_repeat(alice: Caller, curator: Caller):
    furnish(alice, curator)
    erase_member(str(alice.id))

    assert erase_member(str(alice.id)) == f"erased {alice.id}: {counts(NOTHING)}\n"


def test_the_command_knows_no_roles(curator: Caller):
    with_avatar(curator)

    assert "removed profile" in erase_member(str(curator.id))
    assert nothing_is_left()


def test_a_member_whom_nobody_knows_is_erased_already(db):
    unknown = uuid4()

    assert erase_member(str(unknown)) == f"erased {unknown}: {counts(NOTHING)}\n"


@pytest.mark.parametrize("arguments", [["alice"], ["me"], [""], ["123"], [], ["*"]])
def test_what_is_no_uuid_erases_nobody(arguments: list[str], alice: Caller):
    with_avatar(alice)

    with pytest.raises(CommandError):
        erase_member(*arguments)
    assert Profile.objects.count() == 1
    assert len(keys_of("user-profiles")) == 2


def test_the_command_says_that_it_is_not_finished(alice: Caller, curator: Caller, monkeypatch):
    furnish(alice, curator)
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "delete_object", failing(3, []))
        with pytest.raises(CommandError, match="run it again"):
            erase_member(str(alice.id))

    erase_member(str(alice.id))
    assert nothing_is_left()


def test_no_storage_call_is_made_inside_a_transaction(alice: Caller, curator: Caller, monkeypatch):
    furnish(alice, curator)
    within: list[bool] = []
    atomic = erasure.transaction.atomic

    class Watched:
        def __init__(self, **options) -> None:
            self.real = atomic(**options)

        def __enter__(self):
            within.append(True)
            return self.real.__enter__()

        def __exit__(self, *error):
            within.pop()
            return self.real.__exit__(*error)

    for module in (erasure, lifecycle):
        monkeypatch.setattr(module.transaction, "atomic", lambda **options: Watched(**options))
    for name in ("describe", "delete_object", "listdir", "move"):
        real = getattr(LocalStorage, name)

        def watched(*args, real=real):
            assert not within
            return real(*args)

        monkeypatch.setattr(LocalStorage, name, watched)

    assert alice.delete("profiles/me/").json() == ALL
