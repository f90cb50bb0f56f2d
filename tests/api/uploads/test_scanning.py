"""The scanner's hook: a file is published when it is accepted, and ClamAV as an example of a scanner."""

import os
import socketserver
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import StringIO

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import CommandError

from api.documents.models import Document
from api.models import Upload
from storage.local import LocalStorage
from tests.api.documents.test_documents import keys_of
from tests.api.profiles.test_profiles import PNG
from tests.backend.test_settings import read
from tests.support.cast import PDF, Caller, announcement, body, code, down, fetch, send
from tests.support.server import ROOT

HOLD, REJECT, DOWN = (PDF + mark for mark in (b"%hold", b"%reject", b"%down"))
EICAR = PDF + b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


@pytest.fixture
def scanner(settings) -> None:
    settings.UPLOAD_SCANNER = "tests.support.scanners.scan"


def sent(who: Caller, content: bytes, **fields) -> tuple[dict, dict]:
    """A document, and a ticket whose file is sent."""
    document = who.document(**fields)
    ticket = who.ticket(document, content)
    send(ticket, content)
    return document, ticket


def release_upload(*arguments: str) -> str:
    printed = StringIO()
    call_command("release_upload", *arguments, stdout=printed)
    return printed.getvalue().strip()


def state() -> str:
    return Upload.objects.get().state


def test_an_accepted_file_is_published(alice: Caller, scanner):
    document, ticket = sent(alice, PDF)

    assert alice.complete(ticket).status_code == 200
    assert body(fetch(alice.download_url(document))) == PDF


def test_a_rejected_file_is_deleted_and_its_code_told_however_often_asked(alice: Caller, scanner):
    alice.client.own_codes = ["too_silly"]
    document, ticket = sent(alice, REJECT)

    answers = [alice.complete(ticket) for _ in range(2)]

    for answer in answers:
        assert (answer.status_code, code(answer)) == (422, "too_silly")
        assert answer.json()["detail"] == "This file is silly."
    assert alice.get(f"documents/{document['id']}/").json()["file"] is None
    assert keys_of("documents") == keys_of("uploads") == set()


def test_a_scanner_that_is_down_leaves_the_ticket_as_it_was(alice: Caller, settings, scanner):
    _, ticket = sent(alice, DOWN)

    answer = alice.complete(ticket)

    assert (answer.status_code, code(answer)) == (503, "scanner_unavailable")
    assert answer.headers["Retry-After"]
    assert state() == "pending"
    settings.UPLOAD_SCANNER = ""
    assert alice.complete(ticket).status_code == 200


def test_a_scanner_that_returns_nothing_publishes_nothing(alice: Caller, settings):
    settings.UPLOAD_SCANNER = "tests.support.scanners.forgets_to_return"
    _, ticket = sent(alice, PDF)

    assert code(alice.complete(ticket)) == "internal"
    assert Document.objects.get().file.name == ""


# --- On hold ----------------------------------------------------------------------------------------------


def test_a_held_file_is_where_no_member_can_read_it_until_it_is_released(alice: Caller, scanner):
    document, ticket = sent(alice, HOLD, visibility="authenticated")

    answers = [alice.complete(ticket) for _ in range(2)]

    assert [(answer.status_code, code(answer)) for answer in answers] == [(409, "held")] * 2
    assert alice.get(f"uploads/{ticket['id']}/").json()["state"] == "held"
    assert alice.get(f"documents/{document['id']}/").json()["file"] is None
    assert keys_of("documents") == set()
    [key] = keys_of("uploads")
    assert key.startswith("held/")
    call_command("sweep")
    assert (state(), keys_of("uploads")) == ("held", {key})

    assert release_upload(ticket["id"]) == "released"

    assert body(fetch(alice.download_url(document))) == HOLD
    assert alice.complete(ticket).status_code == 200
    [key] = keys_of("documents")
    assert key.startswith(f"shared/{alice.id}/")


def test_a_held_file_can_be_rejected(alice: Caller, scanner):
    _, ticket = sent(alice, HOLD)
    alice.complete(ticket)

    assert release_upload(ticket["id"], "--reject", "infected") == "rejected"

    answer = alice.complete(ticket)
    assert (answer.status_code, code(answer)) == (422, "infected")
    assert alice.get(f"uploads/{ticket['id']}/").json()["found"]["size"] == len(HOLD)
    assert keys_of("documents") == keys_of("uploads") == set()


@pytest.mark.parametrize("how", ["cancelled", "deleted", "erased"])
def test_a_held_file_goes_with_its_ticket(how: str, alice: Caller, scanner):
    document, ticket = sent(alice, HOLD)
    alice.complete(ticket)

    if how == "cancelled":
        assert alice.delete(f"uploads/{ticket['id']}/").status_code == 204
    elif how == "deleted":
        assert alice.delete(f"documents/{document['id']}/").status_code == 204
    else:
        assert alice.delete("profiles/me/").status_code == 200

    assert keys_of("documents") == keys_of("uploads") == set()
    with pytest.raises(CommandError, match="is not held"):
        release_upload(ticket["id"])


def test_what_a_token_sends_while_the_file_is_held_does_not_stay(alice: Caller, scanner):
    document, ticket = sent(alice, HOLD)
    alice.complete(ticket)
    send(ticket, PDF)

    call_command("sweep")
    assert ticket["path"] not in keys_of("uploads")
    release_upload(ticket["id"])

    assert body(fetch(alice.download_url(document))) == HOLD


