"""How many queries an answer costs: the same for one row and for fifty."""

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.utils import CaptureQueriesContext

from api.auth.authentication import verify
from api.auth.development_tokens import development_token
from api.auth.principal import principal_from_claims
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


@pytest.mark.parametrize("path", ["documents/", "uploads/"])
@pytest.mark.parametrize("who", ["alice", "curator"])
def test_a_list_costs_the_same_at_one_and_at_fifty(path: str, who: str, alice: Caller, request):
    caller = request.getfixturevalue(who)

    def more(count: int) -> None:
        for _ in range(count):
            alice.ticket(alice.document())

    more(1)
    at_one = cost(lambda: caller.get(path, page_size=100))
    more(49)
    at_fifty = cost(lambda: caller.get(path, page_size=100))

    assert len(caller.get(path, page_size=100).json()["results"]) == 50
    assert at_one == at_fifty <= 3


def test_nobody_is_authenticated_by_a_query(alice: Caller, django_assert_num_queries):
    token = development_token(alice.email)

    with django_assert_num_queries(0):
        assert principal_from_claims(verify(token)).id == alice.id


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
