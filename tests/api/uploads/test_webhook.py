"""The storage webhook: a signed report completes a ticket, and everything else does nothing."""

import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from standardwebhooks import Webhook

from api.models import Upload, WebhookMessage
from api.uploads import claims
from storage import webhooks
from storage.errors import StorageUnavailable
from storage.local.objects import LocalObjects
from storage.webhooks import signing_key
from tests.api.documents.test_documents import keys_of
from tests.api.uploads.test_races import prepare
from tests.support.cast import PDF, Caller, code, send
from tests.support.server import Server

PATH = "/api/v1/webhooks/storage/"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # the example of the specification
NOW = timedelta(0)


@pytest.fixture(autouse=True)
def _secret(settings):
    settings.STORAGE_WEBHOOK_SECRET = SECRET


def event(key: str, bucket: str = "uploads", **changes: Any) -> dict[str, Any]:
    return {**webhooks.event("INSERT", bucket, key), **changes}


def signed(body: str, *, secret: str = SECRET, age: timedelta = NOW, id: str = "") -> dict[str, str]:
    """The headers of a message, as any sender of Standard Webhooks makes them."""
    id, sent_at = id or str(uuid4()), datetime.now(UTC) - age
    return {
        "webhook-id": id,
        "webhook-timestamp": str(int(sent_at.timestamp())),
        "webhook-signature": Webhook(signing_key(secret)).sign(id, sent_at, body),
    }


def deliver(body: Any, headers: dict[str, str] | None = None, **options: Any) -> Any:
    sent = body if isinstance(body, str) else json.dumps(body)
    headers = signed(sent) if headers is None else headers
    return Client(raise_request_exception=False).post(
        PATH, sent, content_type="application/json", headers=headers, **options
    )


def state(who: Caller, ticket: dict[str, Any]) -> str:
    return who.get(f"uploads/{ticket['id']}/").json()["state"]


@pytest.fixture
def ticket(alice: Caller) -> dict[str, Any]:
    """A ticket whose file is sent."""
    ticket = alice.ticket(alice.document())
    assert send(ticket).status_code == 200
    return ticket


# --- What it is for ---------------------------------------------------------------------------------


def test_a_sent_file_is_recorded_although_the_client_never_calls_back(alice: Caller):
    document = alice.document()
    ticket = alice.ticket(document)
    send(ticket)

    answer = deliver(event(ticket["path"]))

    assert (answer.status_code, answer.content) == (204, b"")
    assert state(alice, ticket) == "completed"
    assert alice.get(f"documents/{document['id']}/").json()["file"]["name"] == "guía.pdf"


def test_the_client_that_calls_back_afterwards_gets_the_usual_answer(alice: Caller, ticket):
    deliver(event(ticket["path"]))

    assert alice.complete(ticket).status_code == 200


def test_the_secret_as_bearer_token_is_accepted_from_a_sender_that_cannot_sign(alice: Caller, ticket):
    """With the whole row, as Database Webhooks of the dashboard send it."""
    row = {"id": str(uuid4()), "bucket_id": "uploads", "name": ticket["path"], "metadata": {"size": 9}}

    answer = deliver(event("", type="UPDATE", record=row), {"authorization": f"Bearer {SECRET}"})

    assert answer.status_code == 204
    assert state(alice, ticket) == "completed"


def test_a_secret_that_is_plain_text_signs_with_its_own_bytes(alice: Caller, ticket, settings):
    settings.STORAGE_WEBHOOK_SECRET = "a-plain-secret-of-a-zoo-in-Lisbon"
    body = json.dumps(event(ticket["path"]))

    assert deliver(body, signed(body, secret=settings.STORAGE_WEBHOOK_SECRET)).status_code == 204
    assert state(alice, ticket) == "completed"


def test_a_wrong_file_is_rejected_and_the_sender_is_not_bothered(alice: Caller):
    ticket = alice.ticket(alice.document(), size=1)
    send(ticket)

    assert deliver(event(ticket["path"])).status_code == 204
    assert state(alice, ticket) == "rejected"
    assert keys_of("uploads") == set()


