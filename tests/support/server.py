"""A real gunicorn on loopback, with a database and files of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ROOT / "tests" / "clients"


class Server:
    """`environment` adds to or overrides that of development."""

    def __init__(self, folder: Path, *, workers: int = 2, **environment: str) -> None:
        self.folder, self.workers = folder, workers
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.media = folder / "media"
        self.log = folder / "server.log"
        self.clients: list[httpx.Client] = []
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.environment = {
            **inherited,
            "ENV_FILE": os.devnull,
            "DEBUG": "true",
            "PORT": str(self.port),
            "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
            "MEDIA_ROOT": str(self.media),
            **environment,
        }

    def __enter__(self) -> "Server":
        self.manage("migrate", "-v0")
        self.start()
        return self

    def __exit__(self, *error: Any) -> None:
        for client in self.clients:
            client.close()
        self.stop()

    def manage(self, *command: str) -> str:
        """What a management command prints."""
        done = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
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
                [sys.executable, "-m", "gunicorn", "--workers", str(self.workers)],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        for _ in range(300):
            try:
                httpx.get(f"{self.url}/readyz").raise_for_status()
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
        """At once, workers included, as a power cut would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def client(self, email: str = "", role: str = "") -> httpx.Client:
        """An HTTP client with somebody's token."""
        headers = {}
        if email:
            role_option = ["--role", role] if role else []
            token = self.manage("issue_token", email, *role_option)
            headers["Authorization"] = f"Bearer {token}"
        client = httpx.Client(base_url=self.url, headers=headers, timeout=60)
        self.clients.append(client)
        return client
