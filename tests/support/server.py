"""A real gunicorn on loopback, with a database and files of its own."""

import atexit
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings
from django.test import override_settings

from api.auth.development_tokens import development_token
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ROOT / "tests" / "clients"


class Server:
    """A gunicorn with `workers` processes, by default those of its settings, and with a `folder` of its own.

    `environment` adds to or overrides that of development. `root` has the code: this checkout, or a copy.
    """

    #: A file in which all processes of a test run share an empty, migrated database; None: each migrates.
    template: Path | None = None
    ready_path = "/readyz"  # answers 200 when the server has started

    def __init__(
        self, folder: Path, *, workers: int | None = 2, root: Path = ROOT, **environment: str
    ) -> None:
        self.folder, self.workers, self.root = folder, workers, root
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.media, self.database = folder / "media", folder / "db.sqlite3"
        self.log = folder / "server.log"
        self.clients: list[httpx.Client] = []
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.environment = {
            **inherited,
            "ENV_FILE": os.devnull,
            "DEBUG": "true",
            "PORT": str(self.port),
            "DATABASE_URL": f"sqlite:///{self.database}",
            "MEDIA_ROOT": str(self.media),
            "SWEEP_EVERY": "0",
            **environment,
        }

    def __enter__(self) -> "Server":
        self.migrate()
        self.start()
        return self

    def migrate(self) -> None:
        """Make the database: a copy of the template if there is one and the server runs on SQLite."""
        if (
            self.root != ROOT
            or self.template is None
            or str(self.database) not in self.environment["DATABASE_URL"]
        ):
            self.manage("migrate", "-v0")
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.template.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self.template.exists():
                self.manage("migrate", "-v0")
                shutil.copy(self.database, self.template)
        shutil.copy(self.template, self.database)

    def __exit__(self, *error: Any) -> None:
        for client in self.clients:
            client.close()
        self.stop()

    def manage(self, *command: str) -> str:
        """Run a management command, and return what it prints."""
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "gunicorn",
                    *(["--workers", str(self.workers)] if self.workers else []),
                ],
                cwd=self.root,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        for _ in range(300):
            try:
                # Without `verify`, httpx does not load certificates, which takes long.
                httpx.get(f"{self.url}{self.ready_path}", verify=False).raise_for_status()
                return
            except httpx.HTTPError:
                time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End all processes at once, as a power cut would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def token(self, email: str, role: str = "", **options: Any) -> str:
        """Return an access token that this server accepts, as `issue_token` prints it."""
        environment = self.environment
        address = environment.get("SUPABASE_URL", self.url)
        with override_settings(
            SUPABASE_JWT_ISSUER=environment.get("SUPABASE_JWT_ISSUER", f"{address}/auth/v1"),
            SUPABASE_JWT_SECRET=environment.get("SUPABASE_JWT_SECRET", settings.DEMO_JWT_SECRET),
        ):
            return development_token(email, role=role, **options)

    def service_key(self) -> str:
        """Return a token that opens everything in this server's store, as a project's secret key does."""
        return self.token("server@example.org", service=True)

    def client(self, email: str = "", role: str = "") -> httpx.Client:
        """Return an HTTP client that sends this user's token, or none."""
        headers = {"Authorization": f"Bearer {self.token(email, role)}"} if email else {}
        # gunicorn closes idle connections after two seconds, perhaps just while one is used.
        limits = httpx.Limits(keepalive_expiry=1)
        client = httpx.Client(base_url=self.url, headers=headers, timeout=60, verify=False, limits=limits)
        self.clients.append(client)
        return client


@cache
def shared_server() -> Server:
    """Return this process's running server, which all tests share. It is started on first use."""
    folder = tempfile.TemporaryDirectory(prefix="vivarium-")
    server = Server(Path(folder.name)).__enter__()
    stop = [server.__exit__, folder.cleanup]
    _at_end.extend(stop)
    return server


_at_end: list[Any] = []


@atexit.register
def stop_shared_server() -> None:
    while _at_end:
        _at_end.pop(0)()
