"""Measure the server's memory while 1 GiB is uploaded (with Content-Length, and chunked) and downloaded.

Starts its own server with a temporary folder. Run: `python bench/memory.py [GiB]`.
"""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent
CHUNK = bytes(1024 * 1024)


def main() -> None:
    size = int(float(sys.argv[1] if len(sys.argv) > 1 else 1) * 1024**3)
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        os.environ.update(
            DJANGO_SETTINGS_MODULE="backend.settings",
            ENV_FILE="/dev/null",
            DEBUG="true",
            PORT=str(port),
            DATABASE_URL=f"sqlite:///{folder}/db.sqlite3",
            MEDIA_ROOT=f"{folder}/media",
            STORAGE_FILE_SIZE_LIMIT=str(2 * size),
            DOCUMENT_MAX_BYTES=str(2 * size),
            CHECKSUM_MAX_BYTES=str(2 * size),
            QUOTA_BYTES="0",  # both files are of one member
        )
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, check=True)
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--workers", "1", "--log-level", "warning"],
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
        )
        try:
            measure(f"http://127.0.0.1:{port}", size, server.pid)
        finally:
            server.terminate()
            server.wait()


def measure(base: str, size: int, pid: int) -> None:
    token = subprocess.run(
        [sys.executable, "manage.py", "issue_token", "alice@example.org"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=300) as api:
        wait_until_ready(api)
        idle = resident(pid)
        print(f"idle: {idle:.0f} MiB")
        for chunked in (False, True):
            document = api.post("/api/v1/documents/", json={"title": "large"}).raise_for_status().json()
            ticket = api.post(
                f"/api/v1/documents/{document['id']}/upload-url/",
                json={"filename": "large.pdf", "content_type": "application/pdf", "size": size},
            )
            ticket.raise_for_status()
            headers = {**ticket.json()["headers"], **({} if chunked else {"content-length": str(size)})}
            with Peak(pid) as up:
                httpx.put(
                    ticket.json()["url"], content=body(size), headers=headers, timeout=600
                ).raise_for_status()
            with Peak(pid) as verified:
                api.post(ticket.json()["complete_url"]).raise_for_status()
            url = api.get(f"/api/v1/documents/{document['id']}/download-url/").json()["url"]
            with Peak(pid) as down, httpx.stream("GET", url, timeout=600) as response:
                received = sum(len(chunk) for chunk in response.iter_raw(1024 * 1024))
            assert received == size, received
            kind = "chunked" if chunked else "with its length"
            for name, peak in (("up", up), ("verified", verified), ("down", down)):
                rate = size / 1024**2 / peak.seconds
                print(
                    f"{size / 1024**3:g} GiB {kind}, {name}: +{peak.memory - idle:.0f} MiB, {rate:.0f} MiB/s"
                )


class Peak:
    """Measure the peak memory of the server in MiB, and the seconds that the block takes."""

    def __init__(self, pid: int) -> None:
        self.pid, self.memory, self.done = pid, 0.0, threading.Event()

    def __enter__(self) -> "Peak":
        self.started = time.perf_counter()
        self.thread = threading.Thread(target=self._sample)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = time.perf_counter() - self.started
        self.done.set()
        self.thread.join()

    def _sample(self) -> None:
        while not self.done.wait(0.02):
            self.memory = max(self.memory, resident(self.pid))


def resident(pid: int) -> float:
    """Return the resident memory of gunicorn's largest worker, in MiB."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    pages = [int(Path(f"/proc/{child}/statm").read_text().split()[1]) for child in children]
    return max(pages) * os.sysconf("SC_PAGE_SIZE") / 1024**2


def body(size: int) -> Iterator[bytes]:
    """Yield chunks of a PDF of this size in bytes."""
    yield b"%PDF-1.7\n"
    left = size - 9
    while left > 0:
        yield CHUNK[: min(left, len(CHUNK))]
        left -= len(CHUNK)


def wait_until_ready(api: httpx.Client) -> None:
    for _ in range(100):
        try:
            api.get("/readyz").raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")


if __name__ == "__main__":
    main()
