"""What PostgreSQL reads for a page of a list, in tables of 3,000 rows: a few rows more than the page has.

`tests/api/test_indexes.py` looks at the index of every filter and ordering. `bench/sizes.py` measures lists
of a million rows.
"""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.utils import CaptureQueriesContext

from api.cursors import Cursor, order_by
from api.models import Document, EducationalService, Exhibition, Species, Upload
from tests.api.catalog.test_catalog import entry
from tests.support.cast import Caller

ROWS = 3000
FEW = 300  # rows of tables that a page of 25 may read

on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="the plans of PostgreSQL are looked at: make test-postgresql"
)

ENTRY = "md5(random()::text)::uuid, now(), now() - n * interval '1 minute', 'e' || n, '', true"
FILL = f"""
INSERT INTO api_exhibition (id, created_at, updated_at, slug, description, published, location, title,
    opens_on)
SELECT {ENTRY}, '', 'Title', CASE WHEN n % 5 > 0 THEN date '2020-01-01' + n % 1000 END
FROM generate_series(1, {ROWS}) AS n;

INSERT INTO api_educationalservice (id, created_at, updated_at, slug, description, published, title, audience,
    price, currency)
SELECT {ENTRY}, 'Title', 'Audience ' || n % 3, CASE WHEN n % 5 > 0 THEN n END, 'EUR'
FROM generate_series(1, {ROWS}) AS n;

INSERT INTO api_species (id, created_at, updated_at, slug, description, published, qr_code, habitat,
    common_name, scientific_name, taxonomic_class, taxonomic_order, family, conservation_status)
SELECT {ENTRY}, '', '', 'Name ' || n, 'Genus epithet' || n, '', '',
    CASE WHEN n < 1000 THEN '' WHEN n < 2990 THEN 'Frequent' ELSE 'Rare' END, 'NE'
FROM generate_series(1, {ROWS}) AS n;

INSERT INTO api_speciespicture (id, created_at, updated_at, entry_id, position, original,
    original_content_type, alt_en, alt_es, credit, licence, webp_320, webp_640, webp_1280, webp_2560, jpeg,
    published_original, placeholder, rendition_attempts, rendition_error)
SELECT id, created_at, created_at, id, 0, '', '', '', '', '', '', '', '', '', '', '', '', '', 0, ''
FROM api_species;

INSERT INTO api_profile (id, created_at, updated_at, display_name, bio, language, avatar, webp_320, webp_640,
    webp_1280, webp_2560, jpeg, published_original, placeholder, rendition_attempts, rendition_error)
SELECT md5('p' || n)::uuid, now(), now(), '', '', '', '', '', '', '', '', '', '', '', 0, ''
FROM generate_series(1, 60) AS n ON CONFLICT DO NOTHING;

INSERT INTO api_document (id, created_at, updated_at, title, description, category, visibility, owner_id,
    file)
SELECT md5('d' || n)::uuid, now() - n * interval '1 minute', now(), 'Title ' || n, '', 'Category ' || n % 3,
    CASE WHEN n % 20 = 0 THEN 'authenticated' ELSE 'private' END, md5('p' || n % 60 + 1)::uuid, ''
FROM generate_series(1, {ROWS}) AS n;

INSERT INTO api_upload (id, created_at, updated_at, owner, state, expires_at, content_type_id, object_id,
    field_name, declared, path, earlier_keys, final_key)
SELECT id, created_at, created_at, owner_id, 'completed', created_at, {{document}}, id, 'file',
    '{{declared}}', id, '[]', ''
FROM api_document;

ANALYZE;
"""
#: Such small tables are read in whole by default. What is asked here is whether there is another way.
PLANS = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;"
DECLARED = {"filename": "a.pdf", "content_type": "application/pdf", "size": 1, "sha256": None}


@pytest.fixture
def full_tables(db: None) -> None:
    document = ContentType.objects.get_for_model(Document).pk
    with connection.cursor() as cursor:
        cursor.execute(
            PLANS + FILL.replace("{document}", str(document)).replace("{declared}", json.dumps(DECLARED))
        )


def rows_read(who: Caller, path: str, **query: Any) -> dict[str, int]:
    """Return how many rows PostgreSQL reads for the page by table, without what `count` reads."""
    with CaptureQueriesContext(connection) as queries:
        answer = who.get(path, **query)
    assert answer.status_code == 200, answer.content
    asked = [query["sql"] for query in queries if query["sql"].startswith("SELECT")]
    read: dict[str, int] = {}
    for sql in asked:
        if not sql.startswith("SELECT COUNT("):
            for node in nodes(plan_of(sql)):
                if table := node.get("Relation Name"):
                    removed = node.get("Rows Removed by Filter", 0)
                    read[table] = read.get(table, 0) + (node["Actual Rows"] + removed) * node["Actual Loops"]
    return read


