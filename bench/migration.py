"""Measures migrate_to_supabase against the local store's server with 20 ms added to each call.

Files a second at 16 jobs, beside one job and beside a bare upload loop of the SDK with as many threads; then
memory for a 2 GiB file and for 100,000 rows. Run: `python bench/migration.py [files]`. Both sides share this
machine's processors: the same is measured with 100 ms, where they have less to say. Where there is room, the
target's files are kept in memory: a project across a network has a disk of its own.
"""

import json
import os
import secrets
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median

import httpx
from storage3 import SyncStorageClient
from storage3.types import FileOptions

ROOT = Path(__file__).resolve().parent.parent
JOBS = 16
TURNS = 5
DELAYS = (0.02, 0.1)  # seconds
ROWS = 100_000
SHARING = 500  # rows that name the same file: rows are measured here, not uploads
GIB = 1024**3
MEMBER = "0" * 32
MANAGE = [sys.executable, str(ROOT / "manage.py")]


class Bench:
    """A site with a database and MEDIA_ROOT, and the target that it is moved to."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        self.folder, self.media, self.database = folder, folder / "media", folder / "site.sqlite3"
        (self.media / ".objects").mkdir(parents=True)  # a local store has run there
        self.url, self.key = f"http://127.0.0.1:{port}", f"sb_secret_{secrets.token_urlsafe(24)}"
        plain = {
            "ENV_FILE": os.devnull,
            "DEBUG": "true",
            "PORT": port,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'bench'}",
        }
        self.target = {
            **os.environ,
            **plain,
            "DATABASE_URL": f"sqlite:///{folder}/target.sqlite3",
            "STORAGE_FILE_SIZE_LIMIT": str(3 * GIB),
            "DOCUMENT_MAX_BYTES": str(3 * GIB),
            "DOCUMENT_TYPES": "application/pdf",
        }
        self.site = {
            **self.target,
            "DATABASE_URL": f"sqlite:///{self.database}",
            "MEDIA_ROOT": str(self.media),
            "STORAGE": "supabase",
            "SUPABASE_URL": self.url,
        }
        self.site["SUPABASE_SECRET_KEY"] = self.target["SUPABASE_SECRET_KEY"] = self.key
        self._manage(self.site, "migrate", "-v0")

    def _manage(self, environment: dict[str, str], *command: str) -> str:
        done = subprocess.run(
            [*MANAGE, *command], env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    @contextmanager
    def served(self, media: Path, delay: float = 0) -> Iterator[None]:
        """The target's server, by which each call takes so many seconds longer."""
        command = [sys.executable, "-m", "gunicorn", "--workers", "2", "--log-level", "error"]
        environment = {**self.target, "MEDIA_ROOT": str(media), "SLOW_SERVER_DELAY": str(delay)}
        server = subprocess.Popen(
            [*command, "slow_server:application"], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL
        )
        try:
            self._wait()
            yield
        finally:
            server.terminate()
            server.wait()

    def _wait(self) -> None:
        for _ in range(300):
            try:
                httpx.get(f"{self.url}/readyz")
                return
            except httpx.HTTPError:
                time.sleep(0.1)
        raise SystemExit("the server did not start")

    def documents(self, names: list[str]) -> None:
        """Rows that name these files, and no others."""
        about = "title, description, category, visibility, owner_id, created_at, updated_at"
        said = f"'', '', '', 'private', '{MEMBER}', '2026-01-01', '2026-01-01'"
        rows = ((f"{number:032x}", name) for number, name in enumerate(names))
        with closing(sqlite3.connect(self.database)) as database:
            database.execute("delete from api_document")
            database.executemany(f"insert into api_document (id, file, {about}) values (?, ?, {said})", rows)
            database.commit()

    def path(self, name: str) -> Path:
        return self.media / "documents" / name

    def file(self, name: str, content: bytes, size: int = 0) -> None:
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if size:
            os.truncate(path, size)

    def move(self, *arguments: str) -> tuple[float, float]:
        """Seconds as the report has them, and the most memory of the process in MB."""
        report = self.folder / "report.json"
        command = [*MANAGE, "migrate_to_supabase", "--report", str(report), *arguments]
        moving = subprocess.Popen(command, env=self.site, cwd=self.folder, stdout=subprocess.DEVNULL)
        most = 0.0
        while moving.poll() is None:
            most = highest(moving.pid) or most
            time.sleep(0.02)
        assert moving.returncode == 0, f"the move ended with {moving.returncode}"
        return json.loads(report.read_text())["seconds"], most


