"""reconcile_storage: what it finds between rows and objects, and what it deletes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from api import reconciliation
from api.catalog.pictures import SpeciesPicture
from api.demo import drawing
from api.models import Document, Species, Upload
from api.pictures.models import picture_models
from api.uploads import removals
from storage.base import SignedStorage, incoming_store, store_of
from storage.fields import stored_files
from storage.local import LocalStorage
from tests.api.profiles.test_profiles import with_avatar
from tests.api.uploads.test_races import prepare
from tests.support.cast import PDF, Caller, announcement, code, send
from tests.support.server import ROOT, Server

pytestmark = pytest.mark.database
JPEG = drawing.illustration("Otter", "Lutra lutra", ["Mammalia"])


def run(*arguments: str) -> tuple[int, list[str]]:
    """The exit code and the lines but the last, which has the numbers."""
    printed, code = StringIO(), 0
    try:
        call_command("reconcile_storage", *arguments, stdout=printed)
    except SystemExit as stopped:
        code = int(str(stopped.code))
    return code, printed.getvalue().splitlines()[:-1]


def put(store: SignedStorage, key: str, content: bytes = b"otter", hours: float = 2) -> str:
    """An object that is so old."""
    store.put(key, [content], content_type="application/pdf", cache_control="max-age=60")
    grow_old(store, key, hours)
    return f"{store.bucket}/{key}"


def grow_old(store: SignedStorage, key: str, hours: float = 2) -> None:
    """Only a local store can be told when its objects came."""
    assert isinstance(store, LocalStorage)
    path, info = store.objects.locate(key), store.objects.describe(key)
    moment = (timezone.now() - timedelta(hours=hours)).timestamp()
    metadata = {"content_type": info.content_type, "cache_control": info.cache_control, "etag": info.etag}
    content = path.read_bytes()
    store.delete_object(key)
    temporary = path.with_name("old")
    temporary.parent.mkdir(parents=True, exist_ok=True)
    temporary.write_bytes(content)
    os.utime(temporary, (moment, moment))
    store.objects.move_in(temporary, key, metadata={}, **metadata)


def file_of(document: dict[str, Any]) -> Any:
    return Document.objects.get(pk=document["id"]).file


def report(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text())


def rename_file(document: dict[str, Any], key: str) -> None:
    Document.objects.filter(pk=document["id"]).update(file=key)


# --- What it finds ----------------------------------------------------------------------------------------


def test_rows_and_objects_that_agree_are_no_difference(alice: Caller):
    alice.document()
    alice.document_with_file()
    alice.document_with_file(visibility="authenticated")

    assert run() == (0, [])


def test_a_row_whose_object_is_gone_is_missing(alice: Caller):
    lost, kept = alice.document_with_file(), alice.document_with_file()
    key = file_of(lost).key
    file_of(lost).storage.delete(key)

    code, lines = run()

    assert code == 1
    assert lines == [f"missing documents/{key} of api.Document.file {lost['id']}"]
    assert file_of(kept).exists()


def test_an_object_that_nothing_names_is_an_orphan_when_it_is_old(db):
    orphan = put(store_of("documents"), "shared/a.pdf")
    put(store_of("documents"), "shared/young.pdf", hours=0.9)

    assert run() == (1, [f"orphan {orphan}"])


@pytest.mark.parametrize(
    ("recorded", "line"),
    [
        ({"file_size": 7}, "size {}: 7 is recorded, the object has {size}"),
        (
            {"file_content_type": "image/png"},
            "content_type {}: image/png is recorded, the object has application/pdf",
        ),
        ({"file_size": None, "file_facts": {"size": 8}}, "size {}: 8 is recorded, the object has {size}"),
    ],
)
def test_a_row_that_records_something_else_is_a_difference(recorded, line, alice: Caller):
    document = alice.document_with_file()
    Document.objects.filter(pk=document["id"]).update(**recorded)

    code, lines = run()

    where = f"documents/{file_of(document).key} of api.Document.file {document['id']}"
    assert (code, lines) == (1, [line.format(where, size=len(PDF))])


def test_a_file_about_which_nothing_is_recorded_is_compared_by_its_key_only(db):
    species = Species.objects.create(scientific_name="Lutra lutra", common_name="Otter", slug="otter")
    name = store_of("species").save("qr-codes/otter.png", ContentFile(b"code"))
    Species.objects.filter(pk=species.pk).update(qr_code=name)

    assert run() == (0, [])


@pytest.fixture
def pictured(curator: Caller, alice: Caller) -> SpeciesPicture:
    """The picture of a species; the member has an avatar."""
    with_avatar(alice)
    return with_picture(curator)


def test_pictures_and_avatars_with_their_renditions_are_no_difference(pictured: SpeciesPicture):
    files = {file.field.name for file in stored_files(pictured) if file.key}
    assert files == {"original", "webp_320", "webp_640", "webp_1280", "jpeg"}
    for model in picture_models():
        for row in model.objects.all():
            for file in stored_files(row):
                if file.key:
                    grow_old(file.storage, file.key)

    assert run() == (0, [])


def test_a_rendition_that_is_gone_is_missing(pictured: SpeciesPicture):
    jpeg = pictured.jpeg
    jpeg.storage.delete(jpeg.key)

    assert run() == (1, [f"missing species/{jpeg.key} of api.SpeciesPicture.jpeg {pictured.pk}"])


def test_an_original_that_no_row_names_is_an_orphan(pictured: SpeciesPicture):
    orphan = put(store_of("originals"), pictured.original.key + ".old")

    assert run() == (1, [f"orphan {orphan}"])


def with_picture(curator: Caller) -> SpeciesPicture:
    """The first picture of a new species, 1200 pixels wide, after it was sent and verified."""
    names = {"common_name": "Otter", "scientific_name": "Lutra lutra"}
    species = curator.post("species/", names).json()
    path = f"species/{species['slug']}/pictures/upload-url/"
    announced = announcement(JPEG, filename="otter.jpg", content_type="image/jpeg")
    ticket = curator.post(path, announced).json()
    assert send(ticket, JPEG).status_code == 200
    assert curator.complete(ticket).status_code == 200
    return SpeciesPicture.objects.get()


KEYS = ["B", "a b/x", "a-b", "a.txt", "a/b", "a/b.c", "a0", "ab", "z/Z", "z/_", "z/a"]


def test_the_orders_of_the_database_and_of_storage_agree(alice: Caller, monkeypatch):
    """One page at a time, with keys that a collation of words sorts otherwise."""
    monkeypatch.setattr(reconciliation, "PAGE_SIZE", 2)
    asked: list[str] = []
    for key in KEYS:
        document = alice.document()
        put(store_of("documents"), key)
        Document.objects.filter(pk=document["id"]).update(file=key)
    describe = LocalStorage.describe
    monkeypatch.setattr(LocalStorage, "describe", lambda self, key: asked.append(key) or describe(self, key))

    assert run() == (0, [])
    assert asked == []  # each was met by its row at once


def test_several_rows_may_name_one_object(alice: Caller, monkeypatch):
    monkeypatch.setattr(reconciliation, "PAGE_SIZE", 2)
    put(store_of("documents"), "shared/a.pdf")
    for key in ("shared/a.pdf", "shared/gone.pdf"):
        for _ in range(5):
            rename_file(alice.document(), key)

    code, lines = run()

    assert (code, len(lines)) == (1, 5)
    assert len(set(lines)) == 5
    assert all(line.startswith("missing documents/shared/gone.pdf") for line in lines)


def test_an_order_that_differs_invents_nothing(alice: Caller, monkeypatch):
    """A server may order keys in its own way."""
    documents = [alice.document_with_file() for _ in range(4)]
    for document in documents:
        grow_old(store_of("documents"), file_of(document).key)
    walk = LocalStorage.walk
    monkeypatch.setattr(LocalStorage, "walk", lambda self, prefix="": reversed(list(walk(self, prefix))))

    assert run() == (0, [])


@pytest.mark.parametrize("expired", [False, True])
def test_what_an_open_ticket_names_is_no_orphan(expired, alice: Caller):
    ticket = alice.ticket(alice.document())
    send(ticket)
    grow_old(incoming_store(), ticket["path"])
    if expired:  # late is not lost
        Upload.objects.update(expires_at=timezone.now() - timedelta(hours=1))

    assert run() == (0, [])


@pytest.mark.parametrize("named", ["final_key", "earlier_keys"])
def test_what_a_claim_may_have_moved_is_no_orphan(named, alice: Caller):
    alice.ticket(alice.document())
    orphan = put(store_of("documents"), "shared/a.pdf")
    chosen = "shared/a.pdf" if named == "final_key" else ["shared/a.pdf", "shared/b.pdf"]

    Upload.objects.update(state=Upload.State.VERIFYING, **{named: chosen})
    assert run() == (0, [])

    Upload.objects.update(state=Upload.State.CANCELLED)
    assert run() == (1, [f"orphan {orphan}"])


def test_what_is_sent_with_a_ticket_that_is_over_is_an_orphan(alice: Caller):
    ticket = alice.ticket(alice.document())
    alice.delete(f"uploads/{ticket['id']}/")
    send(ticket)
    grow_old(incoming_store(), ticket["path"])

    assert run() == (1, [f"orphan uploads/{ticket['path']}"])


def test_a_bucket_that_no_model_has_is_left_alone(db):
    """Other apps keep their files in the default bucket."""
    put(store_of("default"), "theirs.pdf")

    assert run() == (0, [])
    with pytest.raises(CommandError, match="not a bucket of the models") as refused:
        run("--bucket", "media")
    assert refused.value.returncode == 2


def test_a_file_of_another_app_is_no_orphan(db, settings):
    """A site may keep other files in a bucket of Vivarium's."""
    settings.MIGRATE_BUCKETS = {"api.Species.qr_code": "documents"}
    put(store_of("documents"), "elsewhere.jpg")
    Species.objects.create(
        scientific_name="Lutra lutra", common_name="Otter", slug="otter", qr_code="elsewhere.jpg"
    )

    code, lines = run("--bucket", "documents")

    assert (code, lines) == (0, [])


