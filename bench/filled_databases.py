"""Fills PostgreSQL databases with a given number of rows in every table that lists show.

Read by `bench/sizes.py`. A member has about 50 documents, of which one in twenty is shared with all members.
"""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import psycopg
from psycopg.sql import SQL

from bench import requests

PER_MEMBER = 50
PICTURES = 20  # of the first entry; the others have one
NOW = f"timestamptz '{datetime.now(UTC).isoformat(timespec='seconds')}'"
#: The one who asks.
MEMBER = "11111111-1111-7111-8111-111111111111"
#: Of the sessions that insert rows. What they insert keeps the constraints.
SESSION = """
SET synchronous_commit = off;
SET session_replication_role = replica;
SET maintenance_work_mem = '512MB';
SET max_parallel_maintenance_workers = 0;
SELECT setseed(0.5);
"""
LOWER = """
CREATE OR REPLACE FUNCTION vivarium_fold(text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS 'SELECT lower($1)'
"""


def below(number: int) -> str:
    return f"floor(random() * {number})::int"


def mostly_below(number: int) -> str:
    """Small numbers are more frequent, as the most frequent words of a column are."""
    return f"floor(random() * random() * {number})::int"


def one_of(*words: str) -> str:
    return f"(ARRAY{list(words)})[1 + {mostly_below(len(words))}]"


def member_id(number: str) -> str:
    return f"(CASE WHEN {number} = 1 THEN '{MEMBER}' ELSE md5('member ' || {number}) END)::uuid"


def time_of(number: str, count: int) -> str:
    return f"{NOW} - ({count + 1} - {number}) * interval '{3 * 365 * 86400 / count} seconds'"


def row_id(kind: str, number: str, count: int) -> str:
    """An id that sorts by time, as UUIDs of version 7 do."""
    milliseconds = f"lpad(to_hex((extract(epoch FROM {time_of(number, count)}) * 1000)::bigint), 12, '0')"
    rest = f"md5('{kind}' || {number})"
    return f"({milliseconds} || '7' || substr({rest}, 1, 3) || '8' || substr({rest}, 4, 15))::uuid"


SHUFFLED = "n::bigint * 7919 % 1000003"
CHANGED = f"CASE WHEN random() < 0.7 THEN created ELSE created + random() * ({NOW} - created) END"
TITLE = " || ' ' || ".join(
    [
        one_of("Feeding", "Health", "Transport", "Breeding", "Enclosure", "Training", "Arrival", "Visit"),
        one_of("plan", "report", "record", "protocol", "certificate", "notes", "list", "map"),
        one_of(
            "otter", "zebra", "puma", "condor", "tapir", "flamingo", "iguana", "lynx", "penguin", "ocelot"
        ),
        "n",
    ]
)
DESCRIPTION = f"'For the keepers of ' || {one_of('birds', 'mammals', 'reptiles', 'fish')} || ', to be read.'"
NO_RENDITIONS = {
    **dict.fromkeys(
        ["webp_320", "webp_640", "webp_1280", "webp_2560", "jpeg", "published_original", "placeholder"], "''"
    ),
    "rendition_error": "''",
    "rendition_attempts": "0",
}
FACTS = (
    '{"name": "plan.pdf", "content_type": "application/pdf", "size": 5000, "sha256": null,'
    ' "uploaded_at": "2026-01-01T00:00:00Z"}'
)
DECLARED = '{"filename": "plan.pdf", "content_type": "application/pdf", "size": 5000, "sha256": null}'


