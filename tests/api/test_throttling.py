"""How often one principal may ask for what calls the storage."""

import math
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from api.throttling import (
    CompletionRateThrottle,
    FileRateThrottle,
    PrincipalRateThrottle,
    TicketRateThrottle,
)
from tests.support.cast import Caller, announcement, code, send
from tests.support.redis_server import REDIS, needs_redis


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """What the throttles take for the time: the beginning of a minute. The tests move it."""
    now = [60_000_000.0]
    monkeypatch.setattr(PrincipalRateThrottle, "timer", staticmethod(lambda: now[0]))
    return now


@pytest.fixture
def three_a_minute(monkeypatch) -> None:
    for throttle in (TicketRateThrottle, CompletionRateThrottle, FileRateThrottle):
        monkeypatch.setitem(throttle.THROTTLE_RATES, throttle.scope, "3/min")


def test_too_many_tickets_are_refused_until_the_time_that_is_told(alice: Caller, three_a_minute, clock):
    document = alice.document()
    for _ in range(3):
        alice.ticket(document)
        clock[0] += 1

    refused = alice.post(f"documents/{document['id']}/upload-url/", announcement())

    assert refused.status_code == 429
    assert code(refused) == "throttled"
    assert int(refused.headers["Retry-After"]) == 57
    assert refused.headers["Cache-Control"] == "no-store"
    clock[0] += int(refused.headers["Retry-After"])
    alice.ticket(document)


def test_the_time_that_is_told_is_whole_seconds_rounded_up(alice: Caller, three_a_minute, clock):
    document = alice.document()
    for _ in range(3):
        alice.ticket(document)
    clock[0] += 0.25

    refused = alice.post(f"documents/{document['id']}/upload-url/", announcement())

    assert refused.headers["Retry-After"] == str(math.ceil(59.75))


def test_one_principals_haste_is_not_anothers(alice: Caller, bob: Caller, three_a_minute, clock):
    hers, his = alice.document(), bob.document()
    for _ in range(3):
        alice.ticket(hers)
    assert code(alice.post(f"documents/{hers['id']}/upload-url/", announcement())) == "throttled"

    bob.ticket(his)
    again = Caller("ALICE@example.org")  # another token of the same member
    assert code(again.post(f"documents/{hers['id']}/upload-url/", announcement())) == "throttled"


def test_the_address_that_a_client_claims_changes_nothing(alice: Caller, three_a_minute, clock):
    document = alice.document()
    for _ in range(3):
        alice.ticket(document)

    for number in range(3):
        elsewhere = Caller("alice@example.org", **{"x-forwarded-for": f"10.0.0.{number}"})
        assert code(elsewhere.post(f"documents/{document['id']}/upload-url/", announcement())) == "throttled"


def test_completions_are_counted_for_themselves(alice: Caller, three_a_minute, clock):
    ticket = alice.ticket(alice.document())
    send(ticket)
    for _ in range(3):
        assert alice.complete(ticket).status_code == 200

    refused = alice.complete(ticket)

    assert code(refused) == "throttled"
    assert int(refused.headers["Retry-After"]) == 60
    assert alice.get(f"uploads/{ticket['id']}/").json()["state"] == "completed"
    alice.ticket(alice.document())


def test_reading_is_not_throttled(alice: Caller, three_a_minute, clock):
    document = alice.document_with_file()

    for _ in range(10):
        assert alice.get("documents/").status_code == 200
        alice.download_url(document)


def test_who_has_no_token_is_401_and_never_429(nobody: Caller, alice: Caller, three_a_minute, clock):
    document = alice.document()

    for _ in range(5):
        refused = nobody.post(f"documents/{document['id']}/upload-url/", announcement())
        assert code(refused) == "not_authenticated"


def test_what_is_refused_counts_too(alice: Caller, bob: Caller, three_a_minute, clock):
    """Else a stranger could try ids without end."""
    document = alice.document()
    for _ in range(3):
        assert code(bob.post(f"documents/{document['id']}/upload-url/", announcement())) == "not_found"

    assert code(bob.post(f"documents/{document['id']}/upload-url/", announcement())) == "throttled"


def test_refused_requests_do_not_prolong_the_refusal(alice: Caller, three_a_minute, clock):
    document = alice.document()
    for _ in range(20):
        last = alice.post(f"documents/{document['id']}/upload-url/", announcement())
    assert code(last) == "throttled"

    clock[0] += 60
    alice.ticket(document)


# --- Copies of files, and their ends ----------------------------------------------------------------


def test_revoking_urls_is_throttled(alice: Caller, three_a_minute, clock):
    document = alice.document_with_file()
    for _ in range(3):
        assert alice.post(f"documents/{document['id']}/revoke-urls/").status_code == 204

    refused = alice.post(f"documents/{document['id']}/revoke-urls/")

    assert code(refused) == "throttled"
    assert refused.headers["Retry-After"] == "60"


def test_making_qr_codes_is_throttled(curator: Caller, three_a_minute, clock):
    penguin = {"common_name": "African penguin", "scientific_name": "Spheniscus demersus"}
    slug = curator.post("species/", penguin).json()["slug"]
    for _ in range(3):
        assert curator.post(f"species/{slug}/qr-code/").status_code == 200

    assert code(curator.post(f"species/{slug}/qr-code/")) == "throttled"


def test_changes_of_visibility_are_throttled_and_no_other_changes(alice: Caller, three_a_minute, clock):
    document = alice.document_with_file()
    path = f"documents/{document['id']}/"
    for visibility in ("authenticated", "private", "authenticated"):
        assert alice.patch(path, {"visibility": visibility}).status_code == 200

    refused = alice.patch(path, {"visibility": "private", "title": "Never saved"})
    assert code(refused) == "throttled"
    assert refused.headers["Retry-After"] == "60"
    assert code(alice.put(path, {"title": "Never saved", "visibility": "private"})) == "throttled"

    assert alice.patch(path, {"title": "Penguins"}).status_code == 200
    replaced = alice.put(path, {"title": "Sprat", "visibility": "authenticated"}).json()
    assert (replaced["title"], replaced["visibility"]) == ("Sprat", "authenticated")


def test_cancelling_tickets_is_throttled(alice: Caller, three_a_minute, clock):
    """Each call asks the storage again, because the token of the ticket can still be used."""
    ticket = alice.ticket(alice.document())
    for _ in range(3):
        assert alice.delete(f"uploads/{ticket['id']}/").status_code == 204

    assert code(alice.delete(f"uploads/{ticket['id']}/")) == "throttled"


# --- Many at once -----------------------------------------------------------------------------------


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads that take turns so often that a count that is read and written back loses some."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("location", ["", pytest.param(REDIS, marks=needs_redis)], ids=["locmem", "redis"])
def test_of_many_requests_at_once_as_many_as_allowed_get_through(
    settings, monkeypatch, clock, hasty_threads, location: str
):
    if location:
        redis = "backend.redis_cache.RedisCache"
        settings.CACHES = {"default": {"BACKEND": redis, "LOCATION": location}}
    monkeypatch.setitem(TicketRateThrottle.THROTTLE_RATES, "tickets", "300/min")
    request: Any = SimpleNamespace(user=SimpleNamespace(pk=uuid4()))

    with ThreadPoolExecutor(48) as threads:
        allowed = threads.map(lambda _: TicketRateThrottle().allow_request(request, None), range(900))

    assert sum(allowed) == 300


def test_a_cache_that_is_down_does_not_take_the_api_down(alice: Caller, settings):
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
        }
    }
    document = alice.document()

    assert alice.post(f"documents/{document['id']}/upload-url/", announcement()).status_code == 201