def test_only_the_named_buckets_are_compared(db):
    orphans = [put(store_of(bucket), "a.pdf") for bucket in ("documents", "exhibitions", "species")]

    code, lines = run("--bucket", "species", "--bucket", "documents")

    assert (code, lines) == (1, [f"orphan {orphans[0]}", f"orphan {orphans[2]}"])


# --- While others write -----------------------------------------------------------------------------------


def test_a_row_that_changes_meanwhile_is_no_difference(alice: Caller, monkeypatch):
    """Its object is deleted after the row was read."""
    document = alice.document_with_file()
    old = file_of(document)
    walk = LocalStorage.walk

    def meanwhile(self: LocalStorage, prefix: str = "") -> Iterator[Any]:
        if self.bucket == "documents" and file_of(document).key == old.key:
            put(self, "shared/new.pdf", PDF)
            rename_file(document, "shared/new.pdf")
            old.storage.delete(old.key)
        yield from walk(self, prefix)

    monkeypatch.setattr(LocalStorage, "walk", meanwhile)

    assert run() == (0, [])


def test_an_object_that_is_named_meanwhile_is_not_deleted(alice: Caller, monkeypatch, tmp_path):
    put(store_of("documents"), "shared/a.pdf", PDF)
    document = alice.document()
    describe, asked = LocalStorage.describe, []

    def meanwhile(self: LocalStorage, key: str) -> Any:
        asked.append(key)
        if len(asked) == 2:  # it was reported before
            rename_file(document, "shared/a.pdf")
        return describe(self, key)

    monkeypatch.setattr(LocalStorage, "describe", meanwhile)

    run("--delete-orphans", "--yes", "--report", str(tmp_path / "report.json"))

    assert store_of("documents").exists("shared/a.pdf")
    assert "deleted_at" not in report(tmp_path / "report.json")[0]


