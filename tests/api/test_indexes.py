"""Every filter, ordering and search of a list has its index, and PostgreSQL uses it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet
from django.db.utils import ConnectionHandler
from django.utils import timezone
from rest_framework.test import APIRequestFactory

from api.auth.principal import Principal
from api.catalog.views import EducationalServiceViewSet, ExhibitionViewSet, SpeciesViewSet
from api.cursors import Cursor
from api.documents.views import DocumentViewSet
from api.pictures.models import RENDITION_FIELDS, PictureModel, picture_models
from api.profiles.views import ProfileViewSet
from api.search import searched_fields
from api.uploads.views import UploadViewSet
from tests.support.cast import Caller
from tests.support.server import ROOT

VIEWS: dict[str, Any] = {
    "species": SpeciesViewSet,
    "exhibitions": ExhibitionViewSet,
    "educational-services": EducationalServiceViewSet,
    "documents": DocumentViewSet,
    "profiles": ProfileViewSet,
    "uploads": UploadViewSet,
}
RECENT = (timezone.now() - timedelta(hours=1)).isoformat()
COMMON = [{"updated_after": RECENT}]
PUBLISHED = [*COMMON, {"published": "true"}, {"published": "false"}]
FILTERS: dict[str, list[dict[str, str]]] = {
    "species": [
        *PUBLISHED,
        {"conservation_status": "CR"},
        {"taxonomic_class": "Class 7"},
        {"taxonomic_order": "Order 7"},
        {"family": "Family 7"},
    ],
    "exhibitions": [*PUBLISHED, {"open_on": "2026-12-24"}],
    "educational-services": [*PUBLISHED, {"audience": "Audience 7"}],
    "documents": [
        *COMMON,
        {"owner": "me"},
        {"visibility": "authenticated"},
        {"category": "Category 7"},
        {"has_file": "false"},
    ],
    "profiles": COMMON,
    "uploads": [*COMMON, {"state": "held"}, {"state": "pending"}, {"state": "expired"}],
}
ALICE = Caller("alice@example.org").id
STAFF, MEMBER, VISITOR = Principal(uuid4(), is_staff=True), Principal(ALICE), AnonymousUser()
#: The rest is for visitors and staff. The few tickets of a member are found by their owner, and then sorted.
READERS = {"documents": [STAFF, MEMBER], "profiles": [STAFF], "uploads": [STAFF]}

SERVER = "host=127.0.0.1 port=5432 user=root"
DIALECT = ConnectionHandler({"default": {"ENGINE": "django.db.backends.postgresql"}})["default"]
TIMES = "now() - n * interval '1 minute', now() - (n * 7 % 10000) * interval '1 minute'"
ENTRY = f"md5(random()::text)::uuid, {TIMES}, prefix || n, '', n % 10 > 0"
RENDITIONS = ", ".join([*RENDITION_FIELDS, "placeholder", "rendition_error", "rendition_attempts"])
NO_RENDITIONS = "'', " * (RENDITIONS.count(",")) + "0"
GALLERY = f"""
INSERT INTO api_{{0}}picture (id, created_at, updated_at, entry_id, position, original, original_content_type,
    alt_en, alt_es, credit, licence, {RENDITIONS})
SELECT md5(random()::text)::uuid, created_at, created_at, id, position, '', '', '', '', '', '',
    {NO_RENDITIONS}
FROM api_{{0}}, generate_series(0, 1) AS position;
"""
FILL = f"""
INSERT INTO api_species (id, created_at, updated_at, slug, description, published, qr_code, habitat,
    common_name, scientific_name, taxonomic_class, taxonomic_order, family, conservation_status)
SELECT {ENTRY.replace("prefix", "'s'")}, '', '', 'Name ' || n * 7 % 10000, 'Genus epithet' || n,
    'Class ' || n % 10, 'Order ' || n % 100, 'Family ' || n % 500,
    (ARRAY['EX', 'EW', 'CR', 'EN', 'VU', 'NT', 'LC', 'DD', 'NE'])[n % 9 + 1]
FROM generate_series(1, 10000) AS n;

INSERT INTO api_exhibition (id, created_at, updated_at, slug, description, published, location,
    title, opens_on, closes_on)
SELECT {ENTRY.replace("prefix", "'x'")}, '', 'Title ' || n * 7 % 10000,
    CASE WHEN n % 20 > 0 THEN date '2000-01-01' + n END,
    CASE WHEN n % 20 > 1 THEN date '2000-01-01' + n + n % 300 END
FROM generate_series(1, 10000) AS n;

INSERT INTO api_exhibition_species (exhibition_id, species_id)
SELECT exhibition.id, species.id FROM api_exhibition AS exhibition
JOIN generate_series(0, 2) AS m ON true
JOIN api_species AS species ON species.slug = 's' || (substr(exhibition.slug, 2)::int + m * 100) % 10000 + 1;

INSERT INTO api_educationalservice (id, created_at, updated_at, slug, description, published, title,
    audience, duration_minutes, capacity, price, currency)
