"""Many entries: a page costs as many queries as ever, and every filter and ordering has its index."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from django.db import connection
from django.db.utils import ConnectionHandler
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIRequestFactory

from api.catalog.views import EducationalServiceViewSet, ExhibitionViewSet, SpeciesViewSet
from api.models import EducationalService, Exhibition, Species
from tests.cast import Caller
from tests.server import ROOT

VIEWS = {
    "species": SpeciesViewSet,
    "exhibitions": ExhibitionViewSet,
    "educational-services": EducationalServiceViewSet,
}
FILTERS = {
    "species": [
        {"conservation_status": "CR"},
        {"taxonomic_class": "Class 7"},
        {"taxonomic_order": "Order 7"},
        {"family": "Family 7"},
    ],
    "exhibitions": [{"open_on": "2026-12-24"}],
    "educational-services": [{"audience": "Audience 7"}],
}


def fill(kind: str, numbers: range) -> None:
    """Entries of these numbers, the exhibitions with two species each."""
    if kind == "species":
        Species.objects.bulk_create(
            Species(slug=f"s{n}", common_name=f"S {n}", scientific_name=f"Name {n}", published=True)
            for n in numbers
        )
    elif kind == "educational-services":
        EducationalService.objects.bulk_create(
            EducationalService(slug=f"e{n}", title=f"E {n}", published=True) for n in numbers
        )
    else:
        fill("species", numbers)
        made = Exhibition.objects.bulk_create(
            Exhibition(slug=f"x{n}", title=f"X {n}", published=True) for n in numbers
        )
        for n, exhibition in zip(numbers, made, strict=True):
            exhibition.species.set(Species.objects.filter(slug=f"s{n}"))


def cost(who: Caller, path: str, **query) -> int:
    with CaptureQueriesContext(connection) as queries:
        answer = who.get(path, **query)
    assert answer.status_code == 200, answer.content
    return len(queries)


@pytest.mark.parametrize("who", ["nobody", "curator"])
@pytest.mark.parametrize("kind", VIEWS)
def test_a_list_costs_the_same_at_one_and_at_fifty(kind: str, who: str, request):
    caller = request.getfixturevalue(who)
    fill(kind, range(1))
    at_one = cost(caller, f"{kind}/", page_size=100)
    fill(kind, range(1, 50))
    at_fifty = cost(caller, f"{kind}/", page_size=100)

    assert len(caller.get(f"{kind}/", page_size=100).json()["results"]) == 50
    assert at_one == at_fifty <= 2


def test_an_exhibition_costs_the_same_with_one_and_with_fifty_species(curator: Caller):
    fill("species", range(50))
    slugs = [f"s{n}" for n in range(50)]

    def queries_of(title: str, species: list[str]) -> int:
        with CaptureQueriesContext(connection) as queries:
            answer = curator.post("exhibitions/", {"title": title, "species": species})
        assert answer.json()["species"] == sorted(species)
        return len(queries)

    assert queries_of("Few", slugs[:1]) == queries_of("Many", slugs)


@pytest.mark.slow
@pytest.mark.parametrize("who", ["nobody", "curator"])
def test_ten_thousand_species_cost_no_more_queries_than_a_hundred(who: str, request):
    caller = request.getfixturevalue(who)
    asked = [
        {},
        {"page": 2},
        {"search": "name 7"},
        {"family": "none"},
        *({"ordering": field} for field in SpeciesViewSet.ordering_fields),
    ]
    fill("species", range(100))
    at_hundred = [cost(caller, "species/", **query) for query in asked]
    fill("species", range(100, 10_000))

    at_ten_thousand = [cost(caller, "species/", **query) for query in asked]

    assert caller.get("species/").json()["count"] == 10_000
    assert at_ten_thousand == at_hundred
    assert max(at_ten_thousand) < 10


# --- Indexes, as PostgreSQL uses them ------------------------------------------------------------------

SERVER = "host=127.0.0.1 port=5432 user=root"
DIALECT = ConnectionHandler({"default": {"ENGINE": "django.db.backends.postgresql"}})["default"]
ENTRY = """ md5(random()::text)::uuid, now() - n * interval '1 minute',
            now() - (n * 7 % 10000) * interval '1 minute', prefix || n, '', n % 10 > 0 """
FILL = f"""
INSERT INTO api_species (id, created_at, updated_at, slug, description, published, image, qr_code, habitat,
    common_name, scientific_name, taxonomic_class, taxonomic_order, family, conservation_status)