def test_a_release_that_the_storage_interrupts_is_finished_by_the_next(alice: Caller, scanner, monkeypatch):
    document, ticket = sent(alice, HOLD)
    alice.complete(ticket)
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "open_object", down)
        with pytest.raises(CommandError, match="run it again"):
            release_upload(ticket["id"])

    assert release_upload(ticket["id"]) == "released"
    assert body(fetch(alice.download_url(document))) == HOLD


def test_a_held_picture_of_the_catalogue_is_not_in_its_public_bucket(curator: Caller, settings):
    settings.UPLOAD_SCANNER = "tests.support.scanners.holds_all"
    fields = {"common_name": "African penguin", "scientific_name": "Spheniscus demersus"}
    species = curator.post("species/", fields).json()
    before = keys_of("species")
    said = announcement(PNG, filename="penguin.png", content_type="image/png")
    ticket = curator.post(f"species/{species['slug']}/upload-url/", said).json()
    send(ticket, PNG)

    assert code(curator.complete(ticket)) == "held"

    assert keys_of("species") == before
    assert keys_of("originals") == set()
    release_upload(ticket["id"])
    assert curator.get(f"species/{species['slug']}/").json()["image_url"]


def test_only_a_held_upload_can_be_released(alice: Caller):
    _, ticket = sent(alice, PDF)

    for upload, told in ((ticket["id"], "pending"), ("01971f6d-1d0a-7c11-9f0e-5b8c2f6f3a11", "missing")):
        with pytest.raises(CommandError, match=f"it is {told}"):
            release_upload(upload)


# --- ClamAV -----------------------------------------------------------------------------------------------


class Clamd(socketserver.BaseRequestHandler):
    """As clamd(8) describes INSTREAM: chunks with their length before them, at the end one of length 0."""

    def handle(self) -> None:
        assert self._read(10) == b"zINSTREAM\0"
        content = b""
        while size := struct.unpack(">I", self._read(4))[0]:
            content += self._read(size)
        self.request.sendall(self.server.reply(content))

    def _read(self, size: int) -> bytes:
        parts = b""
        while len(parts) < size:
            parts += self.request.recv(size - len(parts))
        return parts


@pytest.fixture
def clamd(settings) -> Iterator[socketserver.TCPServer]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Clamd) as server:
        server.reply = lambda content: (
            b"stream: Eicar-Signature FOUND\0" if b"EICAR" in content else b"stream: OK\0"
        )
        settings.UPLOAD_SCANNER = "api.uploads.clamav.scan"
        settings.CLAMAV_ADDRESS = f"127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def test_clamav_accepts_and_rejects(alice: Caller, clamd):
    document, clean = sent(alice, PDF * 20)
    _, infected = sent(alice, EICAR)

    assert alice.complete(clean).status_code == 200
    assert body(fetch(alice.download_url(document))) == PDF * 20
    answer = alice.complete(infected)
    assert (answer.status_code, code(answer)) == (422, "infected")
    assert len(keys_of("documents")) == 1


@pytest.mark.parametrize("reply", [b"UNKNOWN COMMAND\0", b"", b"OK then\0"])
def test_an_answer_of_clamav_that_is_no_verdict_publishes_nothing(reply: bytes, alice: Caller, clamd):
    clamd.reply = lambda content: reply
    _, ticket = sent(alice, PDF)

    assert code(alice.complete(ticket)) == "scanner_unavailable"
    assert state() == "pending"


def test_a_file_that_is_too_large_for_clamav_is_held(alice: Caller, clamd):
    clamd.reply = lambda content: b"INSTREAM size limit exceeded. ERROR\0"
    _, ticket = sent(alice, PDF)

    assert code(alice.complete(ticket)) == "held"


def test_without_clamav_nothing_is_published(alice: Caller, clamd, settings):
    settings.CLAMAV_ADDRESS = "127.0.0.1:9"
    _, ticket = sent(alice, PDF)

    assert code(alice.complete(ticket)) == "scanner_unavailable"


# --- Start-up ---------------------------------------------------------------------------------------------


def test_a_scanner_that_does_not_exist_keeps_a_process_from_starting():
    environment = {
        **os.environ,
        "ENV_FILE": os.devnull,
        "DEBUG": "true",
        "UPLOAD_SCANNER": "nowhere.to.be.found",
    }
    started = subprocess.run(
        [sys.executable, "-c", "import backend.wsgi"],
        cwd=ROOT,
        env={**environment, "DJANGO_SETTINGS_MODULE": "backend.settings"},
        capture_output=True,
        text=True,
    )

    assert started.returncode == 1
    assert "ImproperlyConfigured: UPLOAD_SCANNER" in started.stderr


@pytest.mark.parametrize("path", ["api.uploads.scanning.nobody", "api.uploads.clamav.MAX_REPLY"])
def test_a_scanner_that_is_no_function_is_refused_at_start_up(path: str, settings):
    settings.UPLOAD_SCANNER = path

    with pytest.raises(ImproperlyConfigured, match="UPLOAD_SCANNER"):
        apps.get_app_config("api").ready()


def test_an_address_of_clamav_without_a_port_is_refused_at_start_up():
    with pytest.raises(ImproperlyConfigured, match="CLAMAV_ADDRESS"):
        read("CLAMAV_ADDRESS", DEBUG="true", CLAMAV_ADDRESS="localhost")