def test_what_is_sent_again_after_a_rejection_is_deleted(alice: Caller):
    ticket = alice.ticket(alice.document(), size=1)
    send(ticket)
    deliver(event(ticket["path"]))
    send(ticket)

    assert deliver(event(ticket["path"])).status_code == 204
    assert keys_of("uploads") == set()
    assert state(alice, ticket) == "rejected"


def test_the_file_of_a_document_that_is_deleted_meanwhile_does_not_stay(alice: Caller):
    document = alice.document()
    ticket = alice.ticket(document)
    alice.delete(f"documents/{document['id']}/")
    send(ticket)

    assert deliver(event(ticket["path"])).status_code == 204
    assert state(alice, ticket) == "cancelled"
    assert keys_of("uploads") | keys_of("documents") == set()


# --- What it refuses --------------------------------------------------------------------------------


def wrong_headers(body: str) -> dict[str, dict[str, str]]:
    right = signed(body)
    return {
        "nothing": {},
        "no id": {name: right[name] for name in ("webhook-timestamp", "webhook-signature")},
        "no timestamp": {name: right[name] for name in ("webhook-id", "webhook-signature")},
        "no signature": {name: right[name] for name in ("webhook-id", "webhook-timestamp")},
        "another secret": signed(body, secret="whsec_" + "A" * 32),
        "another body": signed(body + " "),
        "another id": {**right, "webhook-id": str(uuid4())},
        "another timestamp": {**right, "webhook-timestamp": str(int(right["webhook-timestamp"]) - 1)},
        "too old": signed(body, age=timedelta(minutes=5, seconds=5)),
        "too new": signed(body, age=-timedelta(minutes=5, seconds=5)),
        "another version": {**right, "webhook-signature": right["webhook-signature"].replace("v1", "v2")},
        "no version": {**right, "webhook-signature": right["webhook-signature"].removeprefix("v1,")},
        "not base64": {**right, "webhook-signature": "v1,é"},
        "no number": {**right, "webhook-timestamp": "nan"},
        "a long id": signed(body, id="i" * 256),
        "another bearer": {"authorization": "Bearer whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx"},
        "not ASCII": {"authorization": "Bearer é"},
        "another scheme": {"authorization": f"Basic {SECRET}"},
        "no scheme": {"authorization": SECRET},
        "a wrong signature beside the secret": {**wrong(right), "authorization": f"Bearer {SECRET}"},
    }


def wrong(headers: dict[str, str]) -> dict[str, str]:
    return {**headers, "webhook-signature": "v1,AAAA"}


@pytest.mark.parametrize("name", wrong_headers(""))
def test_without_a_valid_signature_or_the_secret_nothing_is_done(name: str, alice: Caller, ticket):
    body = json.dumps(event(ticket["path"]))

    answer = deliver(body, wrong_headers(body)[name])

    assert (answer.status_code, code(answer)) == (401, "signature_invalid")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert SECRET not in answer.content.decode()
    assert state(alice, ticket) == "pending"
    assert not WebhookMessage.objects.exists()


def test_an_access_token_is_not_the_secret(alice: Caller, ticket):
    answer = alice.post(PATH, event(ticket["path"]))

    assert (answer.status_code, code(answer)) == (401, "signature_invalid")
    assert state(alice, ticket) == "pending"


def test_a_body_that_is_not_utf_8_is_not_signed(db):
    answer = Client().post(PATH, b"\xff", content_type="application/json", headers=signed("x"))

    assert (answer.status_code, code(answer)) == (401, "signature_invalid")


@pytest.mark.parametrize(
    "headers",
    [None, {}, {"authorization": f"Bearer {SECRET}"}],
    ids=["signed", "unsigned", "with the secret"],
)
def test_a_huge_body_is_not_read(headers, alice: Caller, ticket):
    body = json.dumps({**event(ticket["path"]), "padding": "x" * 3_000_000})

    answer = deliver(body, headers)

    assert (answer.status_code, code(answer)) == (413, "too_large")
    assert state(alice, ticket) == "pending"


