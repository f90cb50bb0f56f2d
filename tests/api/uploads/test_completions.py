"""Several tickets completed by one request: each gets what it would get alone."""

import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.utils import timezone

from api.models import Upload
from api.throttling import CompletionRateThrottle
from api.uploads import completions, verification
from storage import budget
from storage.budget import request_budget
from storage.local import LocalStorage
from tests.api.test_queries import cost
from tests.support.cast import Caller, code, down, send


def complete(who: Caller, *ids: Any, **headers: str) -> Any:
    return who.post("uploads/complete/", {"ids": ids}, headers=headers)


def results(answer: Any) -> list[dict]:
    assert answer.status_code == 200, answer.content
    return answer.json()["results"]


def codes(answer: Any) -> list[str | None]:
    return [result["problem"] and result["problem"]["code"] for result in results(answer)]


def sent(who: Caller, content: bytes | None = None, **announced: Any) -> dict:
    """A ticket whose file has arrived."""
    ticket = who.ticket(who.document(), **announced)
    send(ticket, **({} if content is None else {"content": content}))
    return ticket


@pytest.fixture
def cases(alice: Caller, bob: Caller) -> dict[str, dict]:
    cancelled = alice.ticket(alice.document())
    alice.delete(f"uploads/{cancelled['id']}/")
    verified = sent(alice)
    lease = timezone.now() + timedelta(minutes=1)
    Upload.objects.filter(pk=verified["id"]).update(
        state="verifying", claim_id=uuid4(), lease_expires_at=lease
    )
    cases = {
        "sent": sent(alice),
        "missing": alice.ticket(alice.document()),
        "rejected": sent(alice, size=1),
        "cancelled": cancelled,
        "verified": verified,
        "foreign": sent(bob),
        "unknown": {"id": str(uuid4())},
    }
    for ticket in cases.values():
        ticket["complete_url"] = f"uploads/{ticket['id']}/complete/"
    return cases


def test_each_is_answered_as_it_would_be_alone_in_the_order_asked(cases, alice: Caller, monkeypatch):
    monkeypatch.setattr("api.uploads.lifecycle.WAIT_SECONDS", 0.1)
    ids = [ticket["id"] for ticket in cases.values()]
    ids += [ids[0], ids[1].upper()]

    found = results(complete(alice, *ids))

    assert [result["id"] for result in found] == [upload_id.lower() for upload_id in ids]
    for result, ticket in zip(found, [*cases.values(), cases["sent"], cases["missing"]], strict=True):
        alone = alice.complete(ticket)
        assert result.keys() == {"id", "upload", "problem"}
        if alone.status_code == 200:
            assert (result["upload"], result["problem"]) == (alone.json(), None)
        else:
            problem = alone.json()
            assert result["upload"] is None
            assert result["problem"] == {name: problem[name] for name in ("status", "code", "detail")}
    assert [result["problem"] and result["problem"]["code"] for result in found] == [
        None,
        "object_missing",
        "size_mismatch",
        "ticket_cancelled",
        "verification_in_progress",
        "not_found",
        "not_found",
        None,
        "object_missing",
    ]


def test_staff_complete_their_own_only(alice: Caller, curator: Caller, nobody: Caller):
    hers, theirs = sent(alice), sent(curator)

    assert codes(complete(curator, hers["id"], theirs["id"])) == ["permission_denied", None]
    assert code(complete(nobody, hers["id"])) == "not_authenticated"
    assert Upload.objects.get(pk=hers["id"]).state == "pending"


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({}, "#/ids"),
        ({"ids": []}, "#/ids"),
        ({"ids": None}, "#/ids"),
        ({"ids": "01971f6e-8c5b-7a40-b0a5-3d6b1c1f7e55"}, "#/ids"),
        ({"ids": [str(uuid4()) for _ in range(51)]}, "#/ids"),
        ({"ids": ["01971f6e-8c5b-7a40-b0a5-3d6b1c1f7e55", "me"]}, "#/ids/1"),
        ({"ids": [1]}, "#/ids/0"),
        ({"ids": ["01971f6e8c5b7a40b0a53d6b1c1f7e55"]}, "#/ids/0"),
        ({"ids": [["01971f6e-8c5b-7a40-b0a5-3d6b1c1f7e55"]]}, "#/ids/0"),
        ([], "#"),
    ],
)
def test_a_senseless_list_is_refused(asked: Any, pointer: str, alice: Caller):
    answer = alice.post("uploads/complete/", asked)

    assert (answer.status_code, code(answer)) == (400, "invalid")
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


