"""Measure every list of the API with 10 to 1,000,000 rows in each table on PostgreSQL.

Run: `python bench/sizes.py [rows …]`. It needs PostgreSQL on 127.0.0.1:5432, where root may create databases;
filling a million rows takes minutes and 5 GB. `--keep` leaves the databases to the next run. `--only WORD`
measures the requests whose names contain it, `--plans` prints what each request reads.

A member, staff and a visitor ask for the pages, orderings, filters and searches that the views have. Each
time is the middle of three turns, which alternate between the sizes. EXPLAIN tells what PostgreSQL reads for
each query. Exits with 1 if a page reads more with more rows in the tables, or a count more than what it
counts, unless `bench/size_results.py` has the reason.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # not this folder: it has a module `requests`

from bench import requests

REAL_STORAGE = os.environ.get("SUPABASE_URL")
os.environ.update(
    requests.environment(
        Path(tempfile.gettempdir()),
        DJANGO_SETTINGS_MODULE="backend.settings",
        STORAGE="supabase",
        SUPABASE_URL="http://127.0.0.1:9",  # until the store has started
        SUPABASE_JWKS_URL="",
        SUPABASE_SIGNING="secret",
        DATABASE_URL=f"{requests.POSTGRESQL}/postgres",
        DATABASE_POOL_SIZE="0",
    )
)

import django

django.setup()

if REAL_STORAGE:
    os.environ["SUPABASE_URL"] = REAL_STORAGE
else:
    del os.environ["SUPABASE_URL"]

import httpx
from django.conf import settings
from django.db import connections
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from api.auth.principal import Principal
from api.documents.models import Document
from bench.filled_databases import MEMBER, filled_databases
from bench.list_requests import list_requests
from bench.query_plans import add_up, explain
from bench.size_results import Measured, Name, Results, judge, print_plans, print_table
from storage import url_cache

SIZES = [10, 1000, 100_000, 1_000_000]
TURNS = 3
URLS = 100


class Router:
    """Lets all queries use the database of one size."""

    alias = "default"

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return self.alias

    db_for_write = db_for_read


ROUTER = Router()


def set_up(addresses: dict[int, str], store: str) -> None:
    """Add the databases by their sizes, and the storage."""
    settings.SUPABASE_URL = store
    settings.DATABASE_ROUTERS = [ROUTER]
    for size, address in addresses.items():
        name = address.rpartition("/")[2]
        connections.settings[str(size)] = {**connections.settings["default"], "NAME": name}


@contextmanager
def using(size: int) -> Iterator[Any]:
    """Let the queries use the database of this size, and yield its connection."""
    ROUTER.alias = str(size)
    yield connections[ROUTER.alias]


def callers() -> dict[str, Client]:
    """Return a client for each kind of caller."""

    def client(**claims: Any) -> Client:
        access = requests.token(aud="authenticated", role="authenticated", is_anonymous=False, **claims)
        return Client(headers={"authorization": f"Bearer {access}", "host": "127.0.0.1"})

    return {
        "member": client(sub=MEMBER, email="a@example.org"),
        "staff": client(sub=str(uuid4()), email="s@example.org", app_metadata={"role": "staff"}),
        "visitor": Client(headers={"host": "127.0.0.1"}),
    }


# --- Lists --------------------------------------------------------------------------------------------


def measure_lists(sizes: list[int], only: str, turns: int) -> Results:
    asked: dict[int, dict[Name, str]] = {}
    for size in sizes:
        with using(size):
            every = {Name(each.list, each.kind, each.name): each.path for each in list_requests()}
        asked[size] = {name: path for name, path in every.items() if only in str(name)}
    names = list(dict.fromkeys(name for size in sizes for name in asked[size]))
    results: Results = {}
    for caller, client in callers().items():
        for name in names:
            paths = {size: asked[size][name] for size in sizes if name in asked[size]}
            measured = measure(client, paths, turns)
            if measured:
                results[caller, name] = measured
            if measured and name.kind == "list of 25":
                pages = {size: max(1, -(-each.count // 25)) for size, each in measured.items()}
                last = {size: f"{path}&page={pages[size]}" for size, path in paths.items()}
                results[caller, Name(name.list, "last page")] = measure(client, last, turns)
        print(f"Measured as {caller}", flush=True)
    return results


def measure(client: Client, paths: dict[int, str], turns: int) -> dict[int, Measured]:
    """Return what the request costs by size. Nothing, if this caller may not ask for it."""
    found: dict[int, Measured] = {}
    for size, path in paths.items():  # the first time, which is not measured
        with using(size) as connection, CaptureQueriesContext(connection) as queries:
            response = client.get(path)
        if response.status_code in (401, 403):
            return {}
        assert response.status_code == 200, (path, response.content)
        body = response.json()
        found[size] = Measured(rows=len(body["results"]), count=body["count"] or 0)
        read_plans(found[size], connection, [query["sql"] for query in queries], size)
    for _ in range(turns):
        for size, path in paths.items():
            with using(size):
                started = time.perf_counter()
                client.get(path)
                found[size].times.append((time.perf_counter() - started) * 1000)
    return found


def read_plans(measured: Measured, connection: Any, queries: list[str], size: int) -> None:
    large = max(1000, size // 10)
    plans = {sql: explain(connection, sql, large) for sql in queries if sql.startswith("SELECT")}
    counts = [sql for sql in plans if sql.startswith("SELECT COUNT(*)")]
    measured.counting = add_up(plans[sql] for sql in counts)
    measured.page = add_up(plan for sql, plan in plans.items() if sql not in counts)


# --- Download URLs ------------------------------------------------------------------------------------


def measure_urls(sizes: list[int], store: str, turns: int) -> Results:
    """Measure `download-urls/` of a member's documents: asked for, minted, and remembered."""
    client = callers()["member"]
    keys = [f"{MEMBER}/{number}.pdf" for number in range(URLS)]
    send_files(store, keys)
    ids = {size: documents_with(size, keys) for size in sizes}
    results: Results = {}
    for turn in range(turns + 1):
        for signing, first in (("server", "asked for"), ("secret", "minted")):
            for size in sizes:
                for key in keys:
                    url_cache.delete("documents", key)
                for name in (f"{URLS} URLs, {first}", f"{URLS} URLs, {first}, second time"):
                    with using(size), override_settings(SUPABASE_SIGNING=signing):
                        milliseconds = ask_for_urls(client, ids[size])
                    measured = results.setdefault(("member", Name("documents", name)), {})
                    each = measured.setdefault(size, Measured(rows=len(ids[size])))
                    if turn:  # the first one warms up
                        each.times.append(milliseconds)
    return results