def test_the_reason_is_logged_without_the_secret(alice: Caller, ticket, caplog):
    body = json.dumps(event(ticket["path"]))
    with caplog.at_level(logging.WARNING):
        deliver(body, signed(body, age=timedelta(minutes=10)))

    logged = " ".join(str(record.msg) for record in caplog.records)
    assert "webhook_refused" in logged
    assert "Message timestamp too old" in logged
    assert SECRET not in logged


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
def test_it_is_only_posted_to(method: str, db):
    headers = {"authorization": f"Bearer {SECRET}"}

    assert getattr(Client(), method)(PATH, headers=headers).status_code == 405


def test_without_a_secret_there_is_no_such_path(alice: Caller, ticket, settings):
    settings.STORAGE_WEBHOOK_SECRET = ""
    body = json.dumps(event(ticket["path"]))

    for headers in ({}, {"authorization": "Bearer "}, {"authorization": "Bearer"}, signed(body)):
        answer = deliver(body, headers)
        assert (answer.status_code, code(answer)) == (404, "not_found")
    assert state(alice, ticket) == "pending"


# --- What is not ours -------------------------------------------------------------------------------

FOREIGN: dict[str, Callable[[str], Any]] = {
    "another bucket": lambda key: event(key, "documents"),
    "an unknown key": lambda key: event(key + "x"),
    "a deletion": lambda key: event(key, type="DELETE"),
    "another table": lambda key: event(key, table="buckets"),
    "another schema": lambda key: event(key, schema="public"),
    "no record": lambda key: event(key, record=None),
    "a record without a name": lambda key: event(key, record={"bucket_id": "uploads"}),
    "a name that is no text": lambda key: event(key, record={"bucket_id": "uploads", "name": [key]}),
    "a name that no database stores": lambda key: event(key + "\0"),
    "a name with half a character": lambda key: event(key + "\ud800"),
    "a list": lambda key: [event(key)],
    "no JSON": lambda key: key,
    "nothing": lambda key: "",
    "brackets": lambda key: "[" * 100_000,
}


@pytest.mark.parametrize("body", FOREIGN.values(), ids=FOREIGN)
def test_a_signed_report_of_anything_else_does_nothing(body, alice: Caller, ticket):
    answer = deliver(body(ticket["path"]))

    assert (answer.status_code, answer.content) == (204, b"")
    assert state(alice, ticket) == "pending"
    assert len(keys_of("uploads")) == 1


def test_a_report_before_the_file_is_there_leaves_the_ticket_open(alice: Caller):
    ticket = alice.ticket(alice.document())

    assert deliver(event(ticket["path"])).status_code == 204
    assert state(alice, ticket) == "pending"


def test_nobody_waits_while_another_caller_verifies(alice: Caller, ticket, monkeypatch):
    now = timezone.now()
    Upload.objects.update(state="verifying", claim_id=uuid4(), lease_expires_at=now + timedelta(minutes=1))
    monkeypatch.setattr(claims.time, "sleep", lambda seconds: pytest.fail("waits"))

    assert deliver(event(ticket["path"])).status_code == 204


def test_a_claim_that_has_expired_is_taken_over(alice: Caller, ticket):
    Upload.objects.update(state="verifying", claim_id=uuid4(), lease_expires_at=timezone.now())

    assert deliver(event(ticket["path"])).status_code == 204
    assert state(alice, ticket) == "completed"


# --- Replays ----------------------------------------------------------------------------------------


def test_a_replay_is_refused_and_changes_nothing(alice: Caller, ticket):
    body = json.dumps(event(ticket["path"]))
    headers = signed(body)
    assert deliver(body, headers).status_code == 204
    send(ticket)
    before = keys_of("uploads")

    replayed = deliver(body, headers)

    assert (replayed.status_code, code(replayed)) == (401, "signature_invalid")
    assert keys_of("uploads") == before


def test_the_same_report_in_a_new_message_is_no_replay(alice: Caller, ticket):
    for _ in range(2):
        assert deliver(event(ticket["path"])).status_code == 204


def test_a_message_whose_processing_failed_may_be_sent_again(alice: Caller, ticket, monkeypatch):
    body = json.dumps(event(ticket["path"]))
    headers = signed(body)
    with monkeypatch.context() as patched:
        patched.setattr(LocalObjects, "move", out_of_order)
        failed = deliver(body, headers)

    assert (failed.status_code, code(failed)) == (503, "storage_unavailable")
    assert failed.headers["Retry-After"]
    assert state(alice, ticket) == "pending"
    assert deliver(body, headers).status_code == 204
    assert state(alice, ticket) == "completed"