def highest(pid: int) -> float:
    """The most memory that the process has had so far, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next((int(line.split()[1]) / 1000 for line in status.splitlines() if "VmHWM" in line), 0.0)


def main() -> None:
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory(dir=roomy()) as target:
        bench = Bench(Path(folder))
        for delay in DELAYS:
            with bench.served(Path(target), delay):
                speed(bench, delay, files)
        with bench.served(Path(folder, "target")):
            memory(bench)


def roomy() -> str | None:
    """A folder in memory, if there is one with room for many small files."""
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() and shutil.disk_usage(shared).free > GIB else None


def speed(bench: Bench, delay: float, files: int) -> None:
    """In turns, because a machine has better and worse moments; the middle one of each ratio counts."""
    few, faster, slower = max(files // 10, 1), [], []
    for turn in range(TURNS):
        place = f"{delay}/{turn}"
        alone = moved(bench, f"{place}/alone", few, "--jobs", "1") / few
        jobs = moved(bench, f"{place}/jobs", files, "--jobs", str(JOBS)) / files
        bare = uploaded(bench, f"{place}/jobs", files) / files
        faster.append(alone / jobs)
        slower.append(jobs / bare)
        print(f"  files/s: {1 / alone:.1f} one at a time, {1 / jobs:.0f} moved, {1 / bare:.0f} bare")
    print(f"{delay * 1000:.0f} ms: {JOBS} jobs are {median(faster):.1f} times as fast as one (10 wanted),")
    print(f"  and take {median(slower):.2f} times as long as a bare upload loop (2.5 at most wanted)")


def moved(bench: Bench, folder: str, files: int, *arguments: str) -> float:
    names = [f"{folder}/{number}.pdf" for number in range(files)]
    for name in names:
        bench.file(name, f"%PDF-1.4 {name}".encode())
    bench.documents(names)
    return bench.move(*arguments)[0]


def uploaded(bench: Bench, folder: str, files: int) -> float:
    """What the SDK does alone with these files, in threads."""
    headers = {"apikey": bench.key, "Authorization": f"Bearer {bench.key}"}
    limits = httpx.Limits(max_connections=JOBS, max_keepalive_connections=JOBS)
    with httpx.Client(limits=limits, timeout=30) as client, ThreadPoolExecutor(JOBS) as pool:
        bucket = SyncStorageClient(f"{bench.url}/storage/v1/", headers, http_client=client).from_("documents")
        options: FileOptions = {"content-type": "application/pdf"}
        named = [f"{folder}/{number}.pdf" for number in range(files)]
        started = time.perf_counter()
        list(pool.map(lambda name: bucket.upload(f"bare/{name}", bench.path(name), options), named))
        return time.perf_counter() - started


def memory(bench: Bench) -> None:
    bench.documents([])
    print(f"memory: {bench.move()[1]:.0f} MB with nothing to do")
    bench.file("large.pdf", b"%PDF-1.4", 2 * GIB)
    bench.documents(["large.pdf"])
    seconds, most = bench.move()
    print(
        f"memory: {most:.0f} MB for a file of 2 GiB, {2 * GIB / 1e6 / seconds:.0f} MB/s (150 at most wanted)"
    )
    for number in range(ROWS // SHARING):
        bench.file(f"shared/{number}.pdf", b"%PDF-1.4")
    bench.documents([f"shared/{number // SHARING}.pdf" for number in range(ROWS)])
    for run in ("first", "second"):
        seconds, most = bench.move()
        print(f"memory: {most:.0f} MB for {ROWS} rows, {run} run of {seconds:.0f} s (150 at most wanted)")


if __name__ == "__main__":
    main()