SELECT {ENTRY.replace("prefix", "'e'")}, 'Title ' || n * 7 % 10000, 'Audience ' || n % 50, n % 300 + 1,
    20, n * 7 % 10000 / 100.0, 'EUR'
FROM generate_series(1, 10000) AS n;

INSERT INTO api_profile (id, created_at, updated_at, display_name, bio, language, avatar, {RENDITIONS})
SELECT CASE WHEN n = 1 THEN '{ALICE}' ELSE md5('p' || n)::uuid END, {TIMES},
    'Member ' || n * 7 % 10000, '', '', '', {NO_RENDITIONS}
FROM generate_series(1, 10000) AS n;

INSERT INTO api_document (id, created_at, updated_at, title, description, category, visibility, owner_id,
    file)
SELECT md5(random()::text)::uuid, {TIMES}, 'Title ' || n * 7 % 10000, '', 'Category ' || n % 50,
    CASE WHEN n % 4 = 0 THEN 'authenticated' ELSE 'private' END,
    CASE WHEN n % 500 = 1 THEN '{ALICE}' ELSE md5('p' || n % 500 + 2)::uuid END, ''
FROM generate_series(1, 10000) AS n;

INSERT INTO api_upload (id, created_at, updated_at, owner, state, expires_at, content_type_id, object_id,
    field_name, declared, path, earlier_keys, final_key)
SELECT md5('u' || n)::uuid, {TIMES}, md5('p' || n % 500 + 2)::uuid,
    CASE n % 500 WHEN 0 THEN 'held' WHEN 1 THEN 'pending' WHEN 2 THEN 'expired' ELSE 'completed' END,
    now() - n * interval '1 minute', (SELECT id FROM django_content_type WHERE model = 'document'),
    md5('d' || n)::uuid, 'file', '{{}}', n, '[]', ''
