"""Measure transfers of the local store beside nginx, which serves the same files: the limit.

Run: `python -m bench.local_store`. It needs nginx and wrk. The sides take turns, and each figure is the
middle of its turns; compare figures of one run only. `--only "GET 100 MB"` measures the cases whose names
match. TMPDIR=/dev/shm leaves out the disk.

nginx does not sync uploads. So `disk` does with the same bytes what the store owes to the disk: it writes,
syncs and renames a file and a small record, and syncs the folder.

`proxy` is the store behind deploy/nginx.conf, without TLS; `accel` is the same with ACCEL_REDIRECT.
"""

import argparse
import hashlib
import os
import re
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx

from bench.requests import ROOT, SERVICE_KEY, Site, environment, free_port, manage, served, token

SMALL, LARGE, PART = 1000, 100_000_000, 1_000_000  # bytes
PATHS = 4000  # different URLs for uploads in one turn of wrk
TICKS = os.sysconf("SC_CLK_TCK")
PUBLIC, PRIVATE = "bench-public", "bench-private"

#: nginx on its own: what a machine can do at most.
ALONE = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
user {user};
worker_processes 2;
events {{ worker_connections 512; }}
http {{
    include /etc/nginx/mime.types;
    sendfile on;
    tcp_nopush on;
    access_log {folder}/access.log;
    client_max_body_size 0;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/responses;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {site}
}}
"""
FILES = """
    server {{
        listen 127.0.0.1:{port};
        root {media};
        location /up/ {{
            root {folder};
            dav_methods PUT;
            create_full_put_path on;
        }}
    }}
