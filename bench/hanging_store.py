"""Measure how long requests take while the file storage accepts connections and never answers.

Run: `python bench/hanging_store.py [seconds]`. CALLERS ask for a download URL again and again; meanwhile
`/livez` and the list of species are requested. The server has one process.
"""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from uuid import uuid4

import httpx

ROOT = Path(__file__).resolve().parent.parent
CALLERS = 30
PAUSE = 0.1  # seconds between two requests of a caller
MANAGE = [sys.executable, str(ROOT / "manage.py")]
Times = list[tuple[int, float]]  # status, or 0 if there was no response; seconds


def main() -> None:
    seconds = float(sys.argv[1] if len(sys.argv) > 1 else 30)
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as silent:
        configure(folder, f"http://127.0.0.1:{silent.getsockname()[1]}")
        silent.listen(1024)
        subprocess.run([*MANAGE, "migrate", "-v0"], check=True)
        document = create_document()
        with served() as api:
            measure(api, f"/api/v1/documents/{document}/download-url/", seconds)


def configure(folder: str, storage: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ.update(
        DJANGO_SETTINGS_MODULE="backend.settings",
        ENV_FILE=os.devnull,
        DEBUG="true",
        PORT=str(port),
        DATABASE_URL=f"sqlite:///{folder}/db.sqlite3",
        STORAGE="supabase",
        SUPABASE_URL=storage,
        SUPABASE_SECRET_KEY=f"sb_secret_{secrets.token_urlsafe(24)}",
    )


def create_document() -> str:
    """Create a document with a file, in the database only, and return its id."""
    script = f"""
import django; django.setup()
from api.documents.models import Document
from api.profiles.models import Profile
owner = Profile.objects.create(id="{uuid4()}")
facts = {{"name": "a.pdf", "content_type": "application/pdf", "size": 1, "sha256": None}}
row = Document.objects.create(title="a", owner=owner, visibility="authenticated",
    file="shared/a.pdf", file_facts={{**facts, "uploaded_at": "2026-01-01T00:00:00Z"}})
print(row.pk)
"""
    return output_of(sys.executable, "-c", script)


def output_of(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@contextmanager
def served() -> Iterator[httpx.Client]:
    """Run the server. Yields a client of a member."""
    token = output_of(*MANAGE, "issue_token", "alice@example.org")
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--workers", "1", "--log-level", "error"],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{os.environ['PORT']}"
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    try:
        with httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=120, limits=limits
        ) as api:
            wait_until_alive(api)
            yield api
    finally:
        server.terminate()
        server.wait()


def wait_until_alive(api: httpx.Client) -> None:
    for _ in range(100):
        with suppress(httpx.HTTPError):
            api.get("/livez").raise_for_status()
            return
        time.sleep(0.1)
    raise SystemExit("the server did not start")


def measure(api: httpx.Client, download_url: str, seconds: float) -> None:
    paths = {"/livez": 1, "/api/v1/species/": 1, download_url: CALLERS}
    times: dict[str, Times] = {path: [] for path in paths}
    over = threading.Event()
    threads = [
        threading.Thread(target=ask, args=(api, path, times[path], over))
        for path, callers in paths.items()
        for _ in range(callers)
    ]
    for thread in threads:
        thread.start()
    over.wait(seconds)
    over.set()
    for thread in threads:
        thread.join()
    for path, found in times.items():
        report("download-url/" if path == download_url else path, found)


def ask(api: httpx.Client, path: str, times: Times, over: threading.Event) -> None:
    while not over.wait(PAUSE):
        started = time.perf_counter()
        status = api.get(path).status_code
        times.append((status, time.perf_counter() - started))


def report(name: str, times: Times) -> None:
    statuses = sorted({status for status, _ in times})
    took = [seconds for _, seconds in times]
    print(f"{name}: {len(took)} answers {statuses}, median {median(took):.3f} s, longest {max(took):.2f} s")


if __name__ == "__main__":
    main()
