"""Measure the memory of a gunicorn worker after its start, and after many mixed requests.

The first line is after a response, and after the worker has loaded what it loads while it answers. The second
line is after each kind of request, one at a time. `/api/schema/` is asked for at the end.

Run: `python bench/worker_memory.py [requests]`, by default 10,000. It needs PostgreSQL on 127.0.0.1:5432,
where root may create databases, and Redis on 127.0.0.1:6379. There is one worker, so that it shares memory
only with its master. `--second-store` keeps files in a second copy of Vivarium, in the place of Supabase
Storage.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # not this folder: it has a module `requests`

import httpx

from bench.mixed_requests import Client, Found
from bench.processes import children, command, usage
from bench.soak import Server, exceptions, served

WANTED = 1.2
LOADING = 5  # seconds, enough for what a worker loads while it answers
CLIENTS = 30
MINUTES = 60  # at most
STEPS = (0.05, 0.1, 0.25, 0.5, 1)  # of all requests


def client(server: Server, number: int, requests: float, found: Found, pause: float) -> Client:
    return Client(
        number,
        server.address,
        found,
        until=time.monotonic() + MINUTES * 60,
        pause=pause,
        metrics_token=server.metrics_token,
        password=server.password,
        requests=requests,
        asks_for_schema=False,
    )


async def send(server: Server, requests: int, found: Found, first: int, pause: float) -> None:
    each = requests / CLIENTS
    clients = [client(server, first + number, each, found, pause) for number in range(CLIENTS)]
    await asyncio.gather(*(one.run() for one in clients))


def worker_of(server: Server) -> int:
    [worker] = [pid for pid in children(server.process.pid) if "manage.py" not in command(pid)]
    return worker


def show(requests: int, pid: int, start: float) -> float:
    """Print what the process uses, and return its proportional memory in MiB."""
    used = usage(pid)
    ratio = used.proportional / start if start else 1
    print(
        f"{requests:9} {used.resident:9.1f} {used.proportional:9.1f} {used.unique:9.1f} {used.threads:8} "
        f"{used.files:6} {ratio:6.2f}",
        flush=True,
    )
    return used.proportional


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("requests", type=int, nargs="?", default=10_000)
    parser.add_argument(
        "--pause", type=float, default=0.05, help="seconds between a client's requests (0.05)"
    )
    parser.add_argument("--second-store", action="store_true", help="keep files in a second copy of Vivarium")
    options = parser.parse_args()
    found = Found()
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        with served(folder, 1, second_store=options.second_store) as [server, *_]:
            httpx.get(f"{server.address}/api/v1/species/").raise_for_status()
            time.sleep(LOADING)
            pid = worker_of(server)
            print(" requests  RSS, MiB  PSS, MiB  USS, MiB  threads  files  ratio")
            last = start = show(1, pid, 0)
            asyncio.run(client(server, 0, options.requests, found, 0).do_each())
            warm = show(found.total, pid, start)
            for turn, step in enumerate(STEPS, start=1):
                wanted = max(1, int(options.requests * step) - found.total)
                asyncio.run(send(server, wanted, found, turn * CLIENTS, options.pause))
                last = show(found.total, pid, start)
            httpx.get(f"{server.address}/api/schema/", timeout=60).raise_for_status()
            schema = show(found.total + 1, pid, start)
            errors = exceptions(server.log)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{last / start:.2f} times its memory after the start; wanted: at most {WANTED}")
    print(f"{last / warm:.2f} times its memory after each kind of request")
    print(f"{schema - last:.1f} MiB more after /api/schema/, which each process makes once")
    print(f"{found.failures} responses were 5xx, {sum(errors.values())} errors in the log")
    if found.failures or errors:
        sys.exit(f"Failed: {errors}")


if __name__ == "__main__":
    main()
