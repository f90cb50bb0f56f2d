"""Let many clients use a server for a long time: no response may be a 5xx, and nothing may grow.

Run: `python bench/soak.py --minutes 20 --clients 100`. It needs PostgreSQL on 127.0.0.1:5432, where root may
create databases, and Redis on 127.0.0.1:6379. gunicorn runs as `gunicorn.conf.py` says, with the sweep. With
`--second-store`, files are in a second copy of Vivarium, which has the place of Supabase Storage.

Memory (PSS), open files and threads of each process, and the connections to the database, are looked at every
few seconds. They have grown if the median of the last quarter is above that of the second one by more than
TOLERANCE, and by more than SLACK. The exit status is 1 after a 5xx, a response that was not expected, an
exception in the log, a process that ended, or growth.
"""

import argparse
import asyncio
import json
import os
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # not this folder: it has a module `requests`

import httpx
import psycopg

from bench.mixed_requests import Client, Found
from bench.processes import children, command, empty_database, usage
from bench.requests import BIN, POSTGRESQL, ROOT, environment, free_port, manage

SAMPLE_SECONDS = 5
STORE_CACHE, CACHE = "redis://127.0.0.1:6379/11", "redis://127.0.0.1:6379/12"
TOLERANCE = 1.10
SLACK = {"MiB": 4.0, "files": 6, "threads": 3, "connections": 3}
UNITS = ("MiB", "files", "threads", "connections")
#: Short lives, so that what happens at their end happens many times. What a client may exceed, it exceeds.
LIMITS = {
    "SWEEP_EVERY": "5",
    "UPLOAD_URL_TTL": "60",
    "DOWNLOAD_URL_TTL": "300",
    "THROTTLE_FILES": "10/min",
    "THROTTLE_TICKETS": "300/min",
    "THROTTLE_COMPLETE": "600/min",
    "QUOTA_BYTES": str(64 * 1024**2),
    "QUOTA_OPEN_TICKETS": "50",
}


#: Of the second copy, because PostgreSQL allows 100 connections by default.
FEW = {"SWEEP_EVERY": "0", "THREADS": "8"}


@dataclass
class Server:
    """A running gunicorn, with its log, its database and the secrets of its clients."""

    address: str
    process: subprocess.Popen[bytes]
    log: Path
    database: str
    metrics_token: str
    password: str


@dataclass
class Samples:
    """What was used at each moment: by the name of a process and the unit, the values."""

    values: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    names: dict[int, str] = field(default_factory=dict)

    def add(self, name: str, unit: str, value: float) -> None:
        self.values.setdefault((name, unit), []).append(value)


# --- The server -----------------------------------------------------------------------------------------


@contextmanager
def served(folder: Path, processes: int, *, second_store: bool, **settings: str) -> Iterator[list[Server]]:
    """Yield the server, and the one with its files if that is another."""
    with ExitStack() as stack:
        limits = {**LIMITS, **settings, "WEB_CONCURRENCY": str(processes)}
        others = []
        if second_store:
            database = stack.enter_context(empty_database("store"))
            options = {**limits, "STORAGE": "local", "CACHE_URL": STORE_CACHE, **FEW}
            others.append(stack.enter_context(_running(folder / "store", database, options)))
            limits |= {"STORAGE": "supabase", "SUPABASE_URL": others[0].address, "SUPABASE_JWKS_URL": ""}
        else:
            limits |= {"STORAGE": "local"}
        database = stack.enter_context(empty_database("soak"))
        options = {**limits, "CACHE_URL": CACHE}
        yield [stack.enter_context(_running(folder / "server", database, options)), *others]


@contextmanager
def _running(folder: Path, database: str, settings: dict[str, str]) -> Iterator[Server]:
    port = free_port()
    password, metrics_token = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    variables = environment(
        folder,
        DATABASE_URL=database,
        PORT=str(port),
        ALLOWED_HOSTS="127.0.0.1",
        CORS_ALLOWED_ORIGINS="https://app.example.org",
        METRICS_TOKEN=metrics_token,
        DJANGO_SUPERUSER_PASSWORD=password,
        **settings,
    )
    folder.mkdir()
    manage(variables, "manage.py", "migrate", "-v0")
    manage(
        variables,
        *("manage.py", "createsuperuser", "--noinput", "-v0"),
        *("--username", "administrator", "--email", "administrator@example.org"),
    )
    log = folder / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [str(BIN / "gunicorn")], cwd=ROOT, env=variables, stdout=file, stderr=file, start_new_session=True
        )
    server = Server(f"http://127.0.0.1:{port}", process, log, database, metrics_token, password)
    try:
        wait_until_ready(server)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def wait_until_ready(server: Server) -> None:
    for _ in range(300):
        with suppress(httpx.HTTPError):
            if httpx.get(f"{server.address}/readyz", timeout=5).is_success:
                return
        if server.process.poll() is not None:
            break
        time.sleep(0.2)
    sys.exit(f"The server did not start:\n{server.log.read_text()[-3000:]}")


# --- Looking at it --------------------------------------------------------------------------------------


def look(servers: list[Server], samples: Samples) -> None:
    """Add a sample of each process, and of the connections to each database."""
    seen = set()
    for server, where in zip(servers, ("", "store: "), strict=False):
        for pid, name in _processes(server.process.pid):
            with suppress(OSError):  # it has just ended
                used = usage(pid)
                name = samples.names.setdefault(pid, f"{where}{name} {_next(samples, where + name)}".rstrip())
                seen.add(name)
                samples.add(name, "MiB", used.proportional)
                samples.add(name, "files", used.files)
                samples.add(name, "threads", used.threads)
        with suppress(psycopg.OperationalError):  # others use all connections just now
            samples.add(f"{where}database", "connections", _connections(server.database))
    samples.ended |= {
        name for name in samples.names.values() if name not in seen and "fork server" not in name
    }