# --- The report and the deletion --------------------------------------------------------------------------


def test_nothing_is_deleted_unless_asked(db, tmp_path):
    put(store_of("documents"), "shared/a.pdf")
    path = tmp_path / "report.json"

    run("--report", str(path))

    assert store_of("documents").exists("shared/a.pdf")
    (entry,) = report(path)
    assert (entry["status"], entry["size"]) == ("orphan", 5)
    assert "deleted_at" not in entry


def test_a_deleted_orphan_can_be_looked_up_in_the_report(alice: Caller, tmp_path):
    kept, missing = alice.document_with_file(), alice.document_with_file()
    grow_old(store_of("documents"), file_of(kept).key)
    file_of(missing).storage.delete(file_of(missing).key)
    orphan = put(store_of("documents"), "shared/a.pdf")
    info = store_of("documents").describe("shared/a.pdf")
    path = tmp_path / "report.json"

    code, lines = run("--delete-orphans", "--yes", "--report", str(path))

    assert code == 1  # the missing one is left
    assert f"orphan {orphan}: deleted" in lines
    assert not store_of("documents").exists("shared/a.pdf")
    assert file_of(kept).exists()
    by_status = {entry["status"]: entry for entry in report(path)}
    assert by_status["missing"]["row"] == f"api.Document.file {missing['id']}"
    entry = by_status["orphan"]
    assert entry.pop("deleted_at") <= timezone.now().isoformat()
    assert entry == {
        "status": "orphan",
        "bucket": "documents",
        "key": "shared/a.pdf",
        "row": None,
        "recorded_size": None,
        "recorded_content_type": None,
        "size": 5,
        "content_type": "application/pdf",
        "cache_control": "max-age=60",
        "etag": info.etag,
        "created_at": info.created_at.isoformat(),
        "last_modified": info.last_modified.isoformat(),
    }