"""


@dataclass(frozen=True, slots=True)
class Case:
    """Requests of one kind. `size`: the bytes of the body that is sent or received."""

    name: str
    method: str
    kind: str  # of the URL: signed, public, upload
    file: str
    size: int
    clients: int
    requests: int = 0  # of each client in one turn; 0: wrk counts
    headers: dict[str, str] = field(default_factory=dict)


CASES = [
    Case("GET 1 kB, signed, 1", "GET", "signed", "small.bin", SMALL, 1),
    Case("GET 1 kB, signed, 16", "GET", "signed", "small.bin", SMALL, 16),
    Case("GET 1 kB, public, 1", "GET", "public", "small.bin", SMALL, 1),
    Case("GET 1 kB, public, 16", "GET", "public", "small.bin", SMALL, 16),
    Case(
        "GET 1 MB of 100, 1", "GET", "signed", "large.bin", PART, 1, 100, {"Range": "bytes=50000000-50999999"}
    ),
    Case(
        "GET 1 MB of 100, 16",
        "GET",
        "signed",
        "large.bin",
        PART,
        16,
        20,
        {"Range": "bytes=50000000-50999999"},
    ),
    Case("GET 100 MB, signed, 1", "GET", "signed", "large.bin", LARGE, 1, 8),
    Case("GET 100 MB, signed, 16", "GET", "signed", "large.bin", LARGE, 16, 2),
    Case("PUT 1 kB, 1", "PUT", "upload", "small.bin", SMALL, 1),
    Case("PUT 1 kB, 16", "PUT", "upload", "small.bin", SMALL, 16),
    Case("PUT 100 MB, 1", "PUT", "upload", "large.bin", LARGE, 1, 2),
    Case("PUT 100 MB, 16", "PUT", "upload", "large.bin", LARGE, 16, 1),
]


@dataclass(frozen=True, slots=True)
class Measured:
    """The requests a second, and the milliseconds of processor time that the servers took for one."""

    rate: float
    processor: float


@dataclass(frozen=True, slots=True)
class Side:
    """A server. `url` returns the path and query for the kind of a URL and a file."""

    name: str
    address: str
    url: Callable[[str, str], str]
    processes: Callable[[], list[int]]


# --- Servers ------------------------------------------------------------------------------------------


def nginx_program() -> str:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin") or ""


@contextmanager
def nginx(folder: Path, site: str, port: int) -> Iterator[int]:
    """Run nginx with this site, and yield its process id."""
    folder.mkdir()
    (folder / "log").mkdir()
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    (folder / "nginx.conf").write_text(ALONE.format(folder=folder, user=user, site=site))
    errors = (folder / "stderr").open("w")
    running = subprocess.Popen(
        [nginx_program(), "-p", str(folder), "-c", str(folder / "nginx.conf")], stderr=errors
    )
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        else:
            sys.exit((folder / "stderr").read_text())
        yield running.pid
    finally:
        running.terminate()
        running.wait()
        errors.close()


def proxy_site(folder: Path, port: int, upstream: str, media: Path) -> str:
    """Return deploy/nginx.conf for these ports and folders, without TLS, which costs each side the same."""
    site = (ROOT / "deploy" / "nginx.conf").read_text()
    replacements = {
        "listen 80;": f"listen 127.0.0.1:{free_port()};",
        "listen [::]:80;": "",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{port};",
        "listen [::]:443 ssl http2;": "",
        "ssl_certificate /etc/ssl/vivarium/certificate.pem;": "",
        "ssl_certificate_key /etc/ssl/vivarium/key.pem;": "",
        "127.0.0.1:8000": upstream.removeprefix("http://"),
        "/var/log/nginx/": f"{folder}/log/",
        "/var/lib/vivarium/media/": f"{media}/",
    }
    for old, new in replacements.items():
        assert old in site, old
        site = site.replace(old, new)
    return site


def family(process: int) -> list[int]:
    """Return the process and its children, also theirs."""
    found = [process]
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += family(int(child))
    return found


def listeners(address: str) -> list[int]:
    """Return the processes of the gunicorn at this address: those whose environment has its port."""
    port = f"\0PORT={address.rpartition(':')[2]}\0".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if port in b"\0" + (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def processor_time(processes: list[int]) -> float:
    """Return the seconds that the processes have had a processor."""
    total = 0
    for process in processes:
        values = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        total += int(values[11]) + int(values[12])
    return total / TICKS


@contextmanager
def sides(folder: Path, media: Path, wanted: list[str]) -> Iterator[list[Side]]:
    """Yield the sides: nginx, the store, and the store behind the project's own configuration of nginx."""
    with ExitStack() as stack:
        store = start_store(stack, folder, media, "store")
        prepare(store, media)
        port = free_port()
        alone = stack.enter_context(
            nginx(folder / "nginx", FILES.format(port=port, media=media, folder=folder / "nginx"), port)
        )
        found = [
            Side("nginx", f"http://127.0.0.1:{port}", nginx_url, lambda: family(alone)),
            Side("store", store, store_url, lambda: listeners(store)),
        ]
        if "proxy" in wanted:
            found.append(proxied(stack, folder, "proxy", store, media))
        if "accel" in wanted:
            naming = start_store(stack, folder, media, "naming", ACCEL_REDIRECT="/internal-objects/")
            found.append(proxied(stack, folder, "accel", naming, media))
        yield [side for side in found if side.name in wanted]


def start_store(stack: ExitStack, folder: Path, media: Path, name: str, **settings: str) -> str:
    values = environment(
        folder,
        STORAGE="local",
        MEDIA_ROOT=str(media),
        DATABASE_URL=f"sqlite:///{folder / 'db.sqlite3'}",
        STORAGE_FILE_SIZE_LIMIT=str(2 * LARGE),
        **settings,
    )
    manage(values, "manage.py", "migrate", "-v0")
    return stack.enter_context(served(Site(name, "backend.wsgi", values), folder / f"{name}.log", threads=16))


def proxied(stack: ExitStack, folder: Path, name: str, store: str, media: Path) -> Side:
    port = free_port()
    site = proxy_site(folder / name, port, store, media)
    process = stack.enter_context(nginx(folder / name, site, port))
    return Side(name, f"http://127.0.0.1:{port}", store_url, lambda: [*family(process), *listeners(store)])