FROM generate_series(1, 10000) AS n;
{"".join(GALLERY.format(kind) for kind in ("species", "exhibition", "educationalservice"))}
"""


@pytest.fixture(scope="session")
def postgres() -> Iterator[psycopg.Connection]:
    """A database of our own, migrated, with 10,000 rows of each kind."""
    try:
        admin = psycopg.connect(f"{SERVER} dbname=test", autocommit=True, connect_timeout=5)
    except psycopg.OperationalError:
        if os.environ.get("CI"):
            raise
        pytest.skip("no PostgreSQL on 127.0.0.1:5432: whether indexes are used was not looked at")
    name = f"vivarium_indexes_{uuid4().hex[:12]}"
    with admin:
        admin.execute(f"CREATE DATABASE {name}")
        try:
            with psycopg.connect(f"{SERVER} dbname={name}", autocommit=True) as connected:
                migrate(f"postgres://root@127.0.0.1:5432/{name}")
                connected.execute(FILL)
                connected.execute("ANALYZE")
                yield connected
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def migrate(url: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "-v0"],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "backend.settings",  # those of the tests choose a database themselves
            "DEBUG": "true",
            "ENV_FILE": os.devnull,
            "DATABASE_URL": url,
        },
        check=True,
        timeout=120,
    )


def plan_of(postgres: psycopg.Connection, kind: str, who: Any, query: dict[str, str]) -> dict:
    """How PostgreSQL would read the first page."""
    return explain(postgres, *first_page(kind, who, query))


def explain(postgres: psycopg.Connection, sql: str, values: tuple) -> dict:
    with psycopg.ClientCursor(postgres) as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", values)
        return cursor.fetchone()[0][0]["Plan"]


def first_page(kind: str, who: Any, query: dict[str, str]) -> tuple[str, tuple]:
    """The SQL of the rows that the view puts on its first page, as PostgreSQL is asked it."""
    return sql_of(filtered(kind, who, query))


def sql_of(rows: QuerySet) -> tuple[str, tuple]:
    return rows[:25].query.get_compiler(connection=DIALECT).as_sql()


def filtered(kind: str, who: Any, query: dict[str, str]) -> QuerySet:
    view = VIEWS[kind](action_map={"get": "list"})
    view.setup(APIRequestFactory().get("/", query))
    view.request = view.initialize_request(view.request)
    view.request.user, view.action, view.format_kwarg = who, "list", None
    rows: QuerySet = view.filter_queryset(view.get_queryset())
    return rows


def nodes(plan: dict) -> Iterator[dict]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


QUERIES = [
    (kind, who, query)
    for kind, view in VIEWS.items()
    for who in READERS.get(kind, [STAFF, VISITOR])
    for query in (
        {},
        *FILTERS[kind],
        *({"ordering": sign + field} for field in view.ordering_fields for sign in ("", "-")),
    )
    if (who, query) != (VISITOR, {"published": "false"})  # is not asked for
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "who", "query"), QUERIES)
def test_every_filter_and_ordering_has_its_index(
    kind: str, who: Any, query: dict, postgres: psycopg.Connection
):
    plan = plan_of(postgres, kind, who, query)

    steps = [(node["Node Type"], node.get("Index Name", "")) for node in nodes(plan)]
    assert not [step for step in steps if step[0] == "Seq Scan"], json.dumps(plan, indent=1)
    field = query.get("ordering", "").lstrip("-")
    if field:
        assert not [step for step in steps if "Sort" in step[0]], steps
        assert any(index.endswith(f"_by_{field}") for _, index in steps), steps


@pytest.mark.slow
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(
    ("kind", "who", "ordering"),
    [(kind, who, query["ordering"]) for kind, who, query in QUERIES if query.keys() == {"ordering"}],
)
def test_a_cursor_in_the_middle_is_found_in_the_index(
    kind: str, who: Any, ordering: str, backward: bool, postgres: psycopg.Connection
):
    rows = filtered(kind, who, {"ordering": ordering})
    name = ordering.lstrip("-")
    sign = ordering[: -len(name)]
    middle = (
        f"SELECT {name}, id FROM {rows.model._meta.db_table} WHERE {name} IS NOT NULL ORDER BY {name}, id"
    )
    values = postgres.execute(f"{middle} OFFSET 5000 LIMIT 1").fetchone()

    cursor = Cursor(rows.model, (ordering, f"{sign}id"), values, backward)
    plan = explain(postgres, *sql_of(next(cursor.parts(rows))))

    unique = f"{rows.model._meta.db_table}_{name}_key"  # serves as well, if the field is unique
    steps = [node for node in nodes(plan) if node.get("Index Name", "").endswith((f"_by_{name}", unique))]
    assert steps, json.dumps(plan, indent=1)
    assert not [node for node in nodes(plan) if node["Node Type"] == "Sort"]
    assert re.match(rf"\(ROW\(\(?{name}(\)::text)?, id\) [<>] ", steps[0].get("Index Cond", "")), steps


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "query"),
    [
        *(("species", query) for query in FILTERS["species"] if query not in PUBLISHED),
        ("educational-services", {"audience": "Audience 7"}),
    ],
)
def test_a_filter_has_an_index_in_the_order_of_the_list(
    kind: str, query: dict[str, str], postgres: psycopg.Connection
):
    plan = plan_of(postgres, kind, STAFF, query)

    [name] = query
    used = [node.get("Index Name", node["Node Type"]) for node in nodes(plan)]
    assert [index for index in used if index.endswith(f"_of_{name}")], used


@pytest.mark.slow
def test_the_tickets_of_a_resource_have_their_index(db: None, postgres: psycopg.Connection):
    plan = plan_of(postgres, "uploads", STAFF, {"resource": f"/api/v1/documents/{uuid4()}/"})

    assert "upload_of_resource" in {node.get("Index Name") for node in nodes(plan)}


@pytest.mark.slow
@pytest.mark.parametrize("search", ["7531", "MÉMBER 7531", "name title 753"])
@pytest.mark.parametrize(
    ("kind", "who"),
    [
        (kind, who)
        for kind, view in VIEWS.items()
        if searched_fields(view.queryset.model)
        for who in READERS.get(kind, [STAFF, VISITOR])
    ],
)
def test_every_search_has_its_index(kind: str, who: Any, search: str, postgres: psycopg.Connection):
    plan = plan_of(postgres, kind, who, {"search": search})

    table = VIEWS[kind].serializer_class.Meta.model._meta.db_table
    used = {node.get("Index Name", node["Node Type"]) for node in nodes(plan)}
    assert f"{table}_search" in used, json.dumps(plan, indent=1)
    assert "Seq Scan" not in used


@pytest.mark.slow
@pytest.mark.parametrize("model", picture_models())
def test_pictures_whose_renditions_are_due_have_their_index(
    model: type[PictureModel], postgres: psycopg.Connection
):
    due = model._base_manager.filter(renditions_due_at__lte=timezone.now()).order_by("renditions_due_at")

    plan = explain(postgres, *due[:100].query.get_compiler(connection=DIALECT).as_sql())

    used = {node.get("Index Name", node["Node Type"]) for node in nodes(plan)}
    assert [name for name in used if name.endswith("_renditions_due")], used
    assert "Seq Scan" not in used


@pytest.mark.slow
def test_a_field_without_an_index_would_be_seen(postgres: psycopg.Connection):
    with postgres.cursor() as cursor:
        cursor.execute("EXPLAIN (FORMAT JSON) SELECT * FROM api_species ORDER BY habitat, id LIMIT 25")
        plan = cursor.fetchone()[0][0]["Plan"]

    assert "Seq Scan" in {node["Node Type"] for node in nodes(plan)}


def test_every_field_that_lists_are_filtered_by_is_looked_at():
    for kind, view in VIEWS.items():
        filters = getattr(view, "filterset_class", None)
        known = set(filters.base_filters) if filters else set()
        known -= {"resource"}  # has a test of its own, because it asks for content types
        assert known == {name for query in FILTERS[kind] for name in query}
