"""Measure plain requests beside a yardstick: what a careful team writes with Django REST Framework.

Run: `python bench/requests.py`. It needs PostgreSQL on 127.0.0.1:5432, where root may create databases, and
Redis on 127.0.0.1:6379; requests a second also need wrk. Storage is a second copy of Vivarium with its local
store, or SUPABASE_URL with SUPABASE_SECRET_KEY and SUPABASE_JWT_SECRET. `--delay 20` adds so many
milliseconds to each call of it. Each figure is the middle of five turns, which alternate. Compare figures
of one run only.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import psycopg

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
SECRET = os.environ.get("SUPABASE_JWT_SECRET") or "a-secret-of-the-measurement-with-at-least-32-characters"
POSTGRESQL = "postgres://root@127.0.0.1:5432"
PDF = b"%PDF-1.4\n% measured\n" + b"x" * 2000
OBJECT = "bench/a.pdf"
ANNOUNCED = json.dumps({"filename": "a.pdf", "content_type": "application/pdf", "size": 5000})
TURNS = 5
TIMES = 200  # requests in one turn in one process
CONNECTIONS = 16
UNLIMITED = {
    "THROTTLE_TICKETS": "9999999/min",
    "THROTTLE_COMPLETE": "9999999/min",
    "QUOTA_OPEN_TICKETS": "0",
    "QUOTA_BYTES": "0",
    "SWEEP_EVERY": "0",
}
#: The ratios that we want: processor time at most this, requests a second at least this.
WANTED = {
    "read one": (1.1 / 1.2, 1.0),
    "list of 25": (2.2 / 2.7, 1.0),
    "download-url": (1.1 / 2.2, 2.0),
    "upload-url": (2.6 / 3.9, 1.5),
    "upload-url, asking": (1.0, 1.0),
}


@dataclass(frozen=True, slots=True)
class Site:
    """An application: the module with its `application`, its environment, and its requests by their names."""

    name: str
    module: str
    environment: dict[str, str]
    requests: dict[str, dict[str, str]] = field(default_factory=dict)


def token(**claims: Any) -> str:
    return jwt.encode({"iss": "bench", "iat": 1, "exp": 4102444800, **claims}, SECRET, "HS256")


SERVICE_KEY = os.environ.get("SUPABASE_SECRET_KEY") or token(role="service_role")


# --- Servers ------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """Return the environment of a copy of Vivarium."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **inherited,
        "ENV_FILE": os.devnull,
        "DEBUG": "false",
        "SECRET_KEY": uuid.uuid4().hex * 3,
        "ALLOWED_HOSTS": "*",
        "MEDIA_ROOT": str(folder / "media"),
        "SUPABASE_JWT_SECRET": SECRET,
        "SUPABASE_JWT_ISSUER": "bench",
        "SUPABASE_SECRET_KEY": SERVICE_KEY,
        **UNLIMITED,
        **settings,
    }


