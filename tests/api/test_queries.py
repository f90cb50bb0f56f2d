"""How many queries an answer costs: the same for one row and for fifty."""

from uuid import uuid4

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.utils import CaptureQueriesContext

from api.auth.development_tokens import development_token
from api.auth.verified_tokens import principal_of_token
from api.models import Document, Upload
from tests.support.cast import Caller, announcement, send


@pytest.fixture(autouse=True)
def _warm(db) -> None:
    """Content types are looked up once a process."""
    ContentType.objects.get_for_models(Document, Upload)


def cost(act) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert act().status_code < 300
    return len(queries)


def copies(document: Document, upload: Upload, count: int) -> None:
    """More rows like these, each ticket for a document of its own."""
    for _ in range(count):
        document.pk, upload.pk = uuid4(), uuid4()
        upload.object_id, upload.path = document.pk, f"{upload.pk}.pdf"
        document.save(force_insert=True)
        upload.save(force_insert=True)


def test_a_list_costs_the_same_at_one_and_at_fifty(alice: Caller, curator: Caller):
    lists = [(who, path) for who in (alice, curator) for path in ("documents/", "uploads/")]

    def costs(**query: str) -> list[int]:
        return [cost(lambda: who.get(path, page_size=100, **query)) for who, path in lists]  # noqa: B023  (called at once)

    alice.ticket(alice.document())
    at_one, with_cursor = costs(), costs(cursor="")
    copies(Document.objects.get(), Upload.objects.get(), 49)

    assert costs() == at_one
    assert costs(cursor="") == with_cursor == [number - 1 for number in at_one]  # none counts
    assert max(at_one) <= 3
    for who, path in lists:
        assert len(who.get(path, page_size=100).json()["results"]) == 50


def test_nobody_is_authenticated_by_a_query(alice: Caller, django_assert_num_queries):
    token = development_token(alice.email)

    with django_assert_num_queries(0):
        assert principal_of_token(token).id == alice.id


def test_a_ticket_costs_at_most_six(alice: Caller):
    """The document, the lock of the owner, what is in use, and the ticket, in a transaction."""
    for _ in range(5):
        document = alice.document_with_file()

    assert cost(lambda: alice.post(f"documents/{document['id']}/upload-url/", announcement())) <= 6


def test_a_download_url_costs_at_most_two(alice: Caller):
    document = alice.document_with_file()

    assert cost(lambda: alice.get(f"documents/{document['id']}/download-url/")) <= 2


def test_a_hundred_download_urls_cost_as_much_as_one(alice: Caller):
    ids = [alice.document_with_file()["id"] for _ in range(3)]

    one = cost(lambda: alice.post("documents/download-urls/", {"ids": ids[:1]}))
    hundred = cost(lambda: alice.post("documents/download-urls/", {"ids": ids * 33 + ids[:1]}))

    assert one == hundred <= 2


def test_a_completion_that_is_repeated_costs_little(alice: Caller):
    ticket = alice.ticket(alice.document())
    send(ticket)
    alice.complete(ticket)

    assert cost(lambda: alice.complete(ticket)) <= 4


def test_a_document_and_its_ticket_cost_as_much_as_both(alice: Caller):
    """The profile, the document, the lock of both, what is in use, and the ticket, in a transaction."""
    for _ in range(5):
        alice.document_with_file()
    new = {"title": "Feeding plan", "upload": announcement()}

    assert cost(lambda: alice.post("documents/", new)) <= 7