def columns(count: int) -> dict[str, dict[str, str]]:
    """Return for each table the SQL of its columns in row number `n`, which was `created` then."""
    some_member = member_id("owner")

    def entry(kind: str, **fields: str) -> dict[str, str]:
        return {
            "id": row_id(kind, "n", count),
            "slug": f"'{kind}-' || n",
            "description": DESCRIPTION,
            "published": "random() < 0.9",
            **fields,
        }

    def picture(kind: str) -> dict[str, str]:
        key = f"'{kind}-' || n || '/' || md5(n || '/' || m)"
        return {
            **NO_RENDITIONS,
            **{name: f"{key} || '-{name}.webp'" for name in ("webp_320", "webp_640", "webp_1280", "jpeg")},
            "id": f"md5('{kind} picture ' || n || '/' || m)::uuid",
            "entry_id": row_id(kind, "n", count),
            "position": "m",
            "width": "1600",
            "height": "1200",
            "original": f"{key} || '.jpg'",
            "original_content_type": "'image/jpeg'",
            "alt_en": "'A picture'",
            "alt_es": "'Una foto'",
            "credit": "'The zoo'",
            "licence": "'CC0-1.0'",
        }

    entries = {
        "species": entry(
            "species",
            common_name=f"{one_of('Grey', 'Red', 'Great', 'Lesser')} || ' animal ' || {SHUFFLED}",
            scientific_name="'Genus epithet' || n",
            habitat="''",
            taxonomic_class=f"'Class ' || {mostly_below(10)}",
            taxonomic_order=f"'Order ' || {mostly_below(100)}",
            family=f"'Family ' || {mostly_below(500)}",
            conservation_status=one_of("LC", "NE", "NT", "VU", "DD", "EN", "CR", "EW", "EX"),
            qr_code="''",
        ),
        "exhibition": entry(
            "exhibition",
            title=TITLE,
            location="'Hall ' || n % 9",
            opens_on=f"CASE WHEN n % 20 > 0 THEN created::date + ({count} - n)::int % 300 END",
            closes_on=f"CASE WHEN n % 50 > 0 THEN created::date + 300 + {below(100)} END",
        ),
        "educationalservice": entry(
            "educationalservice",
            title=TITLE,
            audience=f"'Audience ' || {mostly_below(50)}",
            duration_minutes=f"CASE WHEN random() < 0.9 THEN 10 + {below(300)} END",
            capacity="20",
            price=f"CASE WHEN random() < 0.9 THEN {below(10000)} / 100.0 END",
            currency="'EUR'",
        ),
    }
    return {
        "api_profile": {
            **NO_RENDITIONS,
            "id": member_id("n"),
            "display_name": f"{one_of('Ana', 'Bo', 'Carla', 'Dmitri', 'Eva', 'Fatima')} || ' ' || n",
            "bio": "''",
            "language": "''",
            "avatar": "''",
        },
        "api_document": {
            "id": row_id("document", "n", count),
            "title": TITLE,
            "description": DESCRIPTION,
            "category": f"CASE WHEN n % 10 > 0 THEN 'Category ' || {mostly_below(50)} ELSE '' END",
            "visibility": "CASE WHEN random() < 0.05 THEN 'authenticated' ELSE 'private' END",
            "owner_id": some_member,
            "file": "CASE WHEN random() < 0.95 THEN md5('file ' || n) || '.pdf' ELSE '' END",
            "file_facts": f"'{FACTS}'",
            "file_size": "5000",
            "file_content_type": "'application/pdf'",
        },
        "api_upload": {
            "id": row_id("upload", "n", count),
            "owner": some_member,
            "state": f"CASE WHEN n > {count} - 20 THEN 'pending' WHEN random() < 0.94 THEN 'completed' "
            f"WHEN random() < 0.01 THEN 'held' ELSE {one_of('expired', 'cancelled', 'rejected')} END",
            "expires_at": "created + interval '30 minutes'",
            "content_type_id": "(SELECT id FROM django_content_type WHERE model = 'document')",
            "object_id": row_id("document", "n", count),
            "field_name": "'file'",
            "declared": f"'{DECLARED}'",
            "path": "md5('path ' || n) || '.pdf'",
            "earlier_keys": "'[]'",
            "final_key": "md5('file ' || n) || '.pdf'",
        },
        **{f"api_{kind}": fields for kind, fields in entries.items()},
        **{f"api_{kind}picture": picture(kind) for kind in entries},
        "api_exhibition_species": {
            "exhibition_id": row_id("exhibition", "n", count),
            "species_id": row_id("species", f"(n::bigint * 7919 % {count} + 1)", count),
        },
    }


