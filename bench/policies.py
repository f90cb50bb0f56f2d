"""Measure the cost of row-level security for a member who counts and lists objects among 100,000.

Compares the shipped policies with the same rules written with `storage.foldername(name)` and a plain
`auth.uid()`, as many guides do. Needs the PostgreSQL that the tests use.
Run: `python bench/policies.py [objects]`.
"""

import os
import re
import sys
import time
from pathlib import Path
from typing import Any, LiteralString

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # not this folder: it has a module `requests`
os.environ.update(ENV_FILE="/dev/null", DEBUG="true", DJANGO_SETTINGS_MODULE="backend.settings")

import django

django.setup()

import psycopg
from psycopg import sql

from storage.supabase.policies import from_settings, statements
from tests.storage.direct import asking
from tests.storage.people import PEOPLE
from tests.storage.project import HOSTED, project_database

#: Alice is one of a thousand members. A tenth of the documents is shared, and a third is in subfolders.
OBJECTS = """
insert into storage.buckets (id, name) values ('documents', 'documents');
insert into storage.objects (bucket_id, name)
select 'documents',
       case when n % 10 = 0 then 'shared/' else '' end
       || case when n % 1000 = 1 then {alice} else md5((n % 1000)::text)::uuid::text end
       || case when n % 3 = 0 then '/2026' else '' end || '/' || md5(n::text) || '.pdf'
from generate_series(1, {count}) n
"""
QUERIES: dict[str, LiteralString] = {
    "count": "select count(*) from storage.objects where bucket_id = 'documents'",
    "list v1, the bucket": "select count(*) from storage.search('', 'documents', 1000, 1)",
    "list v2, the bucket": "select count(*) from storage.search_v2('', 'documents', 1000, 1)",
    "list v2, shared/": "select count(*) from storage.search_v2('shared/', 'documents', 1000, 2)",
}
MEMBER = re.compile(r"\(select auth\.uid\(\)::text.*?client_id', ''\) = ''\)\)", re.DOTALL)


def guide_style(policies: str) -> str:
    """Return the policies in the style of guides: they check no claim of the token but `sub`."""
    plain = MEMBER.sub("auth.uid()::text", policies)
    plain = re.sub(r"cardinality\(path_tokens\) > 1\s+and ", "", plain)
    plain = plain.replace("path_tokens[1]", "(storage.foldername(name))[1]")
    assert "path_tokens" not in plain
    assert "select auth.uid()" not in plain
    return plain


def milliseconds(connection: psycopg.Connection[Any], query: LiteralString) -> tuple[float, int]:
    """Return the shortest of five measurements, and the count that the query returns."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        [found] = connection.execute(query).fetchone() or (0,)
        times.append(time.perf_counter() - started)
    return min(times) * 1000, found


def measure(connection: psycopg.Connection[Any], policies: str) -> dict[str, tuple[float, int]]:
    with connection.transaction(force_rollback=True):
        connection.execute(f"set local role {HOSTED}")
        connection.execute(policies.encode())
        with asking(connection, PEOPLE["owner"]):
            return {name: milliseconds(connection, query) for name, query in QUERIES.items()}


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    shipped = statements(from_settings()).as_string(None)
    with project_database() as url, psycopg.connect(url, autocommit=True) as connection:
        values = {"alice": sql.Literal(PEOPLE["owner"]["sub"]), "count": sql.Literal(count)}
        connection.execute(sql.SQL(OBJECTS).format(**values))
        connection.execute("vacuum analyze storage.objects")
        results, guides = measure(connection, shipped), measure(connection, guide_style(shipped))
    for name, (time_shipped, found) in results.items():
        time_guides, found_guides = guides[name]
        assert found == found_guides, name
        print(
            f"{name}: {time_shipped:.1f} ms for {found} of {count:,}, guide style {time_guides:.1f} ms:"
            f" {time_guides / time_shipped:.1f} times faster"
        )


if __name__ == "__main__":
    try:
        main()
    except psycopg.OperationalError as error:
        print(f"row-level security was not measured: PostgreSQL is not available: {error}")