def prepare(store: str, media: Path) -> None:
    """Create the buckets, and the same files in both."""
    (media.parent / "small.bin").write_bytes(secrets.token_bytes(SMALL))
    with (media.parent / "large.bin").open("wb") as file:
        for _ in range(LARGE // PART):
            file.write(secrets.token_bytes(PART))
    with httpx.Client(
        base_url=f"{store}/storage/v1/", headers={"Authorization": f"Bearer {SERVICE_KEY}"}, timeout=60
    ) as client:
        for bucket in (PUBLIC, PRIVATE):
            body = {"name": bucket, "public": bucket == PUBLIC, "file_size_limit": 2 * LARGE}
            client.post("bucket", json=body).raise_for_status()
            for name in ("small.bin", "large.bin"):
                with (media.parent / name).open("rb") as file:
                    client.put(f"object/{bucket}/{name}", content=file).raise_for_status()


def nginx_url(kind: str, file: str) -> str:
    if kind == "upload":
        return f"/{file}"
    return f"/{PUBLIC if kind == 'public' else PRIVATE}/{file}"


def store_url(kind: str, file: str) -> str:
    if kind == "public":
        return f"/storage/v1/object/public/{PUBLIC}/{file}"
    scope, route = ("upload", "upload/sign") if kind == "upload" else ("download", "sign")
    claims = {"url": f"{PRIVATE}/{file}", "scope": scope, "upsert": True}
    return f"/storage/v1/object/{route}/{PRIVATE}/{quote(file)}?token={token(**claims)}"


# --- Clients ------------------------------------------------------------------------------------------


def wrk(case: Case, side: Side, folder: Path, seconds: int, turn: str) -> float:
    """Return the requests a second of wrk, which takes less processor time than the servers."""
    lines, body = ["local paths = {}"], "nil"
    urls = [side.url(case.kind, case.file)]
    if case.method == "PUT":
        urls = [side.url(case.kind, f"up/{turn}/{number}.bin") for number in range(PATHS)]
        (folder / "body").write_bytes((folder / "small.bin").read_bytes())
        body = "body"
        lines.append(f'local body = io.open("{folder}/body", "rb"):read("*a")')
    (folder / "paths").write_text("\n".join(urls))
    lines += [
        f'for line in io.lines("{folder}/paths") do paths[#paths + 1] = line end',
        "local number = 0",
        "function request()",
        "  number = number % #paths + 1",
        f'  return wrk.format("{case.method}", paths[number], nil, {body})',
        "end",
        'function done(s) print("RATE " .. s.requests / s.duration * 1e6 .. " " .. s.errors.status) end',
    ]
    (folder / "wrk.lua").write_text("\n".join(lines))
    command = [
        "wrk",
        "-t1",
        f"-c{case.clients}",
        f"-d{seconds}s",
        "-s",
        str(folder / "wrk.lua"),
        side.address,
    ]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    [line] = [line for line in printed.splitlines() if line.startswith("RATE")]
    _, rate, errors = line.split()
    assert errors == "0", f"{side.name}: {errors} responses of {case.name} were errors"
    return float(rate)


def transfers(case: Case, side: Side, folder: Path, turn: str) -> float:
    """Return the requests a second of sockets that copy nothing: they drop what they get, in the kernel."""
    body = folder / case.file

    def run(client: int) -> None:
        for number in range(case.requests):
            name = f"up/{turn}/{client}-{number}.bin" if case.method == "PUT" else case.file
            assert exchange(case, side, body, side.url(case.kind, name)) == (
                0 if case.method == "PUT" else case.size
            )

    started = time.perf_counter()
    with ThreadPoolExecutor(case.clients) as pool:
        list(pool.map(run, range(case.clients)))
    return case.clients * case.requests / (time.perf_counter() - started)


def exchange(case: Case, side: Side, body: Path, url: str) -> int:
    """Send one request, and return how many bytes were received; 0 for an upload."""
    host, port = side.address.removeprefix("http://").split(":")
    head = [f"{case.method} {url} HTTP/1.1", f"Host: {host}", "Connection: close"]
    head += [f"{name}: {value}" for name, value in case.headers.items()]
    if case.method == "PUT":
        head += [f"Content-Length: {case.size}", "Content-Type: application/octet-stream"]
    with socket.create_connection((host, int(port)), timeout=300) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        if case.method == "PUT":
            with body.open("rb") as file:
                connection.sendfile(file)
        received = b""
        while b"\r\n\r\n" not in received:
            more = connection.recv(65536)
            assert more, received
            received += more
        assert received[9:10] == b"2", received
        total = len(received.partition(b"\r\n\r\n")[2])
        buffer = bytearray(1024 * 1024)
        while count := connection.recv_into(buffer, len(buffer), socket.MSG_TRUNC):
            total += count
        return 0 if case.method == "PUT" else total


def write_and_sync(case: Case, folder: Path, seconds: int, turn: str) -> float:
    """Return how often a second the bytes of an upload, and its record, can be written and synced."""
    content = (folder / case.file).read_bytes()
    target = folder / "disk" / turn
    target.mkdir(parents=True)
    ends = time.perf_counter() + (seconds if not case.requests else 1e9)

    def run(client: int) -> int:
        number = 0
        while time.perf_counter() < ends and (not case.requests or number < case.requests):
            hashlib.md5(content, usedforsecurity=False)
            for suffix, written in ((".bin", content), (".json", content[:400])):
                arriving = target / f"{client}-{number}{suffix}.part"
                with arriving.open("wb") as file:
                    file.write(written)
                    file.flush()
                    os.fsync(file.fileno())
                arriving.rename(target / f"{client}-{number}{suffix}")
            opened = os.open(target, os.O_RDONLY)
            os.fsync(opened)
            os.close(opened)
            number += 1
        return number

    started = time.perf_counter()
    with ThreadPoolExecutor(case.clients) as pool:
        done = sum(pool.map(run, range(case.clients)))
    return done / (time.perf_counter() - started)


# --- Measuring ----------------------------------------------------------------------------------------


def measure(case: Case, side: Side, folder: Path, seconds: int, turn: str) -> Measured:
    processes = side.processes()
    before, started = processor_time(processes), time.perf_counter()
    if case.requests:
        rate = transfers(case, side, folder, turn)
        requests = float(case.clients * case.requests)
    else:
        rate = wrk(case, side, folder, seconds, turn)
        requests = rate * (time.perf_counter() - started)
    spent = processor_time(processes) - before
    return Measured(rate, spent / requests * 1000)


def clean(folder: Path, media: Path) -> None:
    """Delete what was uploaded."""
    for uploaded in (media / PRIVATE / "up", folder / "nginx" / "up", folder / "disk"):
        shutil.rmtree(uploaded, ignore_errors=True)


def check_contents(everyone: list[Side], folder: Path) -> None:
    """Every side must serve the same bytes."""
    wanted = (folder / "large.bin").read_bytes()
    for side in everyone:
        for kind in ("signed", "public"):
            assert httpx.get(side.address + side.url(kind, "large.bin"), timeout=60).content == wanted, (
                side.name
            )


def show(case: Case, found: dict[str, list[Measured]]) -> None:
    middle = {
        name: Measured(
            statistics.median(each.rate for each in measured),
            statistics.median(each.processor for each in measured),
        )
        for name, measured in found.items()
    }
    limit = middle.get("nginx")
    for name, each in middle.items():
        ratio = f"{each.rate / limit.rate:8.3f}" if limit else ""
        shown = f"{each.rate * case.size / 1e6:10.1f}"
        print(f"{case.name:24} {name:8} {each.rate:10.1f} {shown} {ratio} {each.processor:10.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="the cases whose names match this pattern")
    parser.add_argument("--sides", default="nginx,disk,store,proxy,accel", help="of them (all)")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="of one turn of wrk (2)")
    options = parser.parse_args()
    wanted = options.sides.split(",")
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    media = folder / "media"
    try:
        with sides(folder, media, wanted) as everyone:
            check_contents(everyone, folder)
            print(f"{'':24} {'':8} {'requests/s':>10} {'MB/s':>10} {'of nginx':>8} {'ms of CPU':>10}")
            for case in [case for case in CASES if re.search(options.only, case.name)]:
                found: dict[str, list[Measured]] = {}
                for turn in range(options.turns):
                    name = f"{case.clients}-{turn}"
                    for side in everyone:
                        measured = measure(case, side, folder, options.seconds, name)
                        found.setdefault(side.name, []).append(measured)
                        clean(folder, media)
                    if case.method == "PUT" and "disk" in wanted:
                        rate = write_and_sync(case, folder, options.seconds, name)
                        found.setdefault("disk", []).append(Measured(rate, 0))
                        clean(folder, media)
                show(case, found)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