SELECT {ENTRY.replace("prefix", "'s'")}, '', '', '', 'Name ' || n * 7 % 10000, 'Genus epithet' || n,
    'Class ' || n % 10, 'Order ' || n % 100, 'Family ' || n % 500,
    (ARRAY['EX', 'EW', 'CR', 'EN', 'VU', 'NT', 'LC', 'DD', 'NE'])[n % 9 + 1]
FROM generate_series(1, 10000) AS n;

INSERT INTO api_exhibition (id, created_at, updated_at, slug, description, published, image, location,
    title, opens_on, closes_on)
SELECT {ENTRY.replace("prefix", "'x'")}, '', '', 'Title ' || n * 7 % 10000,
    CASE WHEN n % 20 > 0 THEN date '2000-01-01' + n END,
    CASE WHEN n % 20 > 1 THEN date '2000-01-01' + n + n % 300 END
FROM generate_series(1, 10000) AS n;

INSERT INTO api_exhibition_species (exhibition_id, species_id)
SELECT exhibition.id, species.id FROM api_exhibition AS exhibition
JOIN generate_series(0, 2) AS m ON true
JOIN api_species AS species ON species.slug = 's' || (substr(exhibition.slug, 2)::int + m * 100) % 10000 + 1;

INSERT INTO api_educationalservice (id, created_at, updated_at, slug, description, published, image, title,
    audience, duration_minutes, capacity, price, currency)
SELECT {ENTRY.replace("prefix", "'e'")}, '', 'Title ' || n * 7 % 10000, 'Audience ' || n % 50, n % 300 + 1,
    20, n * 7 % 10000 / 100.0, 'EUR'
FROM generate_series(1, 10000) AS n;
"""


@pytest.fixture(scope="session")
def postgres() -> Iterator[psycopg.Connection]:
    """A database of our own, migrated, with 10,000 entries of each kind."""
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


class Somebody:
    is_authenticated = True

    def __init__(self, is_staff: bool) -> None:
        self.is_staff = is_staff


def first_page(kind: str, staff: bool, query: dict[str, str]) -> tuple[str, tuple]:
    """The SQL of the rows that the view puts on its first page, as PostgreSQL is asked it."""
    view = VIEWS[kind](action_map={"get": "list"})
    view.setup(APIRequestFactory().get("/", query))
    view.request = view.initialize_request(view.request)
    view.request.user, view.action, view.format_kwarg = Somebody(staff), "list", None
    rows = view.filter_queryset(view.get_queryset())[:25]
    return rows.query.get_compiler(connection=DIALECT).as_sql()


def nodes(plan: dict) -> Iterator[dict]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


QUERIES = [
    (kind, query)
    for kind, view in VIEWS.items()
    for query in (
        {},
        *FILTERS[kind],
        *({"ordering": sign + field} for field in view.ordering_fields for sign in ("", "-")),
    )
]


@pytest.mark.slow
@pytest.mark.parametrize("staff", [True, False], ids=["staff", "visitor"])
@pytest.mark.parametrize(("kind", "query"), QUERIES)
def test_every_filter_and_ordering_has_its_index(
    kind: str, query: dict, staff: bool, postgres: psycopg.Connection
):
    sql, values = first_page(kind, staff, query)
    with psycopg.ClientCursor(postgres) as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", values)
        plan = cursor.fetchone()[0][0]["Plan"]

    steps = [(node["Node Type"], node.get("Index Name", "")) for node in nodes(plan)]
    assert not [step for step in steps if step[0] == "Seq Scan"], json.dumps(plan, indent=1)
    field = query.get("ordering", "").lstrip("-")
    if field:
        assert not [step for step in steps if "Sort" in step[0]], steps
        assert any(index.endswith(f"_by_{field}") for _, index in steps), steps


@pytest.mark.slow
def test_a_field_without_an_index_would_be_seen(postgres: psycopg.Connection):
    with postgres.cursor() as cursor:
        cursor.execute("EXPLAIN (FORMAT JSON) SELECT * FROM api_species ORDER BY habitat, id LIMIT 25")
        plan = cursor.fetchone()[0][0]["Plan"]

    assert "Seq Scan" in {node["Node Type"] for node in nodes(plan)}


def test_every_field_that_lists_are_filtered_by_is_looked_at():
    for kind, view in VIEWS.items():
        assert set(view.filterset_class.base_filters) == {name for query in FILTERS[kind] for name in query}
