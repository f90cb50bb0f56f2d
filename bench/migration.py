"""Measure `migrate_to_supabase` against the local store's server, with 20 ms added to each request.

Run: `python bench/migration.py [files]`. Prints files per second for 16 jobs, compared with one job and with
a loop of the SDK's `upload` in as many threads; then the memory for a file of 2 GiB and for 100,000 rows.
Client and server share this machine's processors, so the same is measured with 100 ms, where CPU time
matters less. The target's files are kept in memory if there is room, as a project across a network has a
disk of its own.
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
ROUNDS = 5
DELAYS = (0.02, 0.1)  # seconds for each request
ROWS = 100_000
ROWS_PER_FILE = 500  # rows that name the same file: rows are measured here, not uploads
GIB = 1024**3
MEMBER = "0" * 32
MANAGE = [sys.executable, str(ROOT / "manage.py")]


class Bench:
    """A site with a database and MEDIA_ROOT, and the target project. `key` is the target's secret key."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        self.folder, self.media, self.database = folder, folder / "media", folder / "site.sqlite3"
        (self.media / ".objects").mkdir(parents=True)  # as in the MEDIA_ROOT of a local store
        self.url, self.key = f"http://127.0.0.1:{port}", f"sb_secret_{secrets.token_urlsafe(24)}"
        common = {
            "ENV_FILE": os.devnull,
            "DEBUG": "true",
            "PORT": port,
            "PYTHONPATH": str(ROOT),
        }
        self.target = {
            **os.environ,
            **common,
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
        """Run the target's server, with a delay in seconds added to each request."""
        command = [sys.executable, "-m", "gunicorn", "--workers", "2", "--log-level", "error"]
        environment = {**self.target, "MEDIA_ROOT": str(media), "SLOW_SERVER_DELAY": str(delay)}
        server = subprocess.Popen(
            [*command, "bench.slow_server:application"], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL
        )
        try:
            self._wait_until_ready()
            yield
        finally:
            server.terminate()
            server.wait()

    def _wait_until_ready(self) -> None:
        for _ in range(300):
            try:
                httpx.get(f"{self.url}/readyz")
                return
            except httpx.HTTPError:
                time.sleep(0.1)
        raise SystemExit("the server did not start")

    def documents(self, names: list[str]) -> None:
        """Replace all documents with one for each of these file names."""
        columns = "title, description, category, visibility, owner_id, created_at, updated_at"
        values = f"'', '', '', 'private', '{MEMBER}', '2026-01-01', '2026-01-01'"
        rows = ((f"{number:032x}", name) for number, name in enumerate(names))
        with closing(sqlite3.connect(self.database)) as database:
            database.create_function(
                "VIVARIUM_FOLD", 1, str, deterministic=True
            )  # these documents have no texts
            database.execute("delete from api_document")
            database.executemany(
                f"insert into api_document (id, file, {columns}) values (?, ?, {values})", rows
            )
            database.commit()

    def path(self, name: str) -> Path:
        return self.media / "documents" / name

    def file(self, name: str, content: bytes, size: int = 0) -> None:
        """Write a local file; `size` extends it to so many bytes."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if size:
            os.truncate(path, size)

    def move(self, *arguments: str) -> tuple[float, float]:
        """Run the command. Return the seconds of its report, and the peak memory of the process in MB."""
        report = self.folder / "report.json"
        command = [*MANAGE, "migrate_to_supabase", "--report", str(report), *arguments]
        process = subprocess.Popen(command, env=self.site, cwd=self.folder, stdout=subprocess.DEVNULL)
        peak = 0.0
        while process.poll() is None:
            peak = peak_memory(process.pid) or peak
            time.sleep(0.02)
        assert process.returncode == 0, f"the move ended with {process.returncode}"
        return json.loads(report.read_text())["seconds"], peak


def peak_memory(pid: int) -> float:
    """Return the peak resident memory of the process so far, in MB; 0 if it has ended."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next((int(line.split()[1]) / 1000 for line in status.splitlines() if "VmHWM" in line), 0.0)


def main() -> None:
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory(dir=memory_folder()) as target:
        bench = Bench(Path(folder))
        for delay in DELAYS:
            with bench.served(Path(target), delay):
                speed(bench, delay, files)
        with bench.served(Path(folder, "target")):
            memory(bench)


def memory_folder() -> str | None:
    """Return a folder in memory with room for the files, or None."""
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() and shutil.disk_usage(shared).free > GIB else None


def speed(bench: Bench, delay: float, files: int) -> None:
    """Print the medians of several rounds, because the speed of a machine varies."""
    few, speedups, overheads = max(files // 10, 1), [], []
    for number in range(ROUNDS):
        folder = f"{delay}/{number}"
        single = moved(bench, f"{folder}/alone", few, "--jobs", "1") / few
        jobs = moved(bench, f"{folder}/jobs", files, "--jobs", str(JOBS)) / files
        bare = uploaded(bench, f"{folder}/jobs", files) / files
        speedups.append(single / jobs)
        overheads.append(jobs / bare)
        print(f"  files/s: {1 / single:.1f} with one job, {1 / jobs:.0f} with {JOBS}, {1 / bare:.0f} bare")
    print(f"{delay * 1000:.0f} ms: {JOBS} jobs are {median(speedups):.1f} times as fast as one (goal: 10),")
    print(f"  and take {median(overheads):.2f} times as long as bare uploads (goal: 2.5 or less)")


def moved(bench: Bench, folder: str, files: int, *arguments: str) -> float:
    """Return the seconds that the command takes for so many new files."""
    names = [f"{folder}/{number}.pdf" for number in range(files)]
    for name in names:
        bench.file(name, f"%PDF-1.4 {name}".encode())
    bench.documents(names)
    return bench.move(*arguments)[0]


def uploaded(bench: Bench, folder: str, files: int) -> float:
    """Return the seconds that the SDK's `upload` takes for the same files, in threads."""
    headers = {"apikey": bench.key, "Authorization": f"Bearer {bench.key}"}
    limits = httpx.Limits(max_connections=JOBS, max_keepalive_connections=JOBS)
    with httpx.Client(limits=limits, timeout=30) as client, ThreadPoolExecutor(JOBS) as pool:
        bucket = SyncStorageClient(f"{bench.url}/storage/v1/", headers, http_client=client).from_("documents")
        options: FileOptions = {"content-type": "application/pdf"}
        names = [f"{folder}/{number}.pdf" for number in range(files)]
        started = time.perf_counter()
        list(pool.map(lambda name: bucket.upload(f"bare/{name}", bench.path(name), options), names))
        return time.perf_counter() - started


def memory(bench: Bench) -> None:
    bench.documents([])
    print(f"memory: {bench.move()[1]:.0f} MB with nothing to do")
    bench.file("large.pdf", b"%PDF-1.4", 2 * GIB)
    bench.documents(["large.pdf"])
    seconds, peak = bench.move()
    print(
        f"memory: {peak:.0f} MB (goal: 150 or less) for a file of 2 GiB, {2 * GIB / 1e6 / seconds:.0f} MB/s"
    )
    for number in range(ROWS // ROWS_PER_FILE):
        bench.file(f"shared/{number}.pdf", b"%PDF-1.4")
    bench.documents([f"shared/{number // ROWS_PER_FILE}.pdf" for number in range(ROWS)])
    for run in ("first", "second"):
        seconds, peak = bench.move()
        print(f"memory: {peak:.0f} MB (goal: 150 or less) for {ROWS} rows, {run} run of {seconds:.0f} s")


if __name__ == "__main__":
    main()
