"""Measure every list of the API with 10 to 1,000,000 rows in each table on PostgreSQL.

Run: `python bench/sizes.py [rows …]`. It needs PostgreSQL on 127.0.0.1:5432, where root may create databases;
filling a million rows takes minutes and 5 GB. `--keep` leaves the databases to the next run. `--only WORD`
measures the requests whose names contain it, `--plans` prints what each request reads.

A member, staff and a visitor ask for the pages, orderings, filters and searches that the views have. Each
time is the middle of three turns, which alternate between the sizes. EXPLAIN tells what PostgreSQL reads for
each query. Exits with 1 if a page reads more with more rows in the tables, or a count more than what it
counts, unless LINEAR has the reason.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # not this folder: it has a module `requests`

from bench import requests
from bench.filled_databases import MEMBER, filled_databases

SIZES = [10, 1000, 100_000, 1_000_000]
TURNS = 3
URLS = 100
#: Blocks of 8 kB that a page may read in any case, and that a row may take in a count.
BLOCKS, BLOCKS_PER_COUNTED_ROW = 1000, 1
#: Requests that read more with more rows, by a part of their name, and why that stays so.
LINEAR = {
    "last page": "A page with a number reads the rows before it. `cursor` does not.",
    "search two letters": "The index has parts of three letters. Shorter words are looked for in each row.",
}


@dataclass
class Measured:
    """What one request costs with one number of rows. Times in milliseconds."""

    times: list[float] = field(default_factory=list)
    rows: int = 0
    count: int | None = None
    page: Any = None  # the Plans of all queries but that of `count`, added up
    counting: Any = None  # the Plan of the query for `count`

    @property
    def milliseconds(self) -> float:
        return statistics.median(self.times) if self.times else 0.0


Results = dict[tuple[str, str], dict[int, Measured]]  # by caller and name of the request, and size


class Router:
    """Lets all queries use the database of one size."""

    alias = "default"

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return self.alias

    db_for_write = db_for_read


ROUTER = Router()


def set_up(folder: Path, addresses: dict[int, str], store: str) -> None:
    """Load Django, with one database for each size."""
    os.environ.update(
        requests.environment(
            folder,
            DJANGO_SETTINGS_MODULE="backend.settings",
            STORAGE="supabase",
            SUPABASE_URL=store,
            SUPABASE_JWKS_URL="",
            SUPABASE_SIGNING="secret",
            DATABASE_URL=next(iter(addresses.values())),
            DATABASE_POOL_SIZE="0",
        )
    )
    import django
    from django.conf import settings
    from django.db import connections

    django.setup()
    settings.DATABASE_ROUTERS = [ROUTER]
    for size, address in addresses.items():
        connections.settings[str(size)] = {
            **connections.settings["default"],
            "NAME": address.rpartition("/")[2],
        }


def callers() -> dict[str, Any]:
    """Return a client for each kind of caller."""
    from django.test import Client

    def client(**claims: Any) -> Any:
        access = requests.token(aud="authenticated", role="authenticated", is_anonymous=False, **claims)
        return Client(headers={"authorization": f"Bearer {access}", "host": "127.0.0.1"})

    return {
        "member": client(sub=MEMBER, email="a@example.org"),
        "staff": client(sub=str(uuid4()), email="s@example.org", app_metadata={"role": "staff"}),
        "visitor": Client(headers={"host": "127.0.0.1"}),
    }


@contextmanager
def using(size: int) -> Iterator[Any]:
    """Let the queries use the database of this size, and yield its connection."""
    from django.db import connections

    ROUTER.alias = str(size)
    yield connections[ROUTER.alias]


# --- Lists --------------------------------------------------------------------------------------------


def measure_lists(sizes: list[int], only: str, turns: int) -> Results:
    from bench.list_requests import list_requests

    asked = {}
    for size in sizes:
        with using(size):
            asked[size] = {str(each): each for each in list_requests() if only in str(each)}
    names = list(dict.fromkeys(name for size in sizes for name in asked[size]))
    results: Results = {}
    for caller, client in callers().items():
        for name in names:
            paths = {size: asked[size][name].path for size in sizes if name in asked[size]}
            if found := measure(client, paths, turns):
                results[caller, name] = found
        for name in [name for name in names if name.endswith("list of 25")]:
            if (caller, name) in results and not only:
                last = {
                    size: f"{asked[size][name].path}&page={max(1, -(-(each.count or 0) // 25))}"
                    for size, each in results[caller, name].items()
                }
                results[caller, name.replace("list of 25", "last page")] = measure(client, last, turns)
        print(f"Measured as {caller}", flush=True)
    return results


def measure(client: Any, paths: dict[int, str], turns: int) -> dict[int, Measured]:
    """Return what the request costs by size. Nothing, if this caller may not ask for it."""
    from django.test.utils import CaptureQueriesContext

    found: dict[int, Measured] = {}
    for size, path in paths.items():  # the first time, which is not measured
        with using(size) as connection, CaptureQueriesContext(connection) as queries:
            response = client.get(path)
        if response.status_code in (401, 403):
            return {}
        assert response.status_code == 200, (path, response.content)
        body = response.json()
        found[size] = Measured(rows=len(body["results"]), count=body["count"])
        read_plans(found[size], connection, [query["sql"] for query in queries], size)
    for _ in range(turns):
        for size, path in paths.items():
            with using(size):
                started = time.perf_counter()
                client.get(path)
                found[size].times.append((time.perf_counter() - started) * 1000)
    return found


def read_plans(measured: Measured, connection: Any, queries: list[str], size: int) -> None:
    from bench.query_plans import add_up, explain

    large = max(1000, size // 10)
    plans = {sql: explain(connection, sql, large) for sql in queries if sql.startswith("SELECT")}
    counts = [sql for sql in plans if sql.startswith("SELECT COUNT(*)")]
    measured.counting = add_up(plans[sql] for sql in counts)
    measured.page = add_up(plan for sql, plan in plans.items() if sql not in counts)


# --- Growth -------------------------------------------------------------------------------------------


def growing(found: dict[int, Measured]) -> Iterator[str]:
    """Yield what a request reads more of than it returns more, from one size to the next."""
    sizes = [size for size in sorted(found) if size >= 1000]
    for small, large in zip(sizes, sizes[1:], strict=False):
        before, after = found[small], found[large]
        if after.page.blocks > max(BLOCKS, 2 * before.page.blocks):
            yield f"page: {before.page.blocks:,} blocks of {small:,}, {after.page.blocks:,} of {large:,}"
        if after.counting.blocks > BLOCKS + BLOCKS_PER_COUNTED_ROW * (after.count or 0):
            yield (
                f"count {after.count or 0:,}: {before.counting.blocks:,} blocks of {small:,}, "
                f"{after.counting.blocks:,} of {large:,}"
            )


def judge(results: Results) -> bool:
    """Print the requests that grow, and return True if LINEAR has a reason for each."""
    is_fine, used = True, set()
    for (caller, name), found in results.items():
        for what in growing(found):
            reasons = [part for part in LINEAR if part in f"{caller} {name} {what}"]
            used.update(reasons)
            if not reasons:
                is_fine = False
                notes = max(found.items())[1]
                print(f"GROWS {caller}: {name}: {what} {[*notes.page.notes, *notes.counting.notes]}")
    for part in LINEAR.keys() & used:
        print(f"Grows, as expected: {part}: {LINEAR[part]}")
    for part in LINEAR.keys() - used:
        print(f"Does not grow any more: {part}")
    return is_fine


# --- Download URLs ------------------------------------------------------------------------------------


def measure_urls(sizes: list[int], store: str, turns: int) -> Results:
    """Measure `download-urls/` of a member's documents: asked for, remembered and minted."""
    from django.conf import settings
    from django.test import override_settings

    from api.documents.models import Document
    from storage import url_cache

    client = callers()["member"]
    ids: dict[int, list[str]] = {}
    keys = [f"{MEMBER}/{number}.pdf" for number in range(URLS)]
    send_files(store, keys)
    for size in sizes:
        with using(size):
            own = [row.pk for row in Document.objects.visible_to(Visible()).order_by("-id")[:URLS]]
            for pk, key in zip(own, keys, strict=False):
                Document.objects.filter(pk=pk).update(file=key)
            ids[size] = [str(pk) for pk in own]
    results: Results = {}
    for _ in range(turns + 1):
        for signing, first in (("server", "asked for"), ("secret", "minted")):
            for size in sizes:
                for key in keys:
                    url_cache.delete("documents", key)
                for name in (first, f"{first}, second time"):
                    with using(size), override_settings(SUPABASE_SIGNING=signing):
                        started = time.perf_counter()
                        response = client.post(
                            "/api/v1/documents/download-urls/",
                            {"ids": ids[size]},
                            content_type="application/json",
                        )
                        milliseconds = (time.perf_counter() - started) * 1000
                    assert all("url" in each for each in response.json()["results"]), response.content
                    measured = results.setdefault(("member", f"{URLS} URLs, {name}"), {})
                    measured.setdefault(size, Measured(rows=len(ids[size]))).times.append(milliseconds)
    for found in results.values():
        for each in found.values():
            del each.times[0]  # of the first turn, which warms up
    assert settings.SUPABASE_SIGNING == "secret"
    return results