def insertion(table: str, fields: dict[str, str], count: int) -> str:
    """Return the statement that inserts so many rows, and a gallery for the first entry."""
    owner = f"1 + {below(max(2, count // PER_MEMBER))}"
    numbers = (
        f"SELECT n, {time_of('n', count)} AS created, {owner} AS owner FROM generate_series(1, {count}) AS n"
    )
    source = f"({numbers} OFFSET 0) AS source"  # OFFSET: one random owner for each row
    if table.endswith("picture"):
        source += f", generate_series(0, CASE WHEN n = 1 THEN {PICTURES - 1} ELSE 0 END) AS m"
    if not table.endswith("_species") or table == "api_species":
        fields = {"created_at": "created", "updated_at": CHANGED, **fields}
    return f"INSERT INTO {table} ({', '.join(fields)}) SELECT {', '.join(fields.values())} FROM {source}"


@contextmanager
def filled_databases(sizes: Iterable[int], folder: Path, *, keep: bool) -> Iterator[dict[int, str]]:
    """Yield the addresses of databases by the number of rows that each table has.

    `keep`: those that an earlier call has left are used, and all are left.
    """
    with ExitStack() as stack:
        addresses = {
            size: kept(f"bench_sizes_{size}")
            if keep
            else stack.enter_context(requests.database(f"sizes_{size}"))
            for size in sizes
        }
        for size, address in addresses.items():
            with psycopg.connect(address) as connection:
                [is_filled] = connection.execute("SELECT to_regclass('api_document')").fetchone() or (None,)
            settings = requests.environment(folder, STORAGE="local", DATABASE_URL=address)
            requests.manage(settings, "manage.py", "migrate", "-v0")
            if not is_filled:
                started = time.perf_counter()
                fill(address, size)
                print(f"{size:,} rows a table: filled in {time.perf_counter() - started:.0f} s", flush=True)
        yield addresses


def kept(name: str) -> str:
    """Return the address of the database with this name, which is created if there is none."""
    with psycopg.connect(f"{requests.POSTGRESQL}/postgres", autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(statement(f"CREATE DATABASE {name}"))
    return f"{requests.POSTGRESQL}/{name}"


def fill(address: str, count: int) -> None:
    """Insert the rows without the indexes, which are then created as they were; two tables at once.

    All texts are ASCII: VIVARIUM_FOLD is `lower` meanwhile, which gives the same and takes a tenth.
    """
    with psycopg.connect(address, autocommit=True) as connection:
        [fold] = connection.execute("SELECT pg_get_functiondef('vivarium_fold'::regproc)").fetchone() or ("",)
        connection.execute(LOWER)

    def fill_table(table: str) -> None:
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(statement(SESSION))
            indexes = indexes_of(connection, table)
            for name in indexes:
                connection.execute(statement(f'DROP INDEX "{name}"'))
            connection.execute(statement(insertion(table, columns(count)[table], count)))
            for definition in indexes.values():
                connection.execute(statement(definition))
            connection.execute(statement(f"VACUUM ANALYZE {table}"))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(fill_table, columns(count)))
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(statement(fold))


def indexes_of(connection: psycopg.Connection[Any], table: str) -> dict[str, str]:
    """Return the definitions of the indexes by their names, without those of constraints."""
    found = connection.execute(
        """
        SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s AND schemaname = current_schema()
        AND indexname NOT IN (SELECT conname FROM pg_constraint)
        """,
        [table],
    )
    return dict(found.fetchall())


def statement(text: str) -> SQL:
    """Return SQL that is made of this module's own texts."""
    return SQL(cast(Any, text))