@contextmanager
def served(site: Site, log: Path, *, threads: int = 8, plain: bool = False) -> Iterator[str]:
    """Run the site under gunicorn with two processes, and yield its address. `plain`: as gunicorn comes."""
    port = free_port()
    settings = {**site.environment, "PORT": str(port), "THREADS": str(threads)}
    if not plain:
        command = [str(BIN / "gunicorn"), "-w", "2"]
    else:
        options = ["-c", os.devnull, "-b", f"127.0.0.1:{port}", "-k", "gthread", "--threads", str(threads)]
        command = [str(BIN / "gunicorn"), *options, "-w", "2", f"{site.module}:application"]
    with log.open("w") as file:
        running = subprocess.Popen(
            command, cwd=ROOT, env=settings, stdout=file, stderr=file, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                httpx.get(address, timeout=2)
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield address
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        running.wait()


@contextmanager
def database(name: str) -> Iterator[str]:
    """Yield the address of a new database on PostgreSQL."""
    name = f"bench_{name}_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(f"{POSTGRESQL}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    try:
        yield f"{POSTGRESQL}/{name}"
    finally:
        with psycopg.connect(f"{POSTGRESQL}/postgres", autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def delayed(address: str, milliseconds: float) -> str:
    """Return the address of a proxy that holds back each piece that clients send."""
    port, target = free_port(), urlsplit(address)

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
        try:
            while data := await reader.read(65536):
                await asyncio.sleep(seconds)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(target.hostname, target.port)
        await asyncio.gather(pipe(reader, far_writer, milliseconds / 1000), pipe(far_reader, writer, 0))

    async def serve() -> None:
        server = await asyncio.start_server(forward, "127.0.0.1", port)
        await server.serve_forever()

    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
    return f"http://127.0.0.1:{port}"


# --- Two sites with the same rows ---------------------------------------------------------------------


def manage(settings: dict[str, str], *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=settings, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout.strip()


@contextmanager
def storage(folder: Path) -> Iterator[str]:
    """Yield the address of a Storage server: SUPABASE_URL, or a copy of Vivarium with its local store."""
    if address := os.environ.get("SUPABASE_URL"):
        yield address
        return
    settings = environment(folder, STORAGE="local", DATABASE_URL=f"sqlite:///{folder / 'store.sqlite3'}")
    manage(settings, "manage.py", "migrate", "-v0")
    with served(Site("store", "backend.wsgi", settings), folder / "store.log") as address:
        yield address


@contextmanager
def sites(folder: Path, store: str) -> Iterator[list[Site]]:
    """Yield the yardstick, ours, and ours that asks Storage for upload URLs, each with 100 documents."""
    member = str(uuid.uuid4())
    access = token(
        sub=member, aud="authenticated", role="authenticated", email="a@example.org", is_anonymous=False
    )
    with ExitStack() as stack:
        careful = environment(
            folder,
            DATABASE_URL=stack.enter_context(database("yardstick")),
            CACHE_URL="redis://127.0.0.1:6379/10",
            SUPABASE_URL=store,
            OBJECT=OBJECT,
            OWNER=member,
        )
        careful_id = manage(careful, "-m", "bench.yardstick")
        settings = environment(
            folder,
            STORAGE="supabase",
            SUPABASE_URL=store,
            SUPABASE_JWKS_URL="",
            DATABASE_URL=stack.enter_context(database("ours")),
            CACHE_URL="redis://127.0.0.1:6379/9",
        )
        manage(settings, "manage.py", "migrate", "-v0")
        minting = {**settings, "SUPABASE_SIGNING": "secret"}
        with served(Site("ours", "backend.wsgi", minting), folder / "prepare.log") as address:
            ids = documents(address, access)
        yield [
            Site(
                "yardstick",
                "bench.yardstick",
                careful,
                requests_of("/documents", careful_id, careful_id, access),
            ),
            Site("ours", "backend.wsgi", minting, requests_of("/api/v1/documents", ids[0], ids[50], access)),
            Site(
                "ours, asking",
                "backend.wsgi",
                settings,
                requests_of("/api/v1/documents", ids[0], ids[50], access),
            ),
        ]


def documents(address: str, access: str) -> list[str]:
    """Create 100 documents through the API, the first 30 with a file, and return their ids."""
    ids = []
    with httpx.Client(headers={"Authorization": f"Bearer {access}"}, timeout=30) as client:
        for number in range(100):
            created = client.post(f"{address}/api/v1/documents/", json={"title": f"Document {number}"})
            ids.append(created.raise_for_status().json()["id"])
            if number < 30:
                send_file(client, f"{address}/api/v1/documents/{ids[-1]}/")
    return ids


def send_file(client: httpx.Client, document: str) -> None:
    announced = {"filename": "a.pdf", "content_type": "application/pdf", "size": len(PDF)}
    ticket = client.post(f"{document}upload-url/", json=announced).raise_for_status().json()
    httpx.put(ticket["url"], content=PDF, headers=ticket["headers"]).raise_for_status()
    client.post(ticket["complete_url"]).raise_for_status()


def requests_of(path: str, with_file: str, without_file: str, access: str) -> dict[str, dict[str, str]]:
    def get(path: str) -> dict[str, str]:
        return {"method": "GET", "path": path, "token": access, "body": ""}

    upload = {
        "method": "POST",
        "path": f"{path}/{without_file}/upload-url/",
        "token": access,
        "body": ANNOUNCED,
    }
    return {
        "read one": get(f"{path}/{with_file}/"),
        "list of 25": get(f"{path}/"),
        "download-url": get(f"{path}/{with_file}/download-url/"),
        "upload-url": upload,
    }


# --- Measuring ----------------------------------------------------------------------------------------


class Process:
    """`bench/in_process.py` with the application of a site."""

    def __init__(self, site: Site) -> None:
        command = [sys.executable, "-m", "bench.in_process", site.module]
        self.running = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**site.environment, "THREADS": "8"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def measure(self, request: dict[str, str], times: int) -> float:
        """Return the milliseconds of processor time that one request takes."""
        assert self.running.stdin and self.running.stdout  # noqa: PT018  (they are pipes)
        self.running.stdin.write(json.dumps({**request, "times": times}) + "\n")
        self.running.stdin.flush()
        line = self.running.stdout.readline()
        if not line:
            sys.exit(f"{self.running.args!r} ended")
        return float(line)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *error: Any) -> None:
        self.running.kill()
        self.running.communicate()


def processor_times(everyone: list[Site], times: int) -> dict[tuple[str, str], float]:
    """Return the milliseconds by site and request: the middle of TURNS, in which the sites alternate."""
    found: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        processes = {site.name: stack.enter_context(Process(site)) for site in everyone}
        for turn in range(TURNS + 1):
            for name in everyone[0].requests:
                for site in everyone:
                    measured = processes[site.name].measure(site.requests[name], times if turn else 5)
                    if turn:  # the first one warms up
                        found.setdefault((site.name, name), []).append(measured)
    return {key: statistics.median(measured) for key, measured in found.items()}


def wrk(address: str, request: dict[str, str], seconds: int, script: Path) -> float:
    """Return the requests a second. Every response must be a success."""
    lines = [
        f'wrk.headers["Authorization"] = "Bearer {request["token"]}"',
        f'wrk.method = "{request["method"]}"',
    ]
    if request["body"]:
        lines += ['wrk.headers["Content-Type"] = "application/json"', f"wrk.body = [[{request['body']}]]"]
    lines.append(
        'function done(s) print("JSON " .. s.requests / s.duration * 1e6 .. " " .. s.errors.status) end'
    )
    script.write_text("\n".join(lines))
    command = [
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{seconds}s",
        "-s",
        str(script),
        address + request["path"],
    ]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    [line] = [line for line in printed.splitlines() if line.startswith("JSON")]
    _, rate, errors = line.split()
    assert errors == "0", f"{errors} responses of {request['path']} were errors"
    return float(rate)


def request_rates(
    everyone: list[Site], folder: Path, *, threads: int, seconds: int, plain: bool
) -> dict[tuple[str, str], float]:
    """Return the requests a second by site and request: the middle of TURNS, in which the sites alternate."""
    found: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        addresses = {
            site.name: stack.enter_context(
                served(
                    site,
                    folder / f"{site.name}.log",
                    threads=threads,
                    plain=plain or site.name == "yardstick",
                )
            )
            for site in everyone
        }
        for _ in range(TURNS):
            for name in everyone[0].requests:
                for site in everyone:
                    rate = wrk(addresses[site.name], site.requests[name], seconds, folder / "wrk.lua")
                    found.setdefault((site.name, name), []).append(rate)
    return {key: statistics.median(measured) for key, measured in found.items()}


def liveness(site: Site, folder: Path, *, threads: int, seconds: int) -> tuple[float, float]:
    """Return the milliseconds of `/livez`: alone, and while as many clients as threads wait for Storage."""
    with served(site, folder / "liveness.log", threads=threads) as address:
        alone = milliseconds_of_livez(address, seconds)
        asking = threading.Thread(
            target=wrk, args=(address, site.requests["upload-url"], seconds + 2, folder / "liveness.lua")
        )
        asking.start()
        time.sleep(1)
        beside = milliseconds_of_livez(address, seconds)
        asking.join()
    return alone, beside


def milliseconds_of_livez(address: str, seconds: int) -> float:
    """Return the middle of the times in which `/livez` answers during so many seconds."""
    found, until = [], time.monotonic() + seconds
    with httpx.Client() as client:
        while time.monotonic() < until:
            started = time.perf_counter()
            client.get(f"{address}/livez").raise_for_status()
            found.append((time.perf_counter() - started) * 1000)
            time.sleep(0.02)
    return statistics.median(found)


def show(title: str, found: dict[tuple[str, str], float], which: int) -> None:
    """Print ours beside the yardstick, with the ratio and the wanted one."""
    print(f"\n{title}\n{'':20} {'yardstick':>10} {'ours':>8} {'ratio':>7} {'wanted':>7}")
    for name, wanted in WANTED.items():
        request = name.removesuffix(", asking")
        ours = found["ours, asking" if request != name else "ours", request]
        careful = found["yardstick", request]
        print(f"{name:20} {careful:10.2f} {ours:8.2f} {ours / careful:7.2f} {wanted[which]:7.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay", type=float, default=0, help="milliseconds before each call of Storage")
    parser.add_argument("--threads", type=int, nargs="*", default=[8], help="of each process of gunicorn (8)")
    parser.add_argument("--seconds", type=int, default=3, help="of one turn of wrk (3)")
    parser.add_argument(
        "--times", type=int, default=TIMES, help=f"requests of one turn in one process ({TIMES})"
    )
    parser.add_argument("--plain", action="store_true", help="ours with gunicorn's own worker, too")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        with storage(folder) as real:
            headers = {"apikey": SERVICE_KEY, "Authorization": f"Bearer {SERVICE_KEY}", "x-upsert": "true"}
            pdf = {**headers, "content-type": "application/pdf"}
            httpx.post(
                f"{real}/storage/v1/object/documents/{OBJECT}", content=PDF, headers=pdf
            ).raise_for_status()
            store = delayed(real, options.delay) if options.delay else real
            with sites(folder, store) as everyone:
                found = processor_times(everyone, options.times)
                show("Milliseconds of processor time of a request in one process", found, 0)
                if not shutil.which("wrk"):
                    print("\nwrk is not installed: requests a second were not measured.")
                    return
                for threads in options.threads:
                    found = request_rates(
                        everyone, folder, threads=threads, seconds=options.seconds, plain=options.plain
                    )
                    show(f"Requests a second, 2 processes with {threads} threads, 16 connections", found, 1)
                if options.delay:
                    [asking] = [site for site in everyone if site.name == "ours, asking"]
                    alone, beside = liveness(
                        asking, folder, threads=options.threads[0], seconds=options.seconds
                    )
                    print(f"\n/livez: {alone:.1f} ms alone, {beside:.1f} ms beside 16 upload-url that wait")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