def out_of_order(*arguments: Any) -> None:
    raise StorageUnavailable("made up")


def test_messages_are_kept_until_they_could_not_be_accepted_again(alice: Caller, ticket):
    deliver(event(ticket["path"]))
    call_command("sweep")
    assert WebhookMessage.objects.exists()
    WebhookMessage.objects.update(
        received_at=timezone.now() - WebhookMessage.RETENTION - timedelta(seconds=1)
    )

    call_command("sweep")
    assert not WebhookMessage.objects.exists()
    assert WebhookMessage.RETENTION >= 2 * webhooks.TOLERANCE


# --- A real server ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def webhook_server(tmp_path_factory) -> Any:
    """A server with the secret, to which its own store reports nothing: nobody listens there."""
    environment = {"STORAGE_WEBHOOK_SECRET": SECRET, "STORAGE_WEBHOOK_URL": "http://127.0.0.1:9/"}
    with Server(tmp_path_factory.mktemp("webhook"), **environment) as server:
        yield server


@pytest.mark.slow
def test_of_twenty_replays_at_once_one_is_accepted(webhook_server: Server):
    alice = webhook_server.client("alice@example.org")
    _, ticket = prepare(alice)
    body = json.dumps(event(ticket["path"]))
    headers = {**signed(body), "Content-Type": "application/json"}

    with ThreadPoolExecutor(20) as pool:
        answers = list(
            pool.map(
                lambda _: (
                    httpx.post(
                        f"{webhook_server.url}{PATH}", content=body, headers=headers, timeout=60
                    ).status_code
                ),
                range(20),
            )
        )

    assert sorted(answers) == [204] + [401] * 19
    assert alice.get(f"/api/v1/uploads/{ticket['id']}/").json()["state"] == "completed"


@pytest.mark.slow
def test_reports_and_callbacks_at_once_have_one_effect(webhook_server: Server):
    alice = webhook_server.client("bob@example.org")
    document, ticket = prepare(alice)
    body = json.dumps(event(ticket["path"]))

    def report() -> int:
        headers = {**signed(body), "Content-Type": "application/json"}
        answer = httpx.post(f"{webhook_server.url}{PATH}", content=body, headers=headers, timeout=60)
        return answer.status_code

    acts = [report, lambda: alice.post(ticket["complete_url"]).status_code] * 8
    with ThreadPoolExecutor(len(acts)) as pool:
        answers = list(pool.map(lambda act: act(), acts))

    assert set(answers) == {204, 200}
    assert len(list((webhook_server.media / "documents").rglob(f"{document['owner']['id']}/*/*"))) == 1


@pytest.mark.slow
def test_a_chunked_body_is_read_and_a_huge_one_is_not(webhook_server: Server):
    alice = webhook_server.client("carol@example.org")
    _, ticket = prepare(alice)
    body = json.dumps(event(ticket["path"]))
    url = f"{webhook_server.url}{PATH}"

    huge = httpx.post(url, content=iter([b"x" * 1_200_000]), headers=signed(body))
    sent = httpx.post(url, content=iter([body[:50].encode(), body[50:].encode()]), headers=signed(body))

    assert huge.status_code == 413
    assert sent.status_code == 204
    assert alice.get(f"/api/v1/uploads/{ticket['id']}/").json()["state"] == "completed"


@pytest.mark.slow
def test_no_line_of_the_log_has_the_secret(webhook_server: Server):
    body = json.dumps(event("a/b.pdf"))
    headers = {**signed(body, secret="whsec_" + "B" * 32), "Authorization": f"Bearer {SECRET}"}
    assert httpx.post(f"{webhook_server.url}{PATH}", content=body, headers=headers).status_code == 401

    log = Path(webhook_server.log).read_text()

    assert "webhook_refused" in log
    assert SECRET not in log
    assert SECRET.removeprefix("whsec_") not in log
    assert PDF.decode("latin-1") not in log
