"""Whether the process lives and can work: asked without a token, answered without writing."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from tests.support.cast import PDF, Caller, code
from tests.support.server import ROOT


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def files_below(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_health_is_told_to_everybody(client: Client, db, path: str):
    for headers in ({}, {"authorization": "Bearer rubbish"}, {"accept": "text/html"}):
        answer = client.get(path, headers=headers)
        assert answer.status_code == 200
        assert answer.json() == {"status": "ok"}
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"
    assert client.head(path).status_code == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_health_is_read_only(client: Client, db, path: str):
    for method in ("post", "put", "patch", "delete"):
        answer = getattr(client, method)(path)
        assert code(answer) == "method_not_allowed"
        assert "GET" in answer.headers["Allow"]
    assert code(client.get(f"{path}/")) == "not_found"


def test_livez_asks_nothing_of_the_database_and_the_store(client: Client, settings, tmp_path: Path):
    """No `db` here: a query would fail."""
    (tmp_path / "file").write_text("in the way")
    settings.MEDIA_ROOT = str(tmp_path / "file" / "media")

    assert client.get("/livez").status_code == 200


def test_readyz_is_ready_before_the_first_upload_and_writes_nothing(client: Client, db, settings, tmp_path):
    settings.MEDIA_ROOT = str(tmp_path / "not" / "yet" / "there")

    for _ in range(3):
        assert client.get("/readyz").status_code == 200

    assert files_below(tmp_path) == []


def test_readyz_leaves_a_store_in_use_as_it_is(alice: Caller, client: Client, settings):
    alice.document_with_file(PDF)
    media = Path(settings.MEDIA_ROOT)
    before = files_below(media)

    assert client.get("/readyz").status_code == 200

    assert files_below(media) == before != []


def test_readyz_says_that_the_store_cannot_be_used(client: Client, db, settings, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "file").chmod(0o755)  # else it is refused for that alone

    for place in (tmp_path / "file", tmp_path / "file" / "media", tmp_path / "file" / "a" / "b"):
        settings.MEDIA_ROOT = str(place)
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert code(answer, "part") == "storage_unavailable"
        assert answer.json()["part"] == "storage"
        assert int(answer.headers["Retry-After"]) > 0
        assert str(tmp_path) not in answer.content.decode()
    assert (tmp_path / "file").read_text() == "in the way"


def test_readyz_says_that_the_folder_is_not_ours_to_write(
    client: Client, db, settings, tmp_path: Path, monkeypatch
):
    """The system answers for root too as it does for everybody else."""
    (tmp_path / "media").mkdir(mode=0o500)
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    settings.MEDIA_ROOT = str(tmp_path / "media")

    assert code(client.get("/readyz"), "part") == "storage_unavailable"


@pytest.mark.parametrize("missing", [{"app": "sessions"}, {"app": "api"}, {}], ids=str)
def test_readyz_says_that_migrations_are_pending(client: Client, db, missing: dict[str, str]):
    recorded = MigrationRecorder(connection).migration_qs
    before = list(recorded.all())
    recorded.filter(**missing).delete()

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert code(answer, "part") == "not_ready"
    assert answer.json()["part"] == "migrations"
    assert "manage.py migrate" in answer.json()["detail"]
    assert int(answer.headers["Retry-After"]) > 0
    assert client.get("/livez").status_code == 200

    recorded.all().delete()
    recorded.bulk_create(before)
    assert client.get("/readyz").status_code == 200


def test_readyz_says_that_there_are_no_tables_yet(client: Client, db):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_migrations RENAME TO moved_away")

    assert client.get("/readyz").json()["part"] == "migrations"


PROBE = """
import django; django.setup()
from django.test import Client
for path in ("/livez", "/readyz"):
    answer = Client(raise_request_exception=False).get(path, headers={"host": "localhost"})
    print(answer.status_code, answer.headers.get("Retry-After"), answer.content.decode())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "database",
    ["sqlite:////nonexistent/folder/db.sqlite3", "postgres://zoo:hush-hush@127.0.0.1:1/zoo"],
)
def test_readyz_says_that_the_database_is_down(database: str, tmp_path: Path):
    environment: dict[str, Any] = {
        "ENV_FILE": os.devnull,
        "DEBUG": "true",
        "DATABASE_URL": database,
        "MEDIA_ROOT": str(tmp_path / "media"),
        "DJANGO_SETTINGS_MODULE": "backend.settings",
    }

    done = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=ROOT, env=environment, capture_output=True, text=True
    )

    live, ready = done.stdout.splitlines()
    assert live.startswith("200 ")
    assert ready.startswith("503 5 ")
    assert '"not_ready"' in ready
    assert '"part": "database"' in ready
    assert "hush-hush" not in done.stdout + done.stderr
    assert not (tmp_path / "media").exists()