def test_when_all_orphans_are_deleted_nothing_is_left_to_do(db, tmp_path):
    for bucket in ("documents", "species", "uploads"):
        put(store_of(bucket), "a/b.pdf")
    path = tmp_path / "report.json"

    code, lines = run("--delete-orphans", "--yes", "--report", str(path))

    assert (code, len(lines)) == (0, 3)
    assert [entry["bucket"] for entry in report(path)] == ["documents", "species", "uploads"]
    assert run() == (0, [])


def test_the_record_is_written_before_the_object_is_deleted(db, tmp_path, monkeypatch):
    """... and whole, if the store fails then."""
    put(store_of("documents"), "a.pdf")
    path = tmp_path / "report.json"
    found: list[Any] = []

    def failing(self: LocalStorage, key: str) -> None:
        found.extend(report(path))
        raise PermissionError("no")

    monkeypatch.setattr(LocalStorage, "delete_object", failing)
    with pytest.raises(CommandError, match="Not completed") as stopped:
        run("--delete-orphans", "--yes", "--report", str(path))

    assert stopped.value.returncode == 2
    assert [entry["key"] for entry in found] == ["a.pdf"]
    assert report(path) == found


def test_what_cannot_be_recorded_is_not_deleted(db, tmp_path, monkeypatch):
    put(store_of("documents"), "a.pdf")

    def failing(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reconciliation.os, "fsync", failing)
    with pytest.raises(CommandError, match="No space left"):
        run("--delete-orphans", "--yes", "--report", str(tmp_path / "report.json"))

    assert store_of("documents").exists("a.pdf")


def test_a_report_is_never_overwritten(db, tmp_path):
    path = tmp_path / "report.json"
    path.write_text("the record of another day")
    put(store_of("documents"), "a.pdf")

    with pytest.raises(CommandError, match="FileExistsError"):
        run("--delete-orphans", "--yes", "--report", str(path))

    assert path.read_text() == "the record of another day"
    assert store_of("documents").exists("a.pdf")


def test_an_empty_report_is_valid(db, tmp_path):
    run("--report", str(tmp_path / "report.json"))

    assert report(tmp_path / "report.json") == []


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("typed", "deleted"),
    [(Terminal("y\n"), True), (Terminal("n\n"), False), (Terminal("\n"), False), (StringIO("y\n"), False)],
    ids=["yes", "no", "nothing", "no terminal"],
)
def test_a_deletion_needs_a_yes(typed, deleted, db, tmp_path, monkeypatch):
    put(store_of("documents"), "a.pdf")
    monkeypatch.setattr(sys, "stdin", typed)

    with suppress(CommandError):
        run("--delete-orphans", "--report", str(tmp_path / "report.json"))

    assert store_of("documents").exists("a.pdf") is not deleted