class Visible:
    """The member, as querysets want to know them."""

    id = MEMBER
    is_staff = False


def send_files(store: str, keys: list[str]) -> None:
    import httpx

    secret = requests.SERVICE_KEY
    headers = {"apikey": secret, "Authorization": f"Bearer {secret}", "x-upsert": "true"}
    with httpx.Client(headers={**headers, "content-type": "application/pdf"}, timeout=30) as http:
        for key in keys:
            http.post(f"{store}/storage/v1/object/documents/{key}", content=requests.PDF).raise_for_status()


# --- Printing -----------------------------------------------------------------------------------------


def print_plans(results: Results) -> None:
    for (caller, name), found in results.items():
        print(f"{caller}: {name}")
        for size, each in found.items():
            print(
                f"  {size:>9,} {each.milliseconds:8.1f} ms {each.rows:>4} rows; page {each.page.blocks:,} blocks, "
                f"{each.page.read:,} rows read, {each.page.milliseconds:.1f} ms {', '.join(each.page.notes)}; "
                f"count {each.count}: {each.counting.blocks:,} blocks, {each.counting.milliseconds:.1f} ms "
                f"{', '.join(each.counting.notes)}"
            )


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
            set_up(folder, addresses, store)
            try:
                results = measure_lists(options.sizes, options.only, options.turns)
                urls = measure_urls(options.sizes, store, options.turns) if not options.only else {}
            finally:
                from django.db import connections

                connections.close_all()
    if options.plans:
        print_plans(results)
    for (_, request), found in urls.items():
        print(request, {size: round(each.milliseconds, 1) for size, each in found.items()})
    if not judge(results):
        sys.exit(1)


if __name__ == "__main__":
    main()
