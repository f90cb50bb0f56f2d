"""Measure the processor time of one call of Supabase Storage, without the waiting.

Run: `python bench/calls.py`. The same call by a plain `httpx.Client` is measured beside it, with as many
connections open as a server has threads. Both are called in turns, and the median of each is printed:
compare numbers of one run only.
"""

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # not this folder: it has a module `requests`
os.environ.update(ENV_FILE=os.devnull, DEBUG="true", DJANGO_SETTINGS_MODULE="backend.settings")

import django

django.setup()

import httpx
from django.conf import settings

from bench.migration import Bench
from storage.supabase.client import request
from storage.supabase.http_client import TIMEOUT

THREADS = 16
CALLS = 5  # in one turn, so short that no connection is closed for being idle
TURNS = 60
DELAY = 0.02  # seconds, so that calls that begin together overlap
Call = Callable[[], object]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        settings.SUPABASE_URL, settings.SUPABASE_SECRET_KEY = bench.url, bench.key
        with bench.served(Path(folder, "target"), DELAY), httpx.Client(timeout=TIMEOUT) as client:
            headers = {"apikey": bench.key, "Authorization": f"Bearer {bench.key}"}
            url = f"{bench.url}/storage/v1/bucket/documents"
            compare(lambda: client.get(url, headers=headers), lambda: request("GET", "bucket", "documents"))


def compare(plain: Call, ours: Call) -> None:
    spent: dict[Call, list[float]] = {plain: [], ours: []}
    for _ in range(TURNS):
        for call, times in spent.items():
            many_at_once(call)
            began = time.thread_time()
            for _ in range(CALLS):
                call()
            times.append((time.thread_time() - began) / CALLS * 1000)
    theirs, here = median(spent[plain]), median(spent[ours])
    print(f"{here:.2f} ms of processor time; a plain httpx.Client takes {theirs / here:.1f} times as much")


def many_at_once(call: Call) -> None:
    """Call it from THREADS threads at the same time, so that as many connections stay open."""
    ready = threading.Barrier(THREADS)
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda _: (ready.wait(), call()), range(THREADS)))


if __name__ == "__main__":
    main()