def test_a_deletion_without_a_terminal_says_what_is_needed(db):
    with pytest.raises(CommandError, match="no terminal") as refused:
        run("--delete-orphans")

    assert refused.value.returncode == 2


def test_a_deletion_is_recorded_also_without_a_name_for_the_report(db, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(store_of("documents"), "a.pdf")

    code, lines = run("--delete-orphans", "--yes")

    [path] = tmp_path.glob("reconcile_storage-*.json")
    assert (code, lines[0]) == (0, f"Deleted objects are recorded in {path.name}")
    assert [entry["key"] for entry in report(path)] == ["a.pdf"]


def test_a_held_file_is_no_orphan(alice: Caller, settings, monkeypatch):
    settings.UPLOAD_SCANNER = "tests.support.scanners.holds_all"
    monkeypatch.setattr(reconciliation, "GRACE", timedelta(0))
    ticket = alice.ticket(alice.document())
    send(ticket)
    assert code(alice.complete(ticket)) == "held"

    assert run()[0] == 0


def test_an_object_whose_removal_is_scheduled_is_no_orphan(alice: Caller, tmp_path):
    put(store_of("documents"), "a.pdf")
    removals.schedule([(store_of("documents"), "a.pdf")], alice.id)

    code, lines = run("--delete-orphans", "--yes", "--report", str(tmp_path / "report.json"))

    assert code == 0
    assert "pending_removal documents/a.pdf" in lines
    assert store_of("documents").exists("a.pdf")


def test_a_store_in_trouble_ends_the_comparison(alice: Caller, settings):
    alice.document_with_file()
    media = Path(settings.MEDIA_ROOT)
    media.rename(media.with_name("elsewhere"))
    media.write_text("no folder")

    with pytest.raises(CommandError, match="Not completed, run it again: StorageUnavailable") as stopped:
        run()

    assert stopped.value.returncode == 2


# --- On Supabase ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Iterator[tuple[Server, Server]]:
    """A server with `STORAGE=supabase`, and the one that stands for its project, with nothing of others."""
    with Server(tmp_path_factory.mktemp("project"), workers=1) as there:
        settings = {
            "STORAGE": "supabase",
            "SUPABASE_URL": there.url,
            "SUPABASE_SECRET_KEY": there.service_key(),
            "SUPABASE_JWT_ISSUER": f"{there.url}/auth/v1",
        }
        with Server(tmp_path_factory.mktemp("site"), workers=1, **settings) as here:
            yield here, there


CONTENT = [PDF + b"%kept", PDF + b"%lost"]


def with_file(alice: httpx.Client, content: bytes) -> dict[str, Any]:
    document, ticket = prepare(alice, content)
    assert alice.post(ticket["complete_url"]).status_code == 200
    return document


def reconcile_on(site: Server, *arguments: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "manage.py", "reconcile_storage", *arguments],
        cwd=ROOT,
        env=site.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, done.stdout.splitlines()[:-1]


@pytest.mark.slow
def test_it_is_the_same_on_supabase(two, settings, tmp_path):
    here, there = two
    settings.MEDIA_ROOT = str(there.media)
    documents, alice = LocalStorage("documents"), here.client("alice@example.org")
    _, lost = (with_file(alice, content) for content in CONTENT)
    key = next(
        key for key in documents.objects.walk() if documents.objects.locate(key).read_bytes() == CONTENT[1]
    )
    documents.delete(key)
    orphan = put(documents, "shared/a.pdf")
    put(documents, ".arriving/b")
    path = tmp_path / "report.json"

    missing = f"missing documents/{key} of api.Document.file {lost['id']}"
    assert reconcile_on(here) == (1, [missing, f"orphan {orphan}"])
    arguments = ("--delete-orphans", "--yes", "--report", str(path))
    assert reconcile_on(here, *arguments) == (1, [missing, f"orphan {orphan}: deleted"])
    assert reconcile_on(here) == (1, [missing])

    assert [entry["size"] for entry in report(path)] == [None, 5]
    assert len(list(documents.objects.walk())) == 2  # the kept one, and what is still arriving
