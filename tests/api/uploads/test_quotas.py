"""Quotas: how many bytes a member's files may take, and how many tickets may be open."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from api.models import Document, Profile, Species, Upload
from api.uploads import tickets
from tests.support.cases import DATABASES
from tests.support.cast import PDF, Caller, Keeper, announcement, code, expire, send
from tests.support.server import Server

MEMBERS = ("quota", "used", "limit")
SIZE = len(PDF)
DECLARED = {"filename": "plan.pdf", "content_type": "application/pdf", "size": SIZE, "sha256": None}
IMAGE = {"filename": "otter.png", "content_type": "image/png", "size": 5 * 1024**2}


@pytest.fixture
def room_for(settings) -> Callable[[float], None]:
    """Set QUOTA_BYTES to that many times the size of the PDF."""

    def set_quota(files: float) -> None:
        settings.QUOTA_BYTES = int(files * SIZE)

    return set_quota


def ask(who: Caller, document: dict, **announced):
    return who.post(f"documents/{document['id']}/upload-url/", announcement(**announced))


def used(who: Caller) -> int:
    return who.get("profiles/me/").json()["storage"]["used"]


def assert_is_full(answer, **expected) -> None:
    assert (answer.status_code, code(answer, *MEMBERS)) == (403, "quota_exceeded")
    body = answer.json()
    assert {name: body[name] for name in MEMBERS} == expected
    assert str(expected["used"]) in body["detail"]
    assert str(expected["limit"]) in body["detail"]


# --- Bytes ------------------------------------------------------------------------------------------


def test_a_file_that_fits_exactly_is_accepted_and_one_byte_more_is_not(alice: Caller, room_for):
    room_for(2)
    alice.document_with_file()
    document = alice.document()

    refused = ask(alice, document, size=SIZE + 1)

    assert_is_full(refused, quota="bytes", used=SIZE, limit=2 * SIZE)
    assert Upload.objects.count() == 1
    assert ask(alice, document).status_code == 201


def test_open_tickets_count_with_their_declared_size(alice: Caller, room_for):
    room_for(2)
    alice.ticket(alice.document(), size=SIZE)
    alice.post("profiles/me/upload-url/", {**IMAGE, "size": SIZE // 2})

    refused = ask(alice, alice.document())

    assert_is_full(refused, quota="bytes", used=SIZE + SIZE // 2, limit=2 * SIZE)


def test_a_ticket_that_is_cancelled_rejected_or_expired_does_not_count(alice: Caller, room_for):
    room_for(1)
    document = alice.document()
    alice.delete(f"uploads/{alice.ticket(document)['id']}/")
    rejected = alice.ticket(document, size=SIZE - 1)
    send(rejected)
    assert alice.complete(rejected).status_code == 422
    expire(alice.ticket(document))

    assert used(alice) == 0
    assert ask(alice, document).status_code == 201


def test_a_deleted_document_makes_room(alice: Caller, room_for):
    room_for(1)
    document = alice.document_with_file()
    other = alice.document()
    assert_is_full(ask(alice, other), quota="bytes", used=SIZE, limit=SIZE)

    alice.delete(f"documents/{document['id']}/")

    assert ask(alice, other).status_code == 201


def test_a_file_counts_until_its_replacement_is_completed(alice: Caller, room_for):
    room_for(2)
    document = alice.document_with_file()
    ticket = alice.ticket(document)
    assert used(alice) == 2 * SIZE

    send(ticket)
    alice.complete(ticket)

    assert used(alice) == SIZE


def test_a_member_does_not_count_for_another(alice: Caller, bob: Caller, room_for):
    room_for(1)
    alice.document_with_file(visibility="authenticated")

    bob.document_with_file()

    assert used(alice) == used(bob) == SIZE


def test_a_file_that_staff_send_counts_for_the_owner_of_the_document(
    alice: Caller, curator: Caller, room_for
):
    room_for(1)
    document = alice.document()
    curator.ticket(document)

    assert (used(alice), used(curator)) == (SIZE, 0)
    assert_is_full(ask(alice, document), quota="bytes", used=SIZE, limit=SIZE)
    assert_is_full(ask(curator, document), quota="bytes", used=SIZE, limit=SIZE)


def test_files_completed_after_their_tickets_expired_are_held_to_the_quota(alice: Caller, room_for):
    """Expired tickets do not count: a member could collect them, and complete all."""
    room_for(1)
    tickets = []
    for _ in range(2):
        tickets.append(alice.ticket(alice.document()))
        send(tickets[-1])
        expire(tickets[-1])
    assert alice.complete(tickets[0]).status_code == 200

    refused = alice.complete(tickets[1])

    assert_is_full(refused, quota="bytes", used=2 * SIZE, limit=SIZE)
    assert used(alice) == SIZE
    alice.delete(alice.get(f"uploads/{tickets[0]['id']}/").json()["resource"])
    assert alice.complete(tickets[1]).status_code == 200


# --- Open tickets -----------------------------------------------------------------------------------


def test_only_so_many_tickets_may_be_open(alice: Caller, settings):
    settings.QUOTA_OPEN_TICKETS = 3
    document = alice.document()
    tickets = [alice.ticket(document) for _ in range(3)]

    assert_is_full(ask(alice, document), quota="open_tickets", used=3, limit=3)
    assert_is_full(alice.post("profiles/me/upload-url/", IMAGE), quota="open_tickets", used=3, limit=3)

    send(tickets[0])
    alice.complete(tickets[0])
    expire(tickets[1])
    alice.ticket(document)
    alice.ticket(document)
    assert_is_full(ask(alice, document), quota="open_tickets", used=3, limit=3)


def test_by_default_fifty_tickets_and_one_gibibyte(alice: Caller):
    document = alice.document()
    Upload.objects.bulk_create(
        Upload(**values, path=f"{number}.pdf", expires_at=timezone.now() + timedelta(hours=1))
        for number, values in enumerate(50 * [values_of(alice.ticket(document))], 1)
        if number < 50
    )

    assert_is_full(ask(alice, document), quota="open_tickets", used=50, limit=50)
    assert alice.get("profiles/me/").json()["storage"] == {"used": 50 * SIZE, "limit": 1024**3}


def values_of(ticket: dict) -> dict:
    columns = ("owner", "content_type_id", "object_id", "field_name", "declared")
    return Upload.objects.values(*columns).get(pk=ticket["id"])


# --- Who is exempt ----------------------------------------------------------------------------------


def test_images_of_the_catalogue_do_not_count(curator: Caller, room_for, settings):
    room_for(1)
    settings.QUOTA_OPEN_TICKETS = 1
    species = curator.post("species/", {"common_name": "Otter", "scientific_name": "Lutra lutra"}).json()

    for _ in range(3):
        assert curator.post(f"species/{species['slug']}/upload-url/", IMAGE).status_code == 201

    assert used(curator) == 0
    curator.ticket(curator.document())


def test_the_admin_has_no_quota(db, room_for, settings):
    room_for(0.001)
    settings.QUOTA_OPEN_TICKETS = 1
    species = Species.objects.create(common_name="Otter", scientific_name="Lutra lutra")
    keeper = Keeper("keeper", "change_species")

    for _ in range(3):
        assert keeper.ask(f"api/species/{species.pk}/ticket/", IMAGE).status_code == 201


def test_zero_is_no_limit(alice: Caller, settings):
    settings.QUOTA_BYTES = settings.QUOTA_OPEN_TICKETS = 0
    document = alice.document()

    for _ in range(3):
        alice.ticket(document)

    assert alice.get("profiles/me/").json()["storage"] == {"used": 3 * SIZE, "limit": None}


# --- The profile ------------------------------------------------------------------------------------


def test_staff_see_what_a_member_uses(alice: Caller, curator: Caller):
    alice.document_with_file()

    assert curator.get(f"profiles/{alice.id}/").json()["storage"] == {"used": SIZE, "limit": 1024**3}
    assert "storage" not in curator.get("profiles/").json()["results"][0]


def test_a_change_of_the_profile_answers_with_what_is_used(alice: Caller):
    alice.ticket(alice.document())

    assert alice.patch("profiles/me/", {"bio": "Keeper"}).json()["storage"]["used"] == SIZE


# --- Many at once -----------------------------------------------------------------------------------


@pytest.mark.parametrize("where", DATABASES)
def test_thirty_requests_at_once_get_as_many_tickets_as_there_is_room_for(where: str, request):
    server: Server = request.getfixturevalue(where)
    alice = server.client(f"{uuid4()}@example.org")
    documents = [alice.post("/api/v1/documents/", json={"title": "Race"}).json() for _ in range(3)]
    paths = [f"/api/v1/documents/{document['id']}/upload-url/" for document in documents] * 10
    declared = announcement(size=48 * 1024**2)

    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda path: alice.post(path, json=declared), paths))

    granted = [answer for answer in answers if answer.status_code == 201]
    refused = [answer.json() for answer in answers if answer.status_code == 403]
    assert (len(granted), len(refused)) == (21, 9)  # of 48 MiB each in 1 GiB
    assert {body["code"] for body in refused} == {"quota_exceeded"}
    assert alice.get("/api/v1/profiles/me/").json()["storage"]["used"] == 21 * 48 * 1024**2


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite locks the whole database")
@pytest.mark.parametrize(
    ("limit", "theirs", "waits"),
    [
        (0, "FOR SHARE", False),  # another ticket
        (0, "FOR NO KEY UPDATE", True),  # a change, or the lock of a quota
        (0, "FOR UPDATE", True),  # a deletion
        (9, "FOR SHARE", True),
        (9, "FOR NO KEY UPDATE", True),
    ],
)
@pytest.mark.parametrize("table", ["api_document", "api_profile"])
def test_who_waits_for_a_ticket(transactional_db, settings, table: str, limit: int, theirs: str, waits: bool):
    settings.QUOTA_BYTES, settings.QUOTA_OPEN_TICKETS = 0, limit
    owner = Profile.objects.create(id=uuid4())
    document = Document.objects.create(owner=owner, title="Feeding plan")
    other = connection.copy()
    try:
        with transaction.atomic():
            tickets.issue(document, "file", owner.id, DECLARED)
            with other.cursor() as cursor:
                try:
                    cursor.execute(f"SELECT id FROM {table} {theirs} NOWAIT")
                except OperationalError:
                    assert waits
                else:
                    assert not waits
    finally:
        other.close()


@pytest.mark.parametrize("limit", [0, 9])
@pytest.mark.parametrize("gone", [Document, Profile])
def test_what_was_deleted_meanwhile_gets_no_ticket(transactional_db, settings, gone, limit: int):
    settings.QUOTA_BYTES, settings.QUOTA_OPEN_TICKETS = 0, limit
    owner = Profile.objects.create(id=uuid4())
    document = Document.objects.create(owner=owner, title="Feeding plan")
    Document.objects.filter(pk=document.pk).delete()
    gone.objects.all().delete()

    with pytest.raises(Document.DoesNotExist):
        tickets.issue(document, "file", owner.id, DECLARED)
    assert not Upload.objects.exists()


def test_without_a_quota_a_ticket_is_one_statement(alice: Caller, settings):
    settings.QUOTA_BYTES = settings.QUOTA_OPEN_TICKETS = 0
    document = alice.document()
    ask(alice, document)

    with CaptureQueriesContext(connection) as queries:
        assert ask(alice, document).status_code == 201

    assert [query["sql"].split()[0] for query in queries] == ["SELECT", "INSERT"]