def plan_of(sql: str) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
        [(found,)] = cursor.fetchall()
    plan: dict[str, Any] = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


CURSORS: list[tuple[str, Any, tuple[str, str]]] = [
    ("exhibitions/", Exhibition, ("opens_on", "id")),
    ("exhibitions/", Exhibition, ("-opens_on", "-id")),
    ("educational-services/", EducationalService, ("price", "id")),
    ("educational-services/", EducationalService, ("audience", "id")),
    ("species/", Species, ("family", "id")),
    ("documents/", Document, ("-category", "-id")),
    ("uploads/", Upload, ("expires_at", "id")),
    ("uploads/", Upload, ("-updated_at", "-id")),
]


@on_postgresql
def test_a_cursor_is_found_in_the_index(curator: Caller, full_tables: None):
    """In the middle, shortly before the end, and among equal values and rows without one."""
    too_many = {}
    for path, model, ordering in CURSORS:
        rows = model.objects.order_by(*order_by(model, ordering))
        for place in (ROWS // 2, ROWS - 40):
            cursor = Cursor(model, ordering).at(rows[place], backward=False)
            read = rows_read(curator, path, cursor=str(cursor), ordering=ordering[0])
            if sum(read.values()) > FEW:
                too_many[path, ordering, place] = read

    assert not too_many


@on_postgresql
def test_few_rows_are_read_for_a_page(curator: Caller, full_tables: None):
    rare = rows_read(curator, "species/", family="Rare")
    by_time = rows_read(curator, "uploads/", ordering="created_at")
    changed = rows_read(curator, "uploads/", updated_after="2100-01-01T00:00:00Z", cursor="")

    assert sum(rare.values()) <= FEW, rare
    assert sum(by_time.values()) <= FEW, by_time
    assert sum(changed.values()) <= FEW, changed


@on_postgresql
def test_private_documents_of_others_are_not_read(full_tables: None, alice: Caller):
    alice.document(title="Mine")
    assert UUID(alice.get("documents/", visibility="private").json()["results"][0]["id"])

    read = rows_read(alice, "documents/", visibility="private")

    assert read["api_document"] == 1, read


@on_postgresql
def test_what_belongs_to_the_rows_before_a_deep_page_is_not_read(full_tables: None, nobody: Caller):
    read = rows_read(nobody, "species/", page=100)

    assert read["api_speciespicture"] <= 25, read


def test_the_limit_of_a_page_does_not_depend_on_the_rows_that_are_left(nobody: Caller):
    entry("species", published=True, common_name="Ñandú")

    with CaptureQueriesContext(connection) as queries:
        page = nobody.get("species/", search="nandu").json()

    assert page["count"] == 1
    assert [query["sql"] for query in queries if query["sql"].endswith("LIMIT 25")]


@pytest.mark.parametrize("query", [{}, {"cursor": ""}])
def test_nothing_is_read_for_a_visitor_who_asks_for_what_is_not_published(
    query: dict[str, str], nobody: Caller, curator: Caller
):
    hidden = entry("species", published=False)

    with CaptureQueriesContext(connection) as queries:
        page = nobody.get("species/", published="false", **query).json()

    assert page["results"] == []
    assert not [query["sql"] for query in queries if "api_species" in query["sql"]]
    assert [row["slug"] for row in curator.get("species/", published="false").json()["results"]] == [
        hidden.slug
    ]


@pytest.mark.parametrize("visibility", ["private", "authenticated"])
def test_the_visibility_is_filtered_among_the_visible(visibility: str, alice: Caller, bob: Caller):
    own, others = alice.document(visibility=visibility), bob.document(visibility=visibility)
    alice.document(visibility="authenticated" if visibility == "private" else "private")

    found = {row["id"] for row in alice.get("documents/", visibility=visibility).json()["results"]}

    assert found == ({own["id"]} if visibility == "private" else {own["id"], others["id"]})


def test_deep_pages_have_the_rows_in_order(nobody: Caller, monkeypatch):
    monkeypatch.setattr("api.pagination.IndexedPaginator.deep", 1)
    for letter in "abcd":
        entry("species", published=True, common_name=letter, scientific_name=f"Panthera l{letter}")

    pages = [nobody.get("species/", page=page, page_size=1).json() for page in (1, 2, 3, 4)]

    assert [row["common_name"] for page in pages for row in page["results"]] == ["a", "b", "c", "d"]
    assert [page["next"] is None for page in pages] == [False, False, False, True]
