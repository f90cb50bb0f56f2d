"""Cursors: every list can be read to its end and back, whatever comes and goes meanwhile."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as any_of

from api.catalog.views import EducationalServiceViewSet, ExhibitionViewSet, SpeciesViewSet
from api.models import EducationalService, Exhibition, Profile, Species
from tests.api.catalog.test_catalog import entry, pointers
from tests.support.cast import Caller

DAYS = any_of.none() | any_of.sampled_from([date(2026, 1, 1) + timedelta(days=day) for day in range(3)])
TEXTS = any_of.sampled_from(["", "a", "B", "b", "é", "ñ", "🦁", 'a","b', "a b"])
EXHIBITIONS = any_of.builds(
    lambda opens, open_days, **fields: Exhibition(
        opens_on=opens,
        closes_on=(opens or date(2026, 1, 2)) + timedelta(days=open_days) if open_days else None,
        **fields,
    ),
    id=any_of.uuids(),
    title=TEXTS,
    opens=DAYS,
    open_days=any_of.integers(0, 2),
)
SERVICES = any_of.builds(
    EducationalService,
    id=any_of.uuids(),
    title=TEXTS,
    audience=TEXTS,
    price=any_of.none() | any_of.sampled_from([Decimal(price) for price in ("0.00", "0.10", "5.55", "1e7")]),
    duration_minutes=any_of.none() | any_of.sampled_from([1, 2, 2**31 - 1]),
)
SPECIES = any_of.builds(
    Species, id=any_of.uuids(), common_name=TEXTS, family=TEXTS, scientific_name=any_of.uuids().map(str)
)
KINDS: dict[str, tuple[Any, Any]] = {
    "exhibitions": (EXHIBITIONS, ExhibitionViewSet),
    "educational-services": (SERVICES, EducationalServiceViewSet),
    "species": (SPECIES, SpeciesViewSet),
}


def orderings(fields: tuple[str, ...]) -> any_of.SearchStrategy[str]:
    """Some of the fields, each in any direction; none is the default order."""
    signed = any_of.tuples(any_of.sampled_from(["", "-"]), any_of.sampled_from(fields)).map("".join)
    return any_of.lists(signed, max_size=3).map(",".join)


def read(who: Caller, url: str, **query: Any) -> dict[str, Any]:
    answer = who.get(url, **query) if query else who.client.get(url)
    assert answer.status_code == 200, answer.content
    return answer.json()


def pages(who: Caller, first: dict[str, Any], link: str = "next") -> Iterator[dict[str, Any]]:
    """This page, and those that its links lead to."""
    page = first
    yield page
    while page[link]:
        page = read(who, page[link])
        yield page


def ids(page: dict[str, Any]) -> list[str]:
    return [row["id"] for row in page["results"]]


def cursor_in(url: str) -> str:
    [cursor] = parse_qs(urlsplit(url).query)["cursor"]
    return cursor


def parts(cursor: str) -> list[Any]:
    return json.loads(urlsafe_b64decode(cursor + "=="))


def made_of(parts: Any) -> str:
    return encoded(json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode())


def encoded(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


# --- Rows come and go ---------------------------------------------------------------------------------


def insert(rows: list[Any]) -> None:
    for row in rows:
        row.published, row.slug = True, str(row.pk)
    if rows:
        type(rows[0]).objects.bulk_create(rows)


@pytest.mark.parametrize("examples", [15, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_come_and_go_neither_repeat_nor_hide_others(kind: str, examples: int, nobody: Caller):
    rows, view = KINDS[kind]
    model = view.serializer_class.Meta.model
    many = any_of.lists(rows, max_size=8, unique_by=lambda row: row.pk)
    changes = any_of.lists(any_of.tuples(any_of.lists(any_of.integers(0, 7), max_size=2), rows), max_size=6)

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(many, orderings(view.ordering_fields), any_of.integers(1, 3), changes)
    def look(rows: list[Any], ordering: str, size: int, changes: list[tuple[list[int], Any]]) -> None:
        model.objects.all().delete()
        insert(rows)
        staying = {str(row.pk) for row in rows}
        query = {"ordering": ordering, "page_size": size}

        seen = []
        for page in pages(nobody, read(nobody, f"{kind}/", cursor="", **query)):
            last = page
            seen += ids(page)
            if page["next"] and changes:
                deleted, inserted = changes.pop()
                gone = {rows[number].pk for number in deleted if number < len(rows)}
                model.objects.filter(pk__in=gone).delete()
                staying -= {str(pk) for pk in gone}
                if not model.objects.filter(pk=inserted.pk).exists():
                    insert([inserted])

        listed = ids(read(nobody, f"{kind}/", ordering=ordering, page_size=100))
        assert len(set(seen)) == len(seen)
        assert staying <= set(seen)
        assert [pk for pk in seen if pk in listed] == [pk for pk in listed if pk in seen]
        back = [page["results"] for page in pages(nobody, last, "previous")]
        assert [row["id"] for page in reversed(back) for row in page] == listed

    look()


def test_where_all_others_are_deleted_the_links_still_lead_back(nobody: Caller):
    rows = [entry("exhibitions", published=True, title=title) for title in "abcd"]
    first = read(nobody, "exhibitions/", cursor="", ordering="title", page_size=2)
    Exhibition.objects.filter(title__in="cd").delete()

    empty = read(nobody, first["next"])

    assert (empty["results"], empty["next"]) == ([], None)
    back = read(nobody, empty["previous"])
    assert ids(back) == [str(row.pk) for row in rows[:2]]
    Exhibition.objects.all().delete()
    empty = read(nobody, empty["previous"])
    assert (empty["results"], empty["previous"]) == ([], None)
    late = entry("exhibitions", published=True, title="e")
    assert ids(read(nobody, empty["next"])) == [str(late.pk)]


# --- The answer ---------------------------------------------------------------------------------------


def test_a_page_has_no_count_and_its_links_have_the_filters(alice: Caller):
    for number in range(5):
        alice.document(title=f"Plan {number}", category="care")
    alice.document(title="Plan", category="house")

    first = read(
        alice, "documents/", cursor="", page_size=2, category="care", search="plan", ordering="-title"
    )
    second = read(alice, first["next"])

    assert (first["count"], first["previous"]) == (None, None)
    assert [row["title"] for row in first["results"]] == ["Plan 4", "Plan 3"]
    assert [row["title"] for row in second["results"]] == ["Plan 2", "Plan 1"]
    sent = parse_qs(urlsplit(second["previous"]).query)
    assert sent.pop("cursor")
    assert sent == {"page_size": ["2"], "category": ["care"], "search": ["plan"], "ordering": ["-title"]}
    assert read(alice, second["previous"])["results"] == first["results"]
    assert read(alice, second["next"])["next"] is None


@pytest.mark.parametrize("path", ["documents/", "uploads/", "profiles/", "species/"])
def test_every_list_has_cursors(path: str, curator: Caller):
    for letter in "abc":
        curator.ticket(curator.document())
        Profile.objects.create(pk=UUID(f"{letter * 8}-0000-4000-8000-000000000000"))
        entry("species", scientific_name=f"Panthera l{letter}")
    every = ids(read(curator, path, page=1))

    found = [ids(page) for page in pages(curator, read(curator, path, cursor="", page_size=1))]

    assert found == [[pk] for pk in every]
    assert len(found) >= 3


def test_pages_with_numbers_are_as_before(alice: Caller):
    alice.document()
    alice.document()

    page = read(alice, "documents/", page=2, page_size=1)

    assert (page["count"], page["next"], len(page["results"])) == (2, None, 1)
    assert "cursor" not in page["previous"]


def test_no_row_is_counted(alice: Caller):
    for _ in range(3):
        alice.document()

    with CaptureQueriesContext(connection) as queries:
        page = read(alice, "documents/", cursor="", page_size=2)
    with CaptureQueriesContext(connection) as later:
        read(alice, page["next"])

    for asked in (queries, later):
        assert not [query["sql"] for query in asked if "COUNT(" in query["sql"].upper()]
    assert len(later) == len(queries)


def test_visitors_may_keep_a_page_with_a_cursor(nobody: Caller):
    for title in "abc":
        entry("exhibitions", published=True, title=title)
    url = read(nobody, "exhibitions/", cursor="", page_size=1)["next"]

    answer = nobody.client.get(url)
    again = nobody.client.get(url, headers={"if-none-match": answer.headers["ETag"]})

    assert answer.headers["Cache-Control"] == "public, max-age=60"
    assert again.status_code == 304


@pytest.mark.parametrize(("ordering", "titles"), [("opens_on", "bca"), ("-opens_on", "acb"), ("", "acb")])
@pytest.mark.parametrize("cursor", [{}, {"cursor": ""}])
def test_a_row_without_a_value_comes_last_and_first_in_descending_order(
    ordering: str, titles: str, cursor: dict[str, str], nobody: Caller
):
    for title, opens_on in (("a", None), ("b", date(2026, 1, 1)), ("c", date(2027, 1, 1))):
        entry("exhibitions", published=True, title=title, opens_on=opens_on)

    page = read(nobody, "exhibitions/", ordering=ordering, **cursor)

    assert "".join(row["title"] for row in page["results"]) == titles


def test_an_ordering_by_several_fields_is_kept(nobody: Caller):
    for title, opens_on in (("a", None), ("b", date(2026, 1, 1)), ("a", date(2026, 1, 1)), ("b", None)):
        entry("exhibitions", published=True, title=title, opens_on=opens_on)
    ordering = "title,-opens_on,title,-title"

    first = read(nobody, "exhibitions/", cursor="", ordering=ordering, page_size=1)

    found = [(row["title"], row["opens_on"]) for page in pages(nobody, first) for row in page["results"]]
    assert found == [("a", None), ("a", "2026-01-01"), ("b", None), ("b", "2026-01-01")]


# --- What is no cursor --------------------------------------------------------------------------------


@pytest.fixture
def known(nobody: Caller) -> list[Any]:
    """The parts of a cursor of the services by price."""
    for price in ("1.50", "2.50"):
        entry("educational-services", published=True, price=price, currency="EUR", duration_minutes=30)
    url = read(nobody, "educational-services/", cursor="", ordering="price,duration_minutes", page_size=1)
    found = parts(cursor_in(url["next"]))
    assert made_of(found) == cursor_in(url["next"])
    return found


def refused(who: Caller, cursor: str, ordering: str = "price,duration_minutes") -> bool:
    answer = who.get("educational-services/", cursor=cursor, ordering=ordering)
    assert pointers(answer) == {"#/cursor"}
    assert answer.json()["errors"][0]["code"] == "invalid"
    return True


@pytest.mark.parametrize(
    "price", ["NaN", "Infinity", "9" * 500, "1e400", "1E+2", "", "x", "\0", 1, 1.5, True]
)
def test_a_cursor_with_a_price_that_is_none_is_refused(price: Any, known: list[Any], nobody: Caller):
    assert refused(nobody, made_of([*known[:-1], [price, *known[-1][1:]]]))


@pytest.mark.parametrize(
    "minutes", ["30", 1.5, True, 2**63, -(2**70), 10**400, float("nan"), float("inf"), [30], {"a": 1}, [[]]]
)
def test_a_cursor_with_a_number_that_is_none_is_refused(minutes: Any, known: list[Any], nobody: Caller):
    price, _, pk = known[-1]

    assert refused(nobody, made_of([*known[:-1], [price, minutes, pk]]))


@pytest.mark.parametrize("pk", [None, "", "x", 5, "0" * 32, "\ud800", ["a"]])
def test_a_cursor_with_an_id_that_is_none_is_refused(pk: Any, known: list[Any], nobody: Caller):
    cursor = json.dumps([*known[:-1], [*known[-1][:2], pk]], separators=(",", ":"))

    assert refused(nobody, encoded(cursor.encode()))


@pytest.mark.parametrize("name", ["a\0b", "\ud800", None, 5, ["a"]])
def test_a_cursor_with_a_text_that_is_none_is_refused(name: Any, nobody: Caller):
    cursor = ["api.educationalservice", "title", "id", "", [name, "01971f6e-8c5b-7a40-b0a5-3d6b1c1f7e55"]]
    text = json.dumps(cursor, separators=(",", ":")).encode()

    assert refused(nobody, encoded(text), "title")


@pytest.mark.parametrize("day", ["2026-02-30", "0000-01-01", "2026-1-1", "2026-01-01T00:00:00", "", 0])
def test_a_cursor_with_a_day_that_is_none_is_refused(day: Any, nobody: Caller):
    cursor = ["api.exhibition", "opens_on", "id", "", [day, "01971f6e-8c5b-7a40-b0a5-3d6b1c1f7e55"]]

    assert pointers(nobody.get("exhibitions/", ordering="opens_on", cursor=made_of(cursor))) == {"#/cursor"}


@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00+23:00", "2026-01-01T00:00:00", "2026-01-01", "", 0, None]
)
def test_a_cursor_with_a_time_that_is_none_is_refused(time: Any, nobody: Caller):
    cursor = ["api.exhibition", "created_at", "id", "", [time, "01971f6e-8c5b-7a40-b0a5-3d6b1c1f7e55"]]

    assert pointers(nobody.get("exhibitions/", ordering="created_at", cursor=made_of(cursor))) == {"#/cursor"}


@pytest.mark.parametrize(
    "content",
    [
        *(
            b"",
            b"[]",
            b"{}",
            b"null",
            b"5",
            b'"a"',
            b"[[]]",
            b"[1,2]",
            b"\xff",
            b"NaN",
            b"[" * 4000,
            b"9" * 4400,
        ),
        *(b'["api.educationalservice","price","duration_minutes","id",0,[]]', b'{"a":1,"b":2,"c":3}'),
    ],
)
def test_what_is_no_cursor_is_refused(content: bytes, nobody: Caller):
    assert content == b"" or refused(nobody, encoded(content))


def test_a_cursor_is_taken_as_it_was_given_only(known: list[Any], nobody: Caller):
    cursor = made_of(known)

    for changed in (cursor + "=", cursor + "AAAA", f" {cursor}", cursor.upper(), "%", "é", "\0", "A" * 9000):
        assert refused(nobody, changed)
    assert refused(nobody, made_of([*known[:-2], "x", known[-1]]))
    assert refused(nobody, made_of([*known[:-1], known[-1][:2]]))
    assert refused(nobody, made_of([*known[:-1], []]))


def test_a_cursor_of_another_order_or_list_is_refused(known: list[Any], nobody: Caller):
    cursor = made_of(known)

    assert refused(nobody, cursor, "-price,duration_minutes")
    assert refused(nobody, cursor, "price")
    assert refused(nobody, cursor, "")
    entry("exhibitions", published=True)
    entry("exhibitions", published=True)
    other = cursor_in(read(nobody, "exhibitions/", cursor="", ordering="title", page_size=1)["next"])
    assert refused(nobody, other, "title")


def test_a_cursor_and_a_page_number_exclude_each_other(nobody: Caller):
    assert pointers(nobody.get("species/", cursor="", page=1)) == {"#/page"}
    assert pointers(nobody.get("species/?cursor=&cursor=")) == {"#/cursor"}
    assert pointers(nobody.get("species/", cursor="", page_size=101)) == {"#/page_size"}


def test_the_longest_texts_fit_in_a_cursor(nobody: Caller):
    for letter in "ab":
        texts = dict.fromkeys(("taxonomic_class", "taxonomic_order", "family"), "🦁" * 100)
        entry("species", published=True, common_name="🦁" * 200, scientific_name="é" * 199 + letter, **texts)
    fields = "family,-taxonomic_order,taxonomic_class,common_name,-scientific_name,created_at,updated_at"

    first = read(nobody, "species/", cursor="", ordering=fields, page_size=1)

    assert len(ids(read(nobody, first["next"]))) == 1


def test_a_gallery_fits_on_one_page_and_has_no_cursors(nobody: Caller):
    species = entry("species", published=True)

    assert pointers(nobody.get(f"species/{species.slug}/pictures/", cursor="")) == {"#/cursor"}