def ask_for_urls(client: Client, ids: list[str]) -> float:
    started = time.perf_counter()
    response = client.post("/api/v1/documents/download-urls/", {"ids": ids}, content_type="application/json")
    milliseconds = (time.perf_counter() - started) * 1000
    assert all("url" in each for each in response.json()["results"]), response.content
    return milliseconds


def documents_with(size: int, keys: list[str]) -> list[str]:
    """Let the latest documents that the member may see have these files, and return their ids."""
    with using(size):
        visible = Document.objects.visible_to(Principal(UUID(MEMBER)))
        ids = list(visible.values_list("pk", flat=True)[: len(keys)])
        for pk, key in zip(ids, keys, strict=False):
            Document.objects.filter(pk=pk).update(file=key)
    return [str(pk) for pk in ids]


def send_files(store: str, keys: list[str]) -> None:
    secret = requests.SERVICE_KEY
    headers = {"apikey": secret, "Authorization": f"Bearer {secret}", "x-upsert": "true"}
    with httpx.Client(headers={**headers, "content-type": "application/pdf"}, timeout=30) as http:
        for key in keys:
            http.post(f"{store}/storage/v1/object/documents/{key}", content=requests.PDF).raise_for_status()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", type=int, nargs="*", default=SIZES, metavar="rows")
    parser.add_argument("--keep", action="store_true", help="leave the databases to the next run")
    parser.add_argument("--only", default="", help="a part of the names of the requests to measure")
    parser.add_argument("--turns", type=int, default=TURNS, help=f"of each request ({TURNS})")
    parser.add_argument("--plans", action="store_true", help="print what each request reads")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        with (
            filled_databases(options.sizes, folder, keep=options.keep) as addresses,
            requests.storage(folder) as store,
        ):
            set_up(addresses, store)
            try:
                results = measure_lists(options.sizes, options.only, options.turns)
                urls = {} if options.only else measure_urls(options.sizes, store, options.turns)
            finally:
                connections.close_all()
    if options.plans:
        print_plans(results)
    print_table({**results, **urls})
    if not judge(results):
        sys.exit(1)


if __name__ == "__main__":
    main()