def _next(samples: Samples, name: str) -> str:
    """Return the number of a process with this name: "" if there can be only one."""
    if "worker" not in name and "fork server" not in name:
        return ""
    return str(1 + sum(each.startswith(name) for each in samples.names.values()))


def _processes(master: int) -> Iterator[tuple[int, str]]:
    """Yield the ids and names of the master and what it has started. Children of fork servers are short."""
    yield master, "master"
    for child in children(master):
        if "manage.py sweep" in command(child):
            yield child, "sweep"
            below = "of the sweep"
        else:
            yield child, "worker"
            below = ""
        with suppress(OSError):
            for server in children(child):
                if "fork_server" in command(server):
                    yield server, f"fork server {below}".strip()


def _connections(database: str) -> int:
    with psycopg.connect(f"{POSTGRESQL}/postgres") as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [database.rpartition("/")[2]]
        ).fetchone()
    assert row
    return int(row[0])


async def sample(servers: list[Server], samples: Samples, until: float) -> None:
    while time.monotonic() < until:
        await asyncio.to_thread(look, servers, samples)
        await asyncio.sleep(SAMPLE_SECONDS)


def exceptions(log: Path) -> Counter[str]:
    """Return the errors in the log, by the event and the last line of the exception."""
    found: Counter[str] = Counter()
    with log.open(errors="replace") as file:
        for line in file:
            try:
                entry = json.loads(line)
            except ValueError:
                if "Traceback" in line or "Error" in line or "CRITICAL" in line:
                    found[line.strip()[:300]] += 1
                continue
            if isinstance(entry, dict) and (
                entry.get("level") in ("error", "critical") or entry.get("exception")
            ):
                exception = str(entry.get("exception") or "").strip().rpartition("\n")[2]
                found[f"{entry.get('event')} {exception}".strip()[:300]] += 1
    return found


# --- The run --------------------------------------------------------------------------------------------


async def run(servers: list[Server], options: argparse.Namespace, found: Found, samples: Samples) -> None:
    until = time.monotonic() + options.minutes * 60
    clients = [
        Client(
            number,
            servers[0].address,
            found,
            until=until,
            pause=options.pause,
            metrics_token=servers[0].metrics_token,
            password=servers[0].password,
        )
        for number in range(options.clients)
    ]
    await asyncio.gather(sample(servers, samples, until), *(client.run() for client in clients))


def quarters(values: list[float]) -> tuple[float, float]:
    """Return the medians of the second and of the last quarter."""
    quarter = max(1, len(values) // 4)
    return statistics.median(values[quarter : 2 * quarter] or values), statistics.median(values[-quarter:])


def has_grown(unit: str, second: float, last: float) -> bool:
    return last > second * TOLERANCE and last > second + SLACK[unit]


def report(found: Found, samples: Samples, logs: Counter[str], seconds: float) -> list[str]:
    """Print what was found, and return what is wrong."""
    print(f"\n{found.total} responses in {seconds / 60:.0f} minutes, {found.total / seconds:.0f} a second")
    print(f"{found.reconnections.total()} times a connection was closed just when it was used again:")
    for (method, route), count in found.reconnections.most_common(5):
        print(f"  {count} {method} {route}")
    print()
    routes: dict[tuple[str, str], Counter[int]] = {}
    for (method, route, status), count in found.statuses.items():
        routes.setdefault((route, method), Counter())[status] += count
    for (route, method), statuses in sorted(routes.items()):
        print(f"{method:7} {route:58} " + "  ".join(f"{each}: {statuses[each]}" for each in sorted(statuses)))
    print(f"\n{'':28} {'unit':12} {'second quarter':>15} {'last quarter':>13} {'highest':>8}")
    wrong = []
    for (name, unit), values in sorted(samples.values.items()):
        second, last = quarters(values)
        print(f"{name:28} {unit:12} {second:15.1f} {last:13.1f} {max(values):8.1f}")
        if has_grown(unit, second, last):
            wrong.append(f"{unit} of {name} grew from {second:.1f} to {last:.1f}")
    print()
    if found.failures:
        wrong.append(f"{found.failures} responses were 5xx")
    for (method, route, status), count in found.unexpected.items():
        text = found.examples[method, route, status]
        wrong.append(f"{count} unexpected responses {status} of {method} {route}: {text}")
    wrong += [f"{count} times in the log: {event}" for event, count in logs.items()]
    wrong += [f"{name} ended" for name in sorted(samples.ended)]
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--processes", type=int, default=2, help="of gunicorn (2)")
    parser.add_argument("--pause", type=float, default=0.7, help="seconds between a client's requests (0.7)")
    parser.add_argument("--second-store", action="store_true", help="keep files in a second copy of Vivarium")
    options = parser.parse_args()
    found, samples = Found(), Samples()
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        with served(folder, options.processes, second_store=options.second_store) as servers:
            started = time.monotonic()
            asyncio.run(run(servers, options, found, samples))
            seconds = time.monotonic() - started
            logs = sum((exceptions(server.log) for server in servers), Counter())
        wrong = report(found, samples, logs, seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if wrong:
        sys.exit("Failed:\n" + "\n".join(wrong))
    print("No response was a 5xx, and nothing grew.")


if __name__ == "__main__":
    main()
