"""The sweep finishes what requests have begun or forgotten, however often and by however many it is run."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from pathlib import Path

import httpx
import pytest
from django.conf import settings
from django.core.files.storage import storages
from django.core.management import call_command, get_commands
from django.core.management.base import CommandError
from django.utils import timezone

from api.catalog.models import Species
from api.models import Removal, Upload
from api.uploads import lifecycle
from storage.local import LocalStorage, resumable_uploads
from storage.local.metadata import digest
from tests.api.documents.test_documents import keys_of
from tests.api.uploads.test_lifecycle import hold
from tests.api.uploads.test_races import prepare, served
from tests.support.cast import PDF, Caller, body, code, down, expire, fetch, send
from tests.support.server import ROOT, Server
from tests.support.waiting import wait_until

OTHER = PDF + b"%other"


def sweep(*arguments: str) -> dict[str, int]:
    """Sweep once, and return what was done."""
    printed = StringIO()
    call_command("sweep", "--json", *arguments, stdout=printed)
    report = json.loads(printed.getvalue())
    assert report["ok"]
    return {action: count for action, count in report["counts"].items() if count}


# --- Tickets ----------------------------------------------------------------------------------------------


def test_there_is_nothing_to_do_in_an_empty_database(db):
    assert sweep() == {}


def test_a_file_whose_client_never_called_back_is_recorded(alice: Caller):
    document = alice.document()
    ticket = alice.ticket(document)
    send(ticket)

    assert sweep() == {"completed": 1}

    assert body(fetch(alice.download_url(document))) == PDF
    assert alice.complete(ticket).status_code == 200
    assert sweep() == {}


def test_a_file_that_is_not_the_declared_one_is_rejected(alice: Caller):
    ticket = alice.ticket(alice.document(), size=len(PDF) + 1)
    send(ticket)

    assert sweep() == {"rejected": 1}

    assert code(alice.complete(ticket)) == "size_mismatch"
    assert keys_of("documents") == keys_of("uploads") == set()


def test_a_ticket_whose_client_still_sends_is_left_alone(alice: Caller):
    ticket = alice.ticket(alice.document())

    assert sweep() == {}
    assert alice.get(f"uploads/{ticket['id']}/").json()["state"] == "pending"


def test_a_verification_that_died_is_finished(alice: Caller):
    document = alice.document()
    ticket = alice.ticket(document)
    send(ticket)
    final_key = f"{alice.id}/moved-before-the-crash.pdf"
    storages["uploads"].move(ticket["path"], storages["documents"], final_key)
    hold(ticket, 60, final_key=final_key)
    assert sweep() == {}, "a living claim is respected"

    hold(ticket, -1)

    assert sweep() == {"completed": 1}
    assert body(fetch(alice.download_url(document))) == PDF


def test_a_verification_that_the_storage_interrupted_is_finished(alice: Caller, monkeypatch):
    document = alice.document()
    ticket = alice.ticket(document)
    send(ticket)
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "open_object", down)
        assert code(alice.complete(ticket)) == "storage_unavailable"
    assert keys_of("uploads") == set()

    assert sweep() == {"completed": 1}
    assert body(fetch(alice.download_url(document))) == PDF


def test_an_expired_ticket_is_marked_and_a_late_file_is_not_lost(alice: Caller):
    document = alice.document()
    ticket, late = alice.ticket(document), alice.ticket(document, OTHER)
    assert code(alice.complete(ticket)) == "object_missing"
    expire(ticket)
    expire(late)
    send(late, OTHER)

    assert sweep() == {"expired": 1, "completed": 1}

    assert Upload.objects.get(pk=ticket["id"]).state == "expired"
    assert code(alice.complete(ticket)) == "ticket_expired"
    send(ticket)
    assert sweep() == {"completed": 1}
    assert body(fetch(alice.download_url(document))) == PDF


def test_a_file_that_arrives_while_its_ticket_is_marked_is_not_lost(alice: Caller, monkeypatch):
    """Two sweeps, and a PUT that ends between their looks at the ticket."""
    document = alice.document()
    ticket = alice.ticket(document)
    expire(ticket)
    expire_ticket = lifecycle.expire

    def be_overtaken(upload):
        assert expire_ticket(upload).state == "expired"
        send(ticket)
        return expire_ticket(upload)

    monkeypatch.setattr(lifecycle, "expire", be_overtaken)
    sweep()

    assert alice.complete(ticket).status_code == 200
    assert body(fetch(alice.download_url(document))) == PDF


def test_a_late_file_that_the_storage_interrupts_is_not_lost(alice: Caller, monkeypatch):
    ticket = alice.ticket(alice.document())
    expire(ticket)
    send(ticket)
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "open_object", down)
        assert code(alice.complete(ticket)) == "storage_unavailable"
        with pytest.raises(CommandError):
            sweep()

    assert alice.complete(ticket).status_code == 200


def test_tickets_that_cannot_be_handled_do_not_keep_others_from_expiring(alice: Caller, settings, scanner):
    refused = [alice.ticket(alice.document(), PDF + b"%down") for _ in range(4)]
    for ticket in refused:
        send(ticket, PDF + b"%down")
        assert code(alice.complete(ticket)) == "scanner_unavailable"
        expire(ticket)
    waiting = alice.ticket(alice.document())
    expire(waiting)

    for _ in range(3):
        with pytest.raises(CommandError):
            sweep()

    assert Upload.objects.get(pk=waiting["id"]).state == "expired"


@pytest.fixture
def scanner(settings) -> None:
    settings.UPLOAD_SCANNER = "tests.support.scanners.scan"


def test_what_a_used_token_sends_again_goes(alice: Caller):
    document = alice.document()
    completed, cancelled, deleted = (alice.ticket(document) for _ in range(3))
    send(completed)
    alice.complete(completed)
    alice.delete(f"uploads/{cancelled['id']}/")
    Upload.objects.filter(pk=deleted["id"]).delete()
    for ticket in (completed, cancelled, deleted):
        send(ticket, OTHER)

    assert sweep() == {"discarded": 2}

    assert keys_of("uploads") == {deleted["path"]}, "its token may still be valid"
    assert body(fetch(alice.download_url(document))) == PDF


def test_what_no_ticket_names_goes_when_its_token_has_expired(alice: Caller, settings):
    ticket = alice.ticket(alice.document())
    send(ticket)
    Upload.objects.all().delete()
    settings.UPLOAD_URL_TTL = -1

    assert sweep() == {"discarded": 1}
    assert keys_of("uploads") == set()


@pytest.mark.parametrize(("days", "kept"), [(30, 1), (60, 2), (0, 3)])
def test_settled_tickets_are_purged_after_their_retention(days: int, kept: int, alice: Caller, settings):
    settings.TICKET_RETENTION_DAYS = days
    document = alice.document_with_file()
    Upload.objects.update(updated_at=timezone.now() - timedelta(days=61))
    alice.delete(f"uploads/{alice.ticket(document)['id']}/")
    Upload.objects.filter(state="cancelled").update(updated_at=timezone.now() - timedelta(days=31))
    alice.ticket(document)
    Upload.objects.filter(state="pending").update(updated_at=timezone.now() - timedelta(days=90))

    sweep()

    assert Upload.objects.count() == kept
    assert Upload.objects.filter(state="pending").exists(), "an open ticket is never purged"
    assert body(fetch(alice.download_url(document))) == PDF


# --- Objects ----------------------------------------------------------------------------------------------


def test_a_qr_code_that_could_not_be_stored_is_made(curator: Caller, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "put", down)
        fields = {"common_name": "African penguin", "scientific_name": "Spheniscus demersus"}
        assert curator.post("species/", fields).json()["qr_code_url"] is None

    assert sweep() == {"qr_codes": 1}
    assert Species.objects.get().qr_code.exists()
    assert sweep() == {}


def test_a_code_that_is_made_meanwhile_is_not_replaced(curator: Caller, monkeypatch):
    fields = {"common_name": "African penguin", "scientific_name": "Spheniscus demersus"}
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "put", down)
        slug = curator.post("species/", fields).json()["slug"]
    put, urls = LocalStorage.put, []

    def be_overtaken(*args, **options):
        monkeypatch.setattr(LocalStorage, "put", put)
        urls.append(curator.post(f"species/{slug}/qr-code/").json()["qr_code_url"])
        return put(*args, **options)

    monkeypatch.setattr(LocalStorage, "put", be_overtaken)

    assert sweep() == {}
    assert curator.get(f"species/{slug}/").json()["qr_code_url"] == urls[0]
    assert len(keys_of("species")) == 1


def interrupt_upload(bucket: str, hours: int) -> None:
    """Leave the first bytes of an upload, the last of which came so many hours ago."""
    facts = {"content_type": "application/pdf", "cache_control": "", "metadata": {}, "upload_metadata": ""}
    resumable_uploads.create(bucket, f"{hours}.pdf", length=10, **facts)
    [received] = Path(settings.MEDIA_ROOT).glob(f".objects/parts/{digest(bucket, f'{hours}.pdf')}/*/bytes")
    os.utime(received, times=(time.time() - hours * 3600,) * 2)


def test_what_interrupted_uploads_have_left_is_deleted(db):
    for bucket in ("media", "documents", "uploads"):
        interrupt_upload(bucket, hours=25)
        interrupt_upload(bucket, hours=23)

    assert sweep() == {"leftovers": 3}
    assert sweep() == {}


# --- Running it -------------------------------------------------------------------------------------------


def test_with_the_storage_down_it_says_so_and_loses_nothing(alice: Caller, monkeypatch):
    document = alice.document_with_file()
    ticket = alice.ticket(document)
    send(ticket, OTHER)
    with monkeypatch.context() as patch:
        for verb in ("delete_object", "move", "walk"):
            patch.setattr(LocalStorage, verb, down)
        alice.delete(f"documents/{document['id']}/")
        for _ in range(2):
            with pytest.raises(CommandError, match="next run"):
                sweep()
        assert Removal.objects.count() == 2

    assert sweep() == {"discarded": 1, "removed": 2}
    assert keys_of("documents") == keys_of("uploads") == set()


def test_a_step_ends_when_the_storage_does_not_answer(alice: Caller, monkeypatch, capsys):
    for _ in range(5):
        send(alice.ticket(alice.document()))
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "move", down)
        with pytest.raises(CommandError):
            call_command("sweep", "--json")

    report = json.loads(capsys.readouterr().out)
    assert [error["action"] for error in report["errors"]].count("completed") == 3
    assert sweep() == {"completed": 5}


def test_one_ticket_that_cannot_be_handled_does_not_stop_the_others(alice: Caller, monkeypatch):
    tickets = [alice.ticket(alice.document()) for _ in range(3)]
    for ticket in tickets:
        send(ticket)
    open_object = LocalStorage.open_object

    def break_once(self, key: str, length: int | None = None):
        monkeypatch.setattr(LocalStorage, "open_object", open_object)
        raise ZeroDivisionError

    monkeypatch.setattr(LocalStorage, "open_object", break_once)
    with pytest.raises(CommandError):
        sweep()

    assert [upload.state for upload in Upload.objects.order_by("id")] == ["pending", "completed", "completed"]


def test_a_dry_run_changes_nothing(alice: Caller, capsys):
    document = alice.document()
    arrived, expired, sent_again = (alice.ticket(document) for _ in range(3))
    send(arrived)
    expire(expired)
    alice.delete(f"uploads/{sent_again['id']}/")
    send(sent_again)
    before = list(Upload.objects.values()), keys_of("uploads"), keys_of("documents")

    call_command("sweep", "--dry-run")

    assert (list(Upload.objects.values()), keys_of("uploads"), keys_of("documents")) == before
    told = capsys.readouterr().out.splitlines()
    assert [line.split() for line in told[:-1]] == [
        ["completed", arrived["id"]],
        ["discarded", f"uploads/{sent_again['path']}"],
        ["expired", expired["id"]],
    ]
    assert told[-1] == "would be done: completed 1, discarded 1, expired 1; failed 0"


@pytest.mark.parametrize("name", ["sweep", "check_supabase"])
def test_the_command_of_the_api_takes_the_place_of_that_of_storage(name: str):
    """It is a subclass, and does both: Django takes the command of the app that comes first."""
    assert get_commands()[name] == "api"


def test_a_limit_bounds_each_step(alice: Caller):
    for _ in range(3):
        send(alice.ticket(alice.document()))

    assert sweep("--limit", "2") == {"completed": 2}
    assert sweep("--limit", "2") == {"completed": 1}


@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5"])
def test_senseless_numbers_are_refused(value: str, db):
    with pytest.raises(CommandError, match="whole number"):
        call_command("sweep", "--limit", value)


def test_every_pass_is_logged_with_its_counts(alice: Caller, caplog):
    send(alice.ticket(alice.document()))
    with caplog.at_level("INFO", "api.sweep"):
        sweep()

    [record] = [each.msg for each in caplog.records if each.name == "api.sweep"]
    assert record["event"] == "sweep_finished"
    assert (record["completed"], record["failed"]) == (1, 0)


# --- Beside the server ------------------------------------------------------------------------------------


def sweeps_of(process_id: int) -> list[int]:
    found = subprocess.run(
        ["pgrep", "-f", f"manage.py sweep.*--parent {process_id}$"], capture_output=True, text=True
    )
    return [int(line) for line in found.stdout.split()]


@pytest.mark.slow
def test_the_server_sweeps_by_itself_and_its_sweep_ends_with_it(tmp_path):
    with Server(tmp_path, SWEEP_EVERY="1") as server:
        alice = server.client("alice@example.org")
        document, _ = prepare(alice)
        path = f"/api/v1/documents/{document['id']}/"
        wait_until(lambda: alice.get(path).json()["file"])
        assert served(alice, document) == PDF

        [before] = sweeps_of(server.process.pid)
        os.kill(server.process.pid, signal.SIGHUP)
        wait_until(lambda: [each != before for each in sweeps_of(server.process.pid)] == [True])
        os.kill(server.process.pid, signal.SIGKILL)
        wait_until(lambda: not sweeps_of(server.process.pid))


@pytest.mark.slow
def test_a_sweep_that_is_terminated_ends_well(tmp_path):
    with Server(tmp_path, workers=1) as server:
        touched = tmp_path / "swept"
        command = [sys.executable, "manage.py", "sweep", "--every", "60", "--touch", touched]
        running = subprocess.Popen(
            command, cwd=ROOT, env=server.environment, stderr=subprocess.PIPE, text=True
        )
        assert "sweep_finished" in running.stderr.readline()
        wait_until(touched.exists)
        running.terminate()
        _, told = running.communicate(timeout=20)

    assert running.returncode == 0
    assert "Traceback" not in told


@pytest.mark.slow
def test_a_sweep_that_breaks_off_touches_nothing(tmp_path):
    """So that the health check of its container notices."""
    server = Server(tmp_path, DATABASE_URL=f"sqlite:///{tmp_path}/none/db.sqlite3")
    touched = tmp_path / "swept"
    command = [sys.executable, "manage.py", "sweep", "--every", "1", "--touch", touched]
    running = subprocess.Popen(command, cwd=ROOT, env=server.environment, stderr=subprocess.PIPE, text=True)
    try:
        ended = (line for line in running.stderr if "sweep_finished" in line)
        assert next(ended)
        assert next(ended)  # the second run: the first one has touched the file, if it does
        assert not touched.exists()
    finally:
        running.kill()
        running.communicate()


@pytest.mark.slow
def test_completions_and_sweeps_at_once_have_one_effect(tmp_path):
    with Server(tmp_path) as server, ThreadPoolExecutor(12) as pool:
        alice = server.client("alice@example.org")
        pairs = [prepare(alice) for _ in range(5)]
        sweeps = [pool.submit(server.manage, "sweep", "--json") for _ in range(3)]
        answers = [pool.submit(alice.post, ticket["complete_url"]) for _, ticket in pairs * 4]

        assert {answer.result().status_code for answer in answers} == {200}
        assert all(json.loads(each.result().splitlines()[-1])["ok"] for each in sweeps)
        for document, ticket in pairs:
            assert served(alice, document) == PDF
            assert httpx.get(ticket["url"]).status_code in (400, 404, 405)
        assert len(list((server.media / "documents").rglob("*.pdf"))) == 5