def test_the_details_are_in_the_language_asked_for(alice: Caller):
    [result] = results(complete(alice, uuid4(), **{"accept-language": "es"}))

    assert result["problem"]["detail"].startswith("Esto no existe")


# --- Trouble --------------------------------------------------------------------------------------------


def test_a_store_that_fails_for_one_does_not_fail_for_the_others(alice: Caller, monkeypatch):
    one, two, three = (sent(alice)["id"] for _ in range(3))
    move = LocalStorage.move

    def fail_for_two(store: Any, key: str, *rest: Any) -> Any:
        return down() if key.startswith(two) else move(store, key, *rest)

    monkeypatch.setattr(LocalStorage, "move", fail_for_two)

    assert codes(complete(alice, one, two, three)) == [None, "storage_unavailable", None]
    assert Upload.objects.get(pk=two).state == "pending"


def test_a_bug_is_logged_and_does_not_spoil_the_others(alice: Caller, monkeypatch, caplog):
    one, two = (sent(alice)["id"] for _ in range(2))
    verify = verification.verify

    def fail_once(*args: Any) -> Any:
        monkeypatch.setattr(verification, "verify", verify)
        raise TypeError("a bug")

    monkeypatch.setattr(verification, "verify", fail_once)
    found = results(complete(alice, one, two))

    assert found[0]["problem"]["status"] == 500
    assert found[0]["problem"]["code"] == "internal"
    assert "a bug" not in found[0]["problem"]["detail"]
    assert found[1]["upload"]["state"] == "completed"
    [logged] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert logged.msg["event"] == "unhandled_exception"
    assert logged.msg["upload"] == one


def test_all_waits_together_take_no_longer_than_one(alice: Caller, monkeypatch):
    monkeypatch.setattr(completions, "SECONDS", 0.3)
    ids = [sent(alice)["id"] for _ in range(6)]
    lease = timezone.now() + timedelta(minutes=1)
    Upload.objects.filter(pk__in=ids[:-1]).update(state="verifying", lease_expires_at=lease)
    started = time.monotonic()

    found = codes(complete(alice, *ids))

    assert found == ["verification_in_progress"] + 5 * ["not_ready"]
    assert time.monotonic() - started < 3
    assert Upload.objects.get(pk=ids[-1]).state == "pending"


def test_when_the_time_for_the_storage_is_used_up_no_other_is_begun(alice: Caller, monkeypatch):
    one, two = (sent(alice)["id"] for _ in range(2))
    verify = verification.verify

    def use_up(*args: Any) -> Any:
        budget.current().left = 0
        return verify(*args)

    monkeypatch.setattr(verification, "verify", use_up)
    found = results(complete(alice, one, two))

    assert found[0]["upload"]
    assert (found[1]["problem"]["status"], found[1]["problem"]["code"]) == (503, "not_ready")
    with request_budget(1):
        assert not budget.is_used_up()


# --- How often ------------------------------------------------------------------------------------------


def test_each_id_counts_and_too_many_do_nothing(alice: Caller, monkeypatch):
    monkeypatch.setitem(CompletionRateThrottle.THROTTLE_RATES, "complete", "5/day")
    ticket = sent(alice)
    assert codes(complete(alice, *[uuid4()] * 3)) == ["not_found"] * 3

    refused = complete(alice, *[ticket["id"]] * 3)

    assert (refused.status_code, code(refused)) == (429, "throttled")
    assert refused.headers["Retry-After"]
    assert Upload.objects.get().state == "pending"
    assert codes(complete(alice, *[ticket["id"]] * 2)) == [None, None]
    assert code(alice.complete(ticket)) == "throttled"


def test_a_first_request_for_too_many_is_refused_too(alice: Caller, monkeypatch):
    monkeypatch.setitem(CompletionRateThrottle.THROTTLE_RATES, "complete", "5/day")
    cache.clear()

    assert code(complete(alice, *[uuid4()] * 6)) == "throttled"
    assert len(codes(complete(alice, *[uuid4()] * 5))) == 5


def test_ids_that_are_not_ones_own_cost_as_much_as_one(alice: Caller, bob: Caller):
    foreign = sent(bob)["id"]
    one = cost(lambda: complete(alice, foreign))

    assert cost(lambda: complete(alice, *[uuid4() for _ in range(49)], foreign)) == one <= 1


def test_a_repeated_id_is_completed_once(alice: Caller):
    ticket = sent(alice)
    complete(alice, ticket["id"])

    once = cost(lambda: complete(alice, ticket["id"]))

    assert cost(lambda: complete(alice, *[ticket["id"]] * 50)) <= once + 1
