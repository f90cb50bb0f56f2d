"""Many entries: a page costs as many queries as ever."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from api.catalog.views import SpeciesViewSet
from api.models import EducationalService, Exhibition, Species
from tests.support.cast import Caller

KINDS = ["species", "exhibitions", "educational-services"]


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
@pytest.mark.parametrize("kind", KINDS)
def test_a_list_costs_the_same_at_one_and_at_fifty(kind: str, who: str, db, request):
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
def test_ten_thousand_species_cost_no_more_queries_than_a_hundred(who: str, db, request):
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
