"""The local store reports new objects in the incoming bucket, and no upload depends on whether it can."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from django.test import Client

from storage import tokens, webhooks
from storage.local.server import webhook
from tests.storage.local.server.test_tus_uploads import Upload
from tests.support.cast import announcement
from tests.support.server import Server
from tests.support.storage_cast import PDF, service

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # the example of the specification


class Receiver(ThreadingHTTPServer):
    """Keeps the messages that it is sent, and answers with `status` once it is `open`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiving)
        self.messages: list[tuple[bytes, dict[str, str]]] = []
        self.status = 204
        self.open = threading.Event()
        self.open.set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook/"

    def told(self, count: int = 1) -> list[Any]:
        """What was reported, once it is so much; each message must have a valid signature."""
        until(lambda: len(self.messages) >= count)
        for body, headers in self.messages:
            assert webhooks.verify(body, headers, SECRET) == headers["webhook-id"]
            assert headers["content-type"] == "application/json"
        return [json.loads(body) for body, _ in self.messages]


class Receiving(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.messages.append((body, {name.lower(): value for name, value in self.headers.items()}))
        self.server.open.wait(30)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


def until(is_true: Callable[[], bool]) -> None:
    for _ in range(300):
        if is_true():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen within 15 seconds")


@pytest.fixture
def receiver(settings) -> Iterator[Receiver]:
    with Receiver() as receiver:
        settings.STORAGE_WEBHOOK_SECRET, settings.STORAGE_WEBHOOK_URL = SECRET, receiver.url
        yield receiver
        receiver.open.set()
        receiver.shutdown()


def inserted(key: str) -> webhooks.Event:
    return webhooks.event("INSERT", "uploads", key)


# --- What is reported -------------------------------------------------------------------------------


def test_an_upload_with_the_key(receiver: Receiver):
    service.put("uploads/k/post.pdf")
    service.ask("PUT", "object/uploads/k/put.pdf", PDF, content_type="application/pdf")

    assert receiver.told(2) == [inserted("k/post.pdf"), inserted("k/put.pdf")]


def test_an_upload_with_a_signed_url(receiver: Receiver):
    token = tokens.mint("upload", "uploads", "k/signed.pdf", 60)
    url = f"/storage/v1/object/upload/sign/uploads/k/signed.pdf?token={token}"

    assert Client().put(url, PDF, content_type="application/pdf").status_code == 200
    assert receiver.told() == [inserted("k/signed.pdf")]


def test_an_upload_in_parts_once_it_is_whole(receiver: Receiver):
    upload = Upload("k/parts.pdf", len(PDF), "uploads")
    upload.patch(PDF[:10])
    service.put("uploads/k/meanwhile.pdf")
    upload.patch(PDF[10:], 10)
    upload.head()

    assert receiver.told(2) == [inserted("k/meanwhile.pdf"), inserted("k/parts.pdf")]


def test_a_copy_and_a_move_into_the_bucket(receiver: Receiver):
    service.put("documents/k/source.pdf")
    into = {"bucketId": "documents", "sourceKey": "k/source.pdf", "destinationBucket": "uploads"}
    assert service.ask("POST", "object/copy", {**into, "destinationKey": "k/copy.pdf"}).status_code == 200
    assert service.ask("POST", "object/move", {**into, "destinationKey": "k/move.pdf"}).status_code == 200

    assert receiver.told(2) == [inserted("k/copy.pdf"), webhooks.event("UPDATE", "uploads", "k/move.pdf")]


def test_other_buckets_and_what_was_refused_are_not_reported(receiver: Receiver):
    service.put("documents/k/other.pdf")
    assert service.upload("uploads/k/no.pdf", content_type="text/x").status_code == 400
    service.put("uploads/k/last.pdf")  # messages are sent in order
    assert service.upload("uploads/k/last.pdf").status_code == 400
    service.put("uploads/k/very-last.pdf")

    assert receiver.told(2) == [inserted("k/last.pdf"), inserted("k/very-last.pdf")]


def test_without_a_secret_nothing_is_reported(receiver: Receiver, settings):
    settings.STORAGE_WEBHOOK_SECRET = ""
    service.put("uploads/k/unsaid.pdf")
    settings.STORAGE_WEBHOOK_SECRET = SECRET
    service.put("uploads/k/said.pdf")

    assert receiver.told() == [inserted("k/said.pdf")]


# --- No upload depends on it ------------------------------------------------------------------------


def test_no_upload_waits_for_the_receiver(receiver: Receiver):
    receiver.open.clear()
    for number in range(3):
        service.put(f"uploads/k/{number}.pdf")
    receiver.open.set()

    assert receiver.told(3) == [inserted(f"k/{number}.pdf") for number in range(3)]


def test_what_does_not_fit_in_the_queue_is_dropped_and_logged(receiver: Receiver, caplog):
    receiver.open.clear()
    service.put("uploads/k/first.pdf")
    receiver.told()  # its answer is awaited
    for number in range(webhook.QUEUE_SIZE):
        webhook.report("INSERT", "uploads", f"k/{number}.pdf")

    service.put("uploads/k/too-much.pdf")

    assert caplog.text.count("webhook_dropped") == 1
    receiver.open.set()
    assert inserted("k/too-much.pdf") not in receiver.told(1 + webhook.QUEUE_SIZE)


def test_a_receiver_that_refuses_is_logged(receiver: Receiver, caplog):
    receiver.status = 500

    service.put("uploads/k/refused.pdf")

    until(lambda: "webhook_not_accepted" in caplog.text)
    assert "'status': 500" in caplog.text


def test_a_receiver_that_is_not_there_is_logged_without_its_url(receiver: Receiver, settings, caplog):
    settings.STORAGE_WEBHOOK_URL = "http://hush:hush@127.0.0.1:9/hush/"
    service.put("uploads/k/lost.pdf")
    until(lambda: "webhook_not_sent" in caplog.text)
    settings.STORAGE_WEBHOOK_URL = receiver.url
    service.put("uploads/k/next.pdf")

    assert receiver.told() == [inserted("k/next.pdf")]
    assert "hush" not in caplog.text
    assert SECRET not in caplog.text


# --- A real server ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_without_the_callback_of_the_client_the_ticket_is_completed(tmp_path: Path):
    """Store and API are one process, which has one worker; the proxy of the environment is not used."""
    environment = {"STORAGE_WEBHOOK_SECRET": SECRET, "http_proxy": "http://127.0.0.1:9"}
    with Server(tmp_path, workers=1, **environment) as server:
        alice = server.client(f"{uuid4()}@example.org")
        document = alice.post("/api/v1/documents/", json={"title": "Feeding plan"}).json()
        ticket = alice.post(f"/api/v1/documents/{document['id']}/upload-url/", json=announcement(PDF)).json()
        httpx.put(ticket["url"], content=PDF, headers=ticket["headers"]).raise_for_status()

        until(lambda: alice.get(f"/api/v1/uploads/{ticket['id']}/").json()["state"] == "completed")
        assert alice.post(ticket["complete_url"]).status_code == 200
        assert SECRET not in server.log.read_text()
