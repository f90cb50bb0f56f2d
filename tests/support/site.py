"""A foreign project's site with files to move, and the true command in a process of its own."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.support.server import ROOT, Server

RUN_ALL = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
import django
from django.core.management import execute_from_command_line
from django.test import override_settings

django.setup()
results = []
for arguments, settings in json.load(sys.stdin):
    code, printed = 0, io.StringIO()
    try:
        with override_settings(**settings), redirect_stdout(printed), redirect_stderr(printed):
            execute_from_command_line(["manage.py", "migrate_to_supabase", *arguments])
    except SystemExit as ended:
        code = ended.code
    results.append((code, printed.getvalue()))
print(json.dumps(results))
"""


class Site:
    """Has a bucket of its own on the target, so that no two tests meet there."""

    def __init__(self, folder: Path, template: Path, server: Server, key: str, bucket: str) -> None:
        self.folder, self.server, self.key, self.bucket = folder, server, key, bucket
        self.media, self.database = folder / "site", folder / "site.sqlite3"
        self.journal = folder / "migrate_to_supabase.journal"
        shutil.copy(template, self.database)
        self.media.mkdir()
        self.make_bucket(bucket)

    def make_bucket(self, name: str, **limits: Any) -> None:
        httpx.post(
            f"{self.server.url}/storage/v1/bucket",
            json={"id": name, "name": name, "public": False, **limits},
            headers={"Authorization": f"Bearer {self.key}", "apikey": self.key},
        ).raise_for_status()

    def object(self, key: str, content: bytes, bucket: str = "", *, upsert: bool = False) -> None:
        """Put an object there, as somebody else would."""
        httpx.post(
            f"{self.server.url}/storage/v1/object/{bucket or self.bucket}/{key}",
            content=content,
            headers={
                "Authorization": f"Bearer {self.key}",
                "apikey": self.key,
                "Content-Type": "text/plain",
                "x-upsert": str(upsert).lower(),
            },
        ).raise_for_status()

    # --- The site ---------------------------------------------------------------------------------

    def file(self, name: str, content: bytes | None = None) -> bytes:
        content = name.encode() if content is None else content
        path = self.media / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return content

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.database, timeout=20) as database:
            found = database.execute(statement, values).fetchall()
        database.close()
        return found

    def guide(self, leaflet: str, cover: str | None = None, *, retired: bool = False) -> int:
        """A row that names these files."""
        [(number,)] = self.sql(
            "insert into foreign_guide (leaflet, cover, retired, touched_at) values (?, ?, ?, ?)"
            " returning id",
            leaflet,
            cover,
            retired,
            "2001-02-03 04:05:06",
        )
        return number

    def with_files(self, *names: str) -> list[int]:
        return [self.guide(name) for name in names if self.file(name) is not None]

    def names(self) -> list[str]:
        return [name for (name,) in self.sql("select leaflet from foreign_guide order by id")]

    def dump(self) -> list[str]:
        """Everything in the database."""
        database = sqlite3.connect(self.database)
        try:
            return list(database.iterdump())
        finally:
            database.close()

    def disk(self) -> dict[str, bytes]:
        return tree(self.media)

    # --- The target -------------------------------------------------------------------------------

    def target(self, bucket: str = "") -> dict[str, bytes]:
        """Every object of the bucket, what is on its way included."""
        return tree(self.server.media / (bucket or self.bucket))

    # --- The command ------------------------------------------------------------------------------

    def environment(self, **changes: str) -> dict[str, str]:
        return {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "PYTHONPATH": str(ROOT),
            "DJANGO_SETTINGS_MODULE": "tests.foreign.settings",
            "FOREIGN_DATABASE": str(self.database),
            "FOREIGN_MEDIA": str(self.media),
            "FOREIGN_URL": self.server.url,
            "FOREIGN_KEY": self.key,
            "FOREIGN_BUCKET": self.bucket,
            **changes,
        }

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen:
        environment = options.pop("environment", {})
        prefix = options.pop("prefix", [])
        return subprocess.Popen(
            [*prefix, sys.executable, "-m", "django", "migrate_to_supabase", *arguments],
            cwd=self.folder,
            env=self.environment(**environment),
            **{
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.STDOUT,
                "text": True,
                **options,
            },
        )

    def run(self, *arguments: str, code: int = 0, **options: Any) -> str:
        """What it prints, once it has ended with this exit code."""
        running = self.start(*arguments, **options)
        said, _ = running.communicate(timeout=300)
        assert running.returncode == code, said
        return said

    def run_all(self, *commands: tuple[list[str], dict[str, Any]]) -> list[tuple[int, str]]:
        """Return the exit code and the output of each command: arguments, and settings to change for it.

        All run in one process: starting one takes a second.
        """
        done = subprocess.run(
            [sys.executable, "-c", RUN_ALL],
            cwd=self.folder,
            env=self.environment(),
            input=json.dumps(commands),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return [(code, said) for code, said in json.loads(done.stdout)]

    def lines(self) -> list[dict[str, Any]]:
        """Of the journal, without its head and without half a line."""
        found = []
        for line in self.journal.read_text().splitlines() if self.journal.exists() else []:
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return [line for line in found if "state" in line]

    def is_moved(self) -> None:
        """Nothing lost, nothing twice, and no row that points at nothing."""
        names, target = self.names(), self.target()
        assert set(names) == target.keys()
        for name, content in target.items():
            assert (self.media / name).read_bytes() == content


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
