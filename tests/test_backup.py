"""docs/backup.md: database and objects are lost and restored, by the page's own commands."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx
import psycopg
import pytest

from tests.api.catalog.test_galleries import picture
from tests.conftest import missing
from tests.storage.project import empty_database, server_url, skip_without_postgresql
from tests.support.cast import PDF, announcement
from tests.support.server import ROOT, Server

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "backup.md").read_text()
JPEG = {"filename": "otter.jpg", "content_type": "image/jpeg"}


def commands(heading: str) -> list[str]:
    """Return the blocks of commands below a heading."""
    chapter = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^```bash\n(.*?)^```", chapter, re.MULTILINE | re.DOTALL)
    python = f"{sys.executable} {ROOT / 'manage.py'}"
    return [block.replace(".venv/bin/python manage.py", python) for block in found]


def need(*programs: str) -> None:
    for program in programs:
        if not shutil.which(program):
            missing(f"{program} is needed to make and restore a back-up")


def run(script: str, site: Server, **variables: str) -> str:
    """Run a script in the folder of the site, and return what it prints."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=site.folder,
        env={**site.environment, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def paused(script: str, after: list[str], site: Server) -> Iterator["Script"]:
    """Run a script that waits after each line that begins with one of these words."""
    lines = [
        f"{line}\necho paused\nread -r\n" if line.startswith(tuple(after)) else f"{line}\n"
        for line in script.splitlines()
    ]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    command = ["bash", "-euo", "pipefail", "-c", "".join(lines) + 'echo "in $BACKUP"']
    with subprocess.Popen(command, cwd=site.folder, env=site.environment, text=True, **pipes) as process:
        yield Script(process.stdin, process.stdout)  # type: ignore[arg-type]
    assert process.returncode == 0


@dataclass
class Script:
    stdin: IO[str]
    stdout: IO[str]

    def wait(self) -> None:
        assert self.stdout.readline() == "paused\n"

    def go_on(self) -> None:
        self.stdin.write("\n")
        self.stdin.flush()

    def finish(self) -> str:
        """Return the folder of the back-up."""
        said = self.stdout.read()
        assert said.startswith("in backups/"), said
        return said.removeprefix("in ").strip()


@dataclass
class Zoo:
    """What members do on a site, and what they then see."""

    site: Server
    alice: httpx.Client = field(init=False)
    curator: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.alice = self.site.client("alice@example.org")
        self.curator = self.site.client("curator@example.org", role="staff")

    def document(self, title: str) -> str:
        return self.alice.post("/api/v1/documents/", json={"title": title}).raise_for_status().json()["id"]

    def ticket(self, document: str, content: bytes) -> dict[str, Any]:
        path = f"/api/v1/documents/{document}/upload-url/"
        return self.alice.post(path, json=announcement(content)).raise_for_status().json()

    def send(self, ticket: dict[str, Any], content: bytes) -> None:
        httpx.put(ticket["url"], content=content, headers=ticket["headers"]).raise_for_status()

    def complete(self, ticket: dict[str, Any]) -> httpx.Response:
        return self.alice.post(ticket["complete_url"])

    def with_file(self, title: str) -> str:
        """Return the id of a document whose file has its title at the end."""
        document, content = self.document(title), content_of(title)
        ticket = self.ticket(document, content)
        self.send(ticket, content)
        self.complete(ticket).raise_for_status()
        return document

    def delete(self, document: str) -> None:
        self.alice.delete(f"/api/v1/documents/{document}/").raise_for_status()

    def delete_without_storage(self, document: str) -> None:
        """Delete a document while the disk fails, so that its object waits for its removal."""
        locks = self.site.media / ".objects" / "locks"
        locks.rename(locks.with_name("away"))
        locks.touch()
        self.delete(document)
        locks.unlink()
        locks.with_name("away").rename(locks)

    def add_picture(self) -> None:
        names = {"common_name": "Otter", "scientific_name": "Lutra lutra", "published": True}
        self.curator.post("/api/v1/species/", json=names).raise_for_status()
        content = picture()
        path = "/api/v1/species/otter/pictures/upload-url/"
        ticket = self.curator.post(path, json=announcement(content, **JPEG)).raise_for_status().json()
        self.send(ticket, content)
        assert self.curator.post(ticket["complete_url"]).raise_for_status().json()["processing"] is False

    def file(self, document: str) -> tuple[bytes, str]:
        """Return the bytes that are downloaded, and their ETag."""
        url = self.alice.get(f"/api/v1/documents/{document}/download-url/").raise_for_status().json()["url"]
        answer = httpx.get(url).raise_for_status()
        return answer.content, answer.headers["ETag"]

    def renditions(self) -> list[bytes]:
        listed = self.curator.get("/api/v1/species/otter/pictures/").raise_for_status().json()["results"]
        return [
            httpx.get(each["url"]).raise_for_status().content for row in listed for each in row["renditions"]
        ]

    def reconcile(self, *options: str) -> tuple[int, list[str]]:
        """Return the exit code and the differences."""
        command = [sys.executable, "manage.py", "reconcile_storage", *options]
        done = subprocess.run(
            command, cwd=ROOT, env=self.site.environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode in (0, 1), done.stderr
        return done.returncode, done.stdout.splitlines()[:-1]

    def objects(self) -> list[Path]:
        return [path for path in self.site.media.glob("[a-z]*/**/*.*") if path.is_file()]

    def has_object(self, title: str) -> bool:
        return any(path.read_bytes() == content_of(title) for path in self.objects())

    def age_objects(self) -> None:
        """Objects of the last hour are not taken for orphans."""
        for path in self.objects():
            at = path.stat().st_mtime_ns - 2 * 3600 * 10**9
            os.utime(path, ns=(at, at))


def content_of(title: str) -> bytes:
    return PDF + b"%" + title.encode()


@contextmanager
def on_sqlite(folder: Path) -> Iterator[tuple[Server, Any]]:
    need("sqlite3")
    with Server(folder, workers=1) as site:
        with sqlite3.connect(site.database) as database:
            assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",), "as the page says"

        def lose() -> None:
            for path in folder.glob("db.sqlite3*"):
                path.unlink()

        yield site, lose


@contextmanager
def on_postgresql(folder: Path, **settings: str) -> Iterator[tuple[Server, Any]]:
    skip_without_postgresql()
    need("pg_dump", "pg_restore")
    with empty_database() as name:

        def lose() -> None:
            with psycopg.connect(server_url(), autocommit=True) as admin:
                admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
                admin.execute(f"CREATE DATABASE {name}")

        address = re.sub(r"^\w+(://.*)/\w+$", rf"postgres\1/{name}", server_url())
        with Server(folder, workers=1, DATABASE_URL=address, **settings) as site:
            yield site, lose


SITES = {
    "SQLite and the local store": (on_sqlite, "sqlite3"),
    "PostgreSQL and the local store": (on_postgresql, "pg_dump"),
}


@pytest.mark.parametrize("heading", SITES)
def test_all_is_lost_and_restored(heading: str, tmp_path: Path):
    need("bash", "rsync")
    database, dump = SITES[heading]
    back_up, restore = commands(heading)
    with database(tmp_path) as (site, lose):
        zoo = Zoo(site)
        kept, gone, back = (zoo.with_file(title) for title in ("kept", "deleted before", "deleted after"))
        zoo.delete_without_storage(zoo.with_file("removal"))
        zoo.add_picture()
        late, sent, unsent = (zoo.document(title) for title in ("late", "sent", "unsent"))
        tickets = {each: zoo.ticket(each, content_of(each)) for each in (late, sent, unsent)}
        zoo.send(tickets[sent], content_of(sent))

        with paused(back_up, ['rsync -a media/ "$BACKUP/media/"', dump], site) as script:
            script.wait()  # the objects are copied
            early = zoo.with_file("early")
            zoo.delete(gone)
            before = {each: zoo.file(each) for each in (kept, back, early)}
            renditions = zoo.renditions()
            script.go_on()
            script.wait()  # the database is dumped
            zoo.send(tickets[late], content_of(late))
            zoo.complete(tickets[late]).raise_for_status()
            zoo.delete(back)
            script.go_on()
            script.wait()  # the objects are copied again
            script.go_on()
            folder = script.finish()

        site.kill()
        shutil.rmtree(site.media)
        lose()
        run(restore, site, BACKUP=folder)
        site.start()

        assert {each: zoo.file(each) for each in before} == before
        assert [content for content, _ in before.values()] == [
            content_of(title) for title in ("kept", "deleted after", "early")
        ]
        assert zoo.renditions() == renditions != []

        zoo.send(tickets[unsent], content_of(unsent))
        for each in (unsent, sent):
            zoo.complete(tickets[each]).raise_for_status()
            assert zoo.file(each)[0] == content_of(each)
        assert zoo.complete(tickets[late]).json()["code"] == "object_missing"
        zoo.ticket(late, content_of(late))

        assert zoo.has_object("removal")
        site.manage("sweep")
        assert not zoo.has_object("removal")

        zoo.age_objects()
        code, orphans = zoo.reconcile("--delete-orphans", "--yes", "--report", str(tmp_path / "report.json"))
        assert code == 0
        assert [re.sub("/.*:", "", line) for line in orphans] == ["orphan documents deleted"] * 2
        assert zoo.reconcile() == (0, [])
        assert zoo.file(kept)[0] == content_of("kept")


def test_objects_of_supabase_are_lost_and_restored(tmp_path: Path):
    need("bash")
    back_up, restore = commands("Supabase")
    (tmp_path / "site").mkdir()
    with Server(tmp_path / "project", workers=1) as project:
        settings = {
            "STORAGE": "supabase",
            "SUPABASE_URL": project.url,
            "SUPABASE_SECRET_KEY": project.service_key(),
            "SUPABASE_JWT_ISSUER": f"{project.url}/auth/v1",
        }
        with on_postgresql(tmp_path / "site", **settings) as (site, lose):
            zoo = Zoo(site)
            kept, unsent = zoo.with_file("kept"), zoo.document("unsent")
            ticket = zoo.ticket(unsent, content_of("unsent"))
            zoo.add_picture()
            before, renditions = zoo.file(kept), zoo.renditions()

            folder = run(f"{back_up}\necho $BACKUP", site).splitlines()[-1]
            site.kill()
            lose()
            empty(project)
            run(restore, site, BACKUP=folder)
            site.start()

            assert (zoo.file(kept), zoo.renditions()) == (before, renditions)
            zoo.send(ticket, content_of("unsent"))
            zoo.complete(ticket).raise_for_status()
            assert zoo.file(unsent)[0] == content_of("unsent")


def empty(project: Server) -> None:
    """Delete all objects and all buckets."""
    for folder in project.media.iterdir():
        shutil.rmtree(folder)


@pytest.mark.parametrize(("options", "is_kept"), [(["--format=posix"], True), (["--format=gnu"], False)])
def test_tar_keeps_modification_times_with_an_option(options: list[str], is_kept: bool, tmp_path: Path):
    need("tar")
    file, archive = tmp_path / "media", tmp_path / "media.tar"
    file.touch()
    os.utime(file, ns=(10**18 + 1, 10**18 + 1))

    subprocess.run(["tar", *options, "-cf", archive, "media"], cwd=tmp_path, check=True)
    file.unlink()
    subprocess.run(["tar", "-xf", archive], cwd=tmp_path, check=True)

    assert (file.stat().st_mtime_ns == 10**18 + 1) is is_kept
