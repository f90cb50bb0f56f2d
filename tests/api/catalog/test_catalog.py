"""The catalogue: who reads and keeps it, its fields, lists, slugs and pictures."""

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from threading import Barrier
from typing import Any

import pytest
from django.core.files.storage import storages
from django.db import IntegrityError
from PIL import Image

from api.catalog.serializers import ScientificNameField, UniqueValidator
from api.models import EducationalService, Exhibition, Species, Upload
from tests.support.cast import Caller, announcement, code, fetch, send
from tests.support.server import Server

PENGUIN = {"common_name": "African penguin", "scientific_name": "Spheniscus demersus"}
LION = {"common_name": "Lion", "scientific_name": "Panthera leo"}
KINDS = {  # the route, and what is required of its entries
    "species": PENGUIN,
    "exhibitions": {"title": "Penguins of the cape"},
    "educational-services": {"title": "Night at the aquarium"},
}
MODELS = {"species": Species, "exhibitions": Exhibition, "educational-services": EducationalService}
every_kind = pytest.mark.parametrize("kind", KINDS)


def make(curator: Caller, kind: str, **fields) -> dict:
    answer = curator.post(f"{kind}/", {**KINDS[kind], "published": True, **fields})
    assert answer.status_code == 201, answer.content
    return answer.json()


def entry(kind: str, **fields: Any) -> Any:
    """A row, as the API would insert it, but without a QR code."""
    row = MODELS[kind](**{**KINDS[kind], **fields})
    row.create()
    return row


def slugs(answer) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [entry["slug"] for entry in answer.json()["results"]]


def pointers(answer) -> set[str]:
    assert (answer.status_code, code(answer)) == (400, "invalid")
    return {error["pointer"] for error in answer.json()["errors"]}


def picture(kind: str = "JPEG", colour: str = "teal") -> bytes:
    file = BytesIO()
    Image.new("RGB", (40, 30), colour).save(file, kind)
    return file.getvalue()


# --- The role table ------------------------------------------------------------------------------------

ACTS = {
    "read": lambda who, path: who.get(path),
    "change": lambda who, path: who.patch(path, {"description": "New"}),
    "replace": lambda who, path: who.put(path, KINDS[path.split("/")[0]]),
    "ticket": lambda who, path: who.post(
        f"{path}upload-url/", {"filename": "a.png", "content_type": "image/png", "size": 10}
    ),
    "delete": lambda who, path: who.delete(path),
}
SUCCESS = {"read": 200, "change": 200, "replace": 200, "ticket": 201, "delete": 204}
REFUSAL = {401: "not_authenticated", 403: "permission_denied", 404: "not_found"}
TABLE = [
    *(("curator", published, act, SUCCESS[act]) for published in (True, False) for act in ACTS),
    *((who, True, "read", 200) for who in ("alice", "nobody")),
    *((who, False, "read", 404) for who in ("alice", "nobody")),
    *(
        (who, published, act, status)
        for who, status in (("nobody", 401), ("alice", 403))
        for published in (True, False)
        for act in ACTS
        if act != "read"
    ),
]


@every_kind
@pytest.mark.parametrize("published", [True, False])
@pytest.mark.parametrize("who", ["curator", "alice", "nobody"])
def test_the_role_table(kind: str, who: str, published: bool, curator: Caller, request):
    """All acts on one entry; `delete` is the last."""
    slug = entry(kind, published=published).slug
    caller = request.getfixturevalue(who)

    for act, status in [row[2:] for row in TABLE if row[:2] == (who, published)]:
        MODELS[kind].objects.filter(slug=slug).update(published=published)  # `replace` resets it
        answer = ACTS[act](caller, f"{kind}/{slug}/")

        assert answer.status_code == status, act
        if status >= 400:
            assert code(answer) == REFUSAL[status], act


@every_kind
@pytest.mark.parametrize(("who", "status"), [("curator", 201), ("alice", 403), ("nobody", 401)])
def test_staff_create(kind: str, who: str, status: int, db, request):
    caller = request.getfixturevalue(who)

    answer = caller.post(f"{kind}/", KINDS[kind])

    assert answer.status_code == status
    if status == 201:
        assert answer.headers["Location"] == f"http://testserver/api/v1/{kind}/{answer.json()['slug']}/"
        assert caller.get(answer.headers["Location"]).json() == answer.json()
    else:
        assert code(answer) == REFUSAL[status]


@every_kind
@pytest.mark.parametrize("who", ["alice", "nobody"])
def test_a_refusal_does_not_tell_what_there_is(kind: str, who: str, curator: Caller, request):
    """A change of the unpublished is refused as one of what never was."""
    slug = entry(kind).slug
    caller = request.getfixturevalue(who)

    for act in ("change", "replace", "ticket", "delete"):
        unpublished, missing = (ACTS[act](caller, f"{kind}/{name}/") for name in (slug, "never-was"))

        assert unpublished.status_code == missing.status_code, act
        assert unpublished.json() == missing.json(), act


@every_kind
def test_an_unpublished_entry_does_not_exist_for_visitors_and_members(
    kind: str, curator: Caller, alice: Caller, nobody: Caller
):
    new = curator.post(f"{kind}/", KINDS[kind]).json()

    assert new["published"] is False
    for who in (alice, nobody):
        assert slugs(who.get(f"{kind}/")) == []
        assert slugs(who.get(f"{kind}/", search=next(iter(KINDS[kind].values())))) == []
        assert who.get(f"{kind}/").json()["count"] == 0
        hidden, missing = who.get(f"{kind}/{new['slug']}/"), who.get(f"{kind}/never-was/")
        assert (hidden.status_code, hidden.json()) == (404, missing.json())
    assert slugs(curator.get(f"{kind}/")) == [new["slug"]]

    curator.patch(f"{kind}/{new['slug']}/", {"published": True})

    for who in (alice, nobody):
        assert slugs(who.get(f"{kind}/")) == [new["slug"]]


# --- Fields --------------------------------------------------------------------------------------------

WHOLE = {
    "species": {
        **PENGUIN,
        "description": "It brays like a donkey.",
        "habitat": "Rocky islands",
        "taxonomic_class": "Aves",
        "taxonomic_order": "Sphenisciformes",
        "family": "Spheniscidae",
        "conservation_status": "CR",
        "published": True,
    },
    "exhibitions": {
        "title": "Penguins of the cape",
        "description": "A walk among them.",
        "location": "House 3",
        "opens_on": "2026-12-01",
        "closes_on": "2027-03-31",
        "species": ["lion"],
        "published": True,
    },
    "educational-services": {
        "title": "Night at the aquarium",
        "description": "Bring a torch.",
        "audience": "families",
        "duration_minutes": 90,
        "capacity": 20,
        "price": "12.50",
        "currency": "EUR",
        "published": True,
    },
}
EMPTY = {
    "species": {
        "description": "",
        "habitat": "",
        "taxonomic_class": "",
        "taxonomic_order": "",
        "family": "",
        "conservation_status": "NE",
        "published": False,
        "image_url": None,
    },
    "exhibitions": {
        "description": "",
        "location": "",
        "opens_on": None,
        "closes_on": None,
        "species": [],
        "published": False,
        "image_url": None,
    },
    "educational-services": {
        "description": "",
        "audience": "",
        "duration_minutes": None,
        "capacity": None,
        "price": None,
        "currency": "",
        "published": False,
        "image_url": None,
    },
}


@every_kind
def test_every_field_is_kept(kind: str, curator: Caller, nobody: Caller):
    make(curator, "species", **LION)

    new = make(curator, kind, **WHOLE[kind])

    assert new.items() >= WHOLE[kind].items()
    assert new["created_at"].endswith("Z")
    assert new["updated_at"].endswith("Z")
    assert nobody.get(f"{kind}/{new['slug']}/").json() == new


@every_kind
def test_what_is_optional_has_a_default(kind: str, curator: Caller):
    new = curator.post(f"{kind}/", KINDS[kind]).json()

    assert new.items() >= EMPTY[kind].items()


@every_kind
def test_each_field_changes_alone(kind: str, curator: Caller):
    make(curator, "species", **LION)
    before = make(curator, kind, published=False)
    path = f"{kind}/{before['slug']}/"
    before = curator.patch(path, {"currency": "EUR"} if kind == "educational-services" else {}).json()

    for name, value in WHOLE[kind].items():
        after = curator.patch(path, {name: value}).json()
        assert after == {**before, name: value, "updated_at": after["updated_at"]}, name
        before = after


@every_kind
def test_what_was_read_may_be_put_back(kind: str, curator: Caller):
    make(curator, "species", **LION)
    entry = make(curator, kind, **WHOLE[kind])

    answer = curator.put(f"{kind}/{entry['slug']}/", entry)

    assert answer.json() == {**entry, "updated_at": answer.json()["updated_at"]}


@every_kind
def test_nobody_chooses_what_the_server_does(kind: str, curator: Caller):
    entry = make(
        curator,
        kind,
        id="01971f6d-1d0a-7c11-9f0e-5b8c2f6f3a11",
        image_url="https://evil.example/a.png",
        image="x",
        image_facts={"name": "x"},
        created_at="1999-01-01T00:00:00Z",
    )

    assert entry["id"] != "01971f6d-1d0a-7c11-9f0e-5b8c2f6f3a11"
    assert entry["image_url"] is None
    assert entry["created_at"] > "2020"


# --- Bad input -----------------------------------------------------------------------------------------

BAD_TEXTS = [None, ["a"], {"a": 1}, True, "a\x00b", "\ud800"]
TEXTS = {
    "species": {
        "common_name": 200,
        "description": 20_000,
        "habitat": 5000,
        "taxonomic_class": 100,
        "taxonomic_order": 100,
        "family": 100,
        "conservation_status": 2,
    },
    "exhibitions": {"title": 200, "description": 20_000, "location": 200},
    "educational-services": {"title": 200, "description": 20_000, "audience": 100, "currency": 3},
}


@pytest.mark.parametrize(
    ("kind", "field", "longest"),
    [(kind, field, longest) for kind, fields in TEXTS.items() for field, longest in fields.items()],
)
def test_texts_are_texts_of_a_certain_length(kind: str, field: str, longest: int, curator: Caller):
    for text in [*BAD_TEXTS, "x" * (longest + 1)]:
        assert pointers(curator.post(f"{kind}/", {**KINDS[kind], field: text})) == {f"#/{field}"}, text
    assert not curator.get(f"{kind}/").json()["count"]


BAD_FIELDS = [
    ("species", {"common_name": ""}),
    ("species", {"common_name": "  "}),
    ("species", {"conservation_status": "XX"}),
    ("species", {"conservation_status": "cr"}),
    ("species", {"conservation_status": ""}),
    ("species", {"conservation_status": 1}),
    ("species", {"published": "maybe"}),
    ("species", {"published": None}),
    ("species", {"published": []}),
    ("species", {"published": {}}),
    ("species", {"slug": "of-my-own"}),
    ("species", {"slug": None}),
    ("species", {"slug": ""}),
    ("exhibitions", {"title": ""}),
    ("exhibitions", {"opens_on": "2026-02-30"}),
    ("exhibitions", {"opens_on": "tomorrow"}),
    ("exhibitions", {"opens_on": 20261224}),
    ("exhibitions", {"opens_on": ["2026-12-24"]}),
    ("exhibitions", {"opens_on": "2026-12-24T10:00:00Z"}),
    ("exhibitions", {"closes_on": "2026-13-01"}),
    ("exhibitions", {"closes_on": "10000-01-01"}),
    ("exhibitions", {"opens_on": "2026-12-24", "closes_on": "2026-12-23"}),
    ("exhibitions", {"species": "lion"}),
    ("exhibitions", {"species": None}),
    ("exhibitions", {"species": {"slug": "lion"}}),
    ("exhibitions", {"species": 1}),
    ("educational-services", {"price": "-0.01", "currency": "EUR"}),
    ("educational-services", {"price": -1, "currency": "EUR"}),
    ("educational-services", {"price": "NaN", "currency": "EUR"}),
    ("educational-services", {"price": "sNaN", "currency": "EUR"}),
    ("educational-services", {"price": "Infinity", "currency": "EUR"}),
    ("educational-services", {"price": "-Infinity", "currency": "EUR"}),
    ("educational-services", {"price": "1e400", "currency": "EUR"}),
    ("educational-services", {"price": "1e999999999", "currency": "EUR"}),
    ("educational-services", {"price": "100000000", "currency": "EUR"}),
    ("educational-services", {"price": "0.001", "currency": "EUR"}),
    ("educational-services", {"price": "9" * 1001, "currency": "EUR"}),
    ("educational-services", {"price": 10**40, "currency": "EUR"}),
    ("educational-services", {"price": "1,50", "currency": "EUR"}),
    ("educational-services", {"price": "free", "currency": "EUR"}),
    ("educational-services", {"price": ["1"], "currency": "EUR"}),
    ("educational-services", {"price": {"amount": 1}, "currency": "EUR"}),
    ("educational-services", {"price": True, "currency": "EUR"}),
    ("educational-services", {"currency": "EURO"}),
    ("educational-services", {"currency": "eur"}),
    ("educational-services", {"currency": "EU"}),
    ("educational-services", {"currency": "ZZZ"}),
    ("educational-services", {"capacity": 0}),
    ("educational-services", {"capacity": -1}),
    ("educational-services", {"capacity": 1.5}),
    ("educational-services", {"capacity": 10**30}),
    ("educational-services", {"capacity": 2**31}),
    ("educational-services", {"capacity": "many"}),
    ("educational-services", {"capacity": True}),
    ("educational-services", {"capacity": [1]}),
    ("educational-services", {"duration_minutes": 0}),
    ("educational-services", {"duration_minutes": 2**31}),
    ("educational-services", {"duration_minutes": "1h"}),
]


@pytest.mark.parametrize(("kind", "fields"), BAD_FIELDS)
def test_bad_fields_are_named(kind: str, fields: dict, curator: Caller):
    """The last of the fields is the bad one, or the first where a currency only goes with a price."""
    bad = next(iter(fields)) if "price" in fields else list(fields)[-1]
    entry = make(curator, kind)

    for answer in (
        curator.post(f"{kind}/", {**KINDS[kind], "scientific_name": "Panthera leo", **fields}),
        curator.patch(f"{kind}/{entry['slug']}/", fields),
    ):
        assert pointers(answer) == {f"#/{bad}"}
    assert curator.get(f"{kind}/{entry['slug']}/").json() == entry
    assert curator.get(f"{kind}/").json()["count"] == 1


@every_kind
def test_numbers_that_are_not_json_are_refused(kind: str, curator: Caller):
    for number in ("NaN", "Infinity", "-Infinity"):
        body = f'{{"title": "x", "price": {number}}}'
        answer = curator.client.post(f"/api/v1/{kind}/", body, content_type="application/json")
        assert (answer.status_code, code(answer)) == (400, "malformed")
    body = '{"title": "x", "common_name": "x", "price": 1e400, "capacity": 1e400}'
    answer = curator.client.post(f"/api/v1/{kind}/", body, content_type="application/json")
    assert answer.status_code == (201 if kind == "exhibitions" else 400)


@every_kind
@pytest.mark.parametrize("body", ["[]", '["title"]', '"title"', "1", "null", "true"])
def test_what_is_no_object_is_refused(kind: str, body: str, curator: Caller):
    answer = curator.client.post(f"/api/v1/{kind}/", body, content_type="application/json")

    assert (answer.status_code, code(answer)) == (400, "invalid")


@every_kind
def test_a_put_with_half_the_fields_is_refused(kind: str, curator: Caller):
    entry = make(curator, kind)
    missing = list(KINDS[kind])[-1]
    half = {"description": "New", **KINDS[kind]}
    del half[missing]

    assert pointers(curator.put(f"{kind}/{entry['slug']}/", half)) == {f"#/{missing}"}
    assert curator.get(f"{kind}/{entry['slug']}/").json() == entry


@every_kind
def test_two_megabytes_of_description_are_refused(kind: str, curator: Caller):
    answer = curator.post(f"{kind}/", {**KINDS[kind], "description": "x" * 2_000_000})

    assert (answer.status_code, code(answer)) == (413, "too_large")


@every_kind
@pytest.mark.parametrize("slug", ["none", "a%00b", "%ED%A0%80", "a%20b", "'--", "%2e%2e", "x" * 3000])
def test_a_slug_that_is_none_is_not_found(kind: str, slug: str, nobody: Caller, curator: Caller):
    for who in (nobody, curator):
        assert code(who.get(f"{kind}/{slug}/")) == "not_found"


# --- Lists ---------------------------------------------------------------------------------------------


@pytest.fixture
def zoo(db) -> None:
    for common, scientific, class_, order, family, status in (
        ("African penguin", "Spheniscus demersus", "Aves", "Sphenisciformes", "Spheniscidae", "CR"),
        ("Lion", "Panthera leo", "Mammalia", "Carnivora", "Felidae", "VU"),
        ("Tiger", "Panthera tigris", "Mammalia", "Carnivora", "Felidae", "EN"),
        ("Brown bear", "Ursus arctos", "Mammalia", "Carnivora", "Ursidae", "LC"),
    ):
        entry(
            "species",
            published=True,
            common_name=common,
            scientific_name=scientific,
            taxonomic_class=class_,
            taxonomic_order=order,
            family=family,
            conservation_status=status,
            description=f"Seen at noon: {family}.",
        )


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["african-penguin", "brown-bear", "lion", "tiger"]),
        ({"conservation_status": "EN"}, ["tiger"]),
        ({"conservation_status": "DD"}, []),
        ({"taxonomic_class": "Aves"}, ["african-penguin"]),
        ({"taxonomic_order": "Carnivora"}, ["brown-bear", "lion", "tiger"]),
        ({"family": "Felidae"}, ["lion", "tiger"]),
        ({"family": "Felidae", "conservation_status": "VU"}, ["lion"]),
        ({"search": "penguin"}, ["african-penguin"]),
        ({"search": "PANTHERA"}, ["lion", "tiger"]),
        ({"search": "ursidae"}, ["brown-bear"]),
        ({"search": "panthera noon tig"}, ["tiger"]),
        ({"search": "unicorn"}, []),
        ({"search": "%"}, []),
        ({"ordering": "-common_name"}, ["tiger", "lion", "brown-bear", "african-penguin"]),
        ({"ordering": "scientific_name"}, ["lion", "tiger", "african-penguin", "brown-bear"]),
        ({"ordering": "taxonomic_class,-common_name"}, ["african-penguin", "tiger", "lion", "brown-bear"]),
        ({"ordering": "-taxonomic_order,common_name"}, ["african-penguin", "brown-bear", "lion", "tiger"]),
        ({"ordering": "family"}, ["lion", "tiger", "african-penguin", "brown-bear"]),
        ({"ordering": "-family"}, ["brown-bear", "african-penguin", "tiger", "lion"]),
        ({"ordering": "created_at"}, ["african-penguin", "lion", "tiger", "brown-bear"]),
        ({"ordering": "-updated_at"}, ["brown-bear", "tiger", "lion", "african-penguin"]),
    ],
)
def test_species_are_filtered_searched_and_ordered(query: dict, found: list[str], zoo, nobody: Caller):
    assert slugs(nobody.get("species/", **query)) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["two-hours", "one-hour", "three-hours"]),
        ({"audience": "schools"}, ["one-hour"]),
        ({"audience": "scho"}, []),
        ({"search": "torch"}, ["two-hours"]),
        ({"search": "THREE"}, ["three-hours"]),
        ({"ordering": "title"}, ["two-hours", "one-hour", "three-hours"]),
        ({"ordering": "audience"}, ["two-hours", "one-hour", "three-hours"]),
        ({"ordering": "price"}, ["one-hour", "two-hours", "three-hours"]),
        ({"ordering": "-price"}, ["three-hours", "two-hours", "one-hour"]),
        ({"ordering": "-duration_minutes"}, ["three-hours", "two-hours", "one-hour"]),
        ({"ordering": "created_at"}, ["one-hour", "two-hours", "three-hours"]),
        ({"ordering": "-updated_at"}, ["three-hours", "two-hours", "one-hour"]),
    ],
)
def test_services_are_filtered_searched_and_ordered(
    query: dict, found: list[str], curator: Caller, nobody: Caller
):
    for title, price, minutes, audience, text in (
        ("One hour", "2.00", 60, "schools", ""),
        ("Two hours", "9.50", 120, "families", "Bring a torch."),
        ("Three hours", "10.00", 180, "teachers", ""),
    ):
        entry = make(
            curator,
            "educational-services",
            title=title,
            price=price,
            currency="EUR",
            duration_minutes=minutes,
            audience=audience,
            description=text,
        )
        if title == "Two hours":
            curator.patch(f"educational-services/{entry['slug']}/", {"title": "Night with torches"})
    if "title" in query.get("ordering", "") or not query:
        assert found[0] == "two-hours"  # its title is now the first

    if query.get("ordering") == "-updated_at":
        curator.patch("educational-services/three-hours/", {"capacity": 5})
    assert slugs(nobody.get("educational-services/", **query)) == found


@every_kind
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"ordering": "image"}, 400),
        ({"ordering": "published"}, 400),
        ({"ordering": "species__common_name"}, 400),
        ({"ordering": "created_at,nonsense"}, 400),
        ({"ordering": "--created_at"}, 400),
        ({"ordering": "?"}, 400),
        ({"search": "a\x00b"}, 400),
        ({"search": "word " * 21}, 400),
        ({"page": "0"}, 404),
        ({"page": "x"}, 404),
        ({"page": "99999999999999999999999"}, 404),
    ],
)
def test_a_senseless_list_is_refused(kind: str, query: dict, status: int, nobody: Caller):
    answer = nobody.get(f"{kind}/", **query)

    assert answer.status_code == status
    assert code(answer) in ("invalid", "not_found")


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        ("species", {"conservation_status": "XX"}),
        ("species", {"conservation_status": "cr"}),
        ("species", {"family": "a\x00b"}),
        ("species", {"taxonomic_class": "a\x00b"}),
        ("species", {"taxonomic_order": "a\x00b"}),
        ("exhibitions", {"open_on": "tomorrow"}),
        ("exhibitions", {"open_on": "2026-02-30"}),
        ("exhibitions", {"open_on": "12/24/2026"}),
        ("exhibitions", {"open_on": "Dec 24 2026"}),
        ("exhibitions", {"open_on": "2026-12-24\x00"}),
        ("educational-services", {"audience": "a\x00b"}),
    ],
)
def test_a_senseless_filter_is_refused(kind: str, query: dict, nobody: Caller):
    assert pointers(nobody.get(f"{kind}/", **query)) == {f"#/{next(iter(query))}"}


@pytest.mark.parametrize("direction", ["", "-"])
@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("species", "common_name"),
        ("species", "family"),
        ("exhibitions", "opens_on"),
        ("exhibitions", "title"),
        ("educational-services", "price"),
        ("educational-services", "title"),
    ],
)
def test_pages_never_overlap_when_the_ordering_ties(direction: str, kind: str, field: str, nobody: Caller):
    for letter in "abcdefg":
        fields = {"scientific_name": f"Panthera l{letter}"} if kind == "species" else {}
        entry(kind, published=True, **fields)

    pages = [
        slugs(nobody.get(f"{kind}/", ordering=direction + field, page=page, page_size=3))
        for page in (1, 2, 3)
    ]

    assert [len(page) for page in pages] == [3, 3, 1]
    assert len({slug for page in pages for slug in page}) == 7


# --- Slugs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("common", "scientific", "slug"),
    [
        ("African penguin", "Spheniscus demersus", "african-penguin"),
        ("Ñandú común", "Rhea americana", "nandu-comun"),
        ("ライオン", "Panthera leo", "panthera-leo"),
        ("Лев", "Panthera leo persica", "panthera-leo-persica"),
        ("🦁", "Mentha × piperita", "mentha-piperita"),
        ("!!!", "× Cuprocyparis leylandii", "cuprocyparis-leylandii"),
        ("'qr' codes!", "Panthera leo", "qr-codes-2"),
        ("QR codes", "Panthera leo", "qr-codes-2"),
        ("../../etc", "Panthera leo", "etc"),
        ("<script>", "Panthera leo", "script"),
        ("x" * 200, "Panthera leo", "x" * 92),
        ("a-" * 100, "Panthera leo", ("a-" * 46)[:-1]),
        ("1", "Panthera leo", "1"),
    ],
)
def test_a_slug_is_made_from_the_name(common: str, scientific: str, slug: str, curator: Caller):
    species = make(curator, "species", common_name=common, scientific_name=scientific)

    assert species["slug"] == slug
    assert curator.get(f"species/{slug}/").json() == species


@pytest.mark.parametrize("kind", ["exhibitions", "educational-services"])
def test_a_title_without_letters_has_a_slug_too(kind: str, curator: Caller):
    first, second = (make(curator, kind, title=title)["slug"] for title in ("日本", "🦁"))

    assert first
    assert second == f"{first}-2"
    assert curator.get(f"{kind}/{second}/").status_code == 200


@every_kind
def test_the_second_of_a_name_is_numbered(kind: str, curator: Caller):
    names = [{"scientific_name": f"Panthera l{letter}"} if kind == "species" else {} for letter in "abc"]

    made = [make(curator, kind, **name)["slug"] for name in names]

    assert made == [made[0], f"{made[0]}-2", f"{made[0]}-3"]


def test_very_long_names_are_numbered_too(curator: Caller):
    made = [make(curator, "exhibitions", title="x" * 200)["slug"] for _ in range(11)]

    assert len(set(made)) == 11
    assert max(map(len, made)) <= 100


@every_kind
def test_a_slug_never_changes(kind: str, curator: Caller):
    entry = make(curator, kind)
    path = f"{kind}/{entry['slug']}/"
    name = next(iter(KINDS[kind]))

    renamed = curator.patch(path, {name: "Another name"})

    assert (renamed.json()[name], renamed.json()["slug"]) == ("Another name", entry["slug"])
    assert curator.patch(path, {"slug": entry["slug"]}).status_code == 200
    for slug in ("another-name", entry["slug"].upper(), entry["slug"] + "-", "", None, 1, ["a"]):
        assert pointers(curator.patch(path, {"slug": slug})) == {"#/slug"}
        assert pointers(curator.put(path, {**KINDS[kind], "slug": slug})) == {"#/slug"}
    assert curator.get(path).json()["slug"] == entry["slug"]


@pytest.mark.slow
def test_two_that_are_made_at_once_get_slugs_of_their_own(server: Server):
    curator = server.client("curator@example.org", "staff")
    together = Barrier(12)

    def create(number: int):
        together.wait()
        name = f"Racer {'abcdefghijkl'[number]}us"
        return curator.post("/api/v1/species/", json={"common_name": "Racer", "scientific_name": name})

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(create, range(12)))

    assert {answer.status_code for answer in answers} == {201}, [answer.text for answer in answers]
    made = {answer.json()["slug"] for answer in answers}
    assert made == {"racer", *(f"racer-{number}" for number in range(2, 13))}
    for slug in made:
        assert curator.delete(f"/api/v1/species/{slug}/").status_code == 204


@pytest.mark.slow
def test_of_two_that_take_a_scientific_name_at_once_one_gets_it(server: Server):
    curator = server.client("curator@example.org", "staff")
    together = Barrier(8)

    def create(number: int):
        together.wait()
        return curator.post(
            "/api/v1/species/", json={"common_name": f"Twin {number}", "scientific_name": "gemina GEMINA"}
        )

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(create, range(8)))

    made = [answer.json()["slug"] for answer in answers if answer.status_code == 201]
    assert len(made) == 1
    assert {answer.status_code for answer in answers} == {201, 400}
    curator.delete(f"/api/v1/species/{made[0]}/")


def test_the_database_decides_between_two_that_take_a_name_at_once(curator: Caller, monkeypatch):
    """Given two that passed the checks before either was written, when the second writes, it is refused."""
    make(curator, "species")
    make(curator, "species", **LION)
    monkeypatch.setattr(UniqueValidator, "__call__", lambda *args: None)

    for answer in (
        curator.post("species/", {**PENGUIN, "common_name": "Another"}),
        curator.patch("species/lion/", {"scientific_name": PENGUIN["scientific_name"]}),
    ):
        assert (answer.status_code, code(answer)) == (400, "invalid")
        assert [error["code"] for error in answer.json()["errors"]] == ["conflict"]
    assert curator.get("species/lion/").json()["scientific_name"] == "Panthera leo"
    assert ScientificNameField.default_validators == []


def test_a_slug_that_is_taken_meanwhile_is_passed_over(curator: Caller, monkeypatch):
    """Given a slug that looks free, when another entry has it after all, then the next number is tried."""
    make(curator, "exhibitions")
    exists = type(Exhibition.objects.all()).exists
    answers = iter([False])
    monkeypatch.setattr(
        type(Exhibition._base_manager.all()), "exists", lambda rows: next(answers, exists(rows))
    )

    assert make(curator, "exhibitions")["slug"] == "penguins-of-the-cape-2"


# --- Exhibitions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "found"),
    [
        ("2026-01-01", {"always", "until-march"}),
        ("2026-03-31", {"always", "until-march"}),
        ("2026-04-01", {"always"}),
        ("2026-12-01", {"always", "december", "from-december"}),
        ("2026-12-24", {"always", "december", "from-december", "one-day"}),
        ("2026-12-25", {"always", "december", "from-december"}),
        ("2027-01-01", {"always", "from-december"}),
        ("0001-01-01", {"always", "until-march"}),
        ("9999-12-31", {"always", "from-december"}),
        ("", {"always", "until-march", "december", "from-december", "one-day"}),
    ],
)
def test_what_is_open_on_a_day(day: str, found: set[str], nobody: Caller):
    for title, opens, closes in (
        ("Always", None, None),
        ("Until March", None, "2026-03-31"),
        ("December", "2026-12-01", "2026-12-31"),
        ("From December", "2026-12-01", None),
        ("One day", "2026-12-24", "2026-12-24"),
    ):
        entry("exhibitions", published=True, title=title, opens_on=opens, closes_on=closes)
    entry("exhibitions", title="Hidden")

    assert set(slugs(nobody.get("exhibitions/", open_on=day))) == found


def test_exhibitions_are_searched_and_ordered(curator: Caller, nobody: Caller):
    make(curator, "exhibitions", title="Beta", opens_on="2026-01-01", closes_on="2026-05-01")
    make(
        curator,
        "exhibitions",
        title="Alpha",
        opens_on="2026-02-01",
        closes_on="2026-04-01",
        description="wet",
    )

    assert slugs(nobody.get("exhibitions/")) == ["alpha", "beta"]
    assert slugs(nobody.get("exhibitions/", search="wet")) == ["alpha"]
    assert slugs(nobody.get("exhibitions/", search="BETA")) == ["beta"]
    for ordering in ("title", "-opens_on", "closes_on", "-created_at", "-updated_at"):
        assert slugs(nobody.get("exhibitions/", ordering=ordering)) == ["alpha", "beta"], ordering


def test_no_exhibition_closes_before_it_opens(curator: Caller, monkeypatch):
    make(curator, "exhibitions", title="E", opens_on="2026-12-01", closes_on="2026-12-31")

    for change in ({"closes_on": "2026-11-30"}, {"opens_on": "2027-01-01"}):
        assert pointers(curator.patch("exhibitions/e/", change)) == {"#/closes_on"}
    for change in (
        {"closes_on": "2026-12-01"},
        {"opens_on": None},
        {"closes_on": "2026-01-01"},
        {"opens_on": "2027-01-01", "closes_on": None},
        {"opens_on": "2028-01-01", "closes_on": "2028-01-01"},
    ):
        assert curator.patch("exhibitions/e/", change).status_code == 200


def test_nor_does_one_whose_ends_change_at_once(curator: Caller):
    """The check is passed with the dates as they were; the database has the last word."""
    make(curator, "exhibitions", title="E", opens_on="2026-12-01", closes_on="2026-12-31")

    with pytest.raises(IntegrityError):
        Exhibition.objects.update(opens_on="2027-01-01")


def test_species_of_an_exhibition_by_slug(curator: Caller, nobody: Caller):
    make(curator, "species")
    make(curator, "species", **LION, published=False)

    new = make(curator, "exhibitions", title="E", species=["lion", "african-penguin", "lion"])

    assert new["species"] == ["african-penguin", "lion"]
    assert nobody.get("exhibitions/e/").json()["species"] == ["african-penguin"]
    assert nobody.get("exhibitions/").json()["results"][0]["species"] == ["african-penguin"]
    assert curator.get("exhibitions/").json()["results"][0]["species"] == ["african-penguin", "lion"]
    assert curator.patch("exhibitions/e/", {"title": "New"}).json()["species"] == ["african-penguin", "lion"]
    assert curator.patch("exhibitions/e/", {"species": ["lion"]}).json()["species"] == ["lion"]
    assert nobody.get("exhibitions/e/").json()["species"] == []
    assert curator.patch("exhibitions/e/", {"species": []}).json()["species"] == []


def test_a_species_that_is_deleted_leaves_its_exhibitions(curator: Caller, nobody: Caller):
    make(curator, "species", **LION)
    make(curator, "exhibitions", title="E", species=["lion"])

    curator.delete("species/lion/")

    assert nobody.get("exhibitions/e/").json()["species"] == []


@pytest.mark.parametrize(
    "slug", ["unicorn", "", "LION", None, 1.5, True, ["lion"], {"a": 1}, "a\x00b", "\ud800"]
)
def test_an_unknown_species_is_refused_and_nothing_is_made(slug, curator: Caller):
    make(curator, "species", **LION)
    make(curator, "exhibitions", title="E", species=["lion"])

    for answer in (
        curator.post("exhibitions/", {"title": "New", "species": ["lion", slug]}),
        curator.patch("exhibitions/e/", {"title": "New", "species": ["lion", slug]}),
    ):
        assert pointers(answer) == {"#/species/1"}
    assert [exhibition["title"] for exhibition in curator.get("exhibitions/").json()["results"]] == ["E"]
    assert curator.get("exhibitions/e/").json()["species"] == ["lion"]


def test_very_many_species_are_refused(curator: Caller):
    assert pointers(curator.post("exhibitions/", {"title": "E", "species": ["lion"] * 1001})) == {"#/species"}


# --- Educational services ------------------------------------------------------------------------------


def test_a_price_needs_a_currency(curator: Caller):
    path = "educational-services/"

    assert pointers(curator.post(path, {"title": "S", "price": "1.00"})) == {"#/currency"}
    assert pointers(curator.post(path, {"title": "S", "price": "1.00", "currency": ""})) == {"#/currency"}
    make(curator, "educational-services", title="S", price="1.00", currency="EUR")
    assert pointers(curator.patch(f"{path}s/", {"currency": ""})) == {"#/currency"}
    assert curator.patch(f"{path}s/", {"currency": "", "price": None}).status_code == 200
    assert pointers(curator.patch(f"{path}s/", {"price": "2.00"})) == {"#/currency"}
    assert curator.patch(f"{path}s/", {"price": "0"}).json()["price"] == "0.00"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("12.5", "12.50"),
        (12.5, "12.50"),
        (0.1, "0.10"),
        ("99999999.99", "99999999.99"),
        ("1e2", "100.00"),
        ("0", "0.00"),
        ("-0.00", "0.00"),
        (None, None),
    ],
)
def test_prices_are_exact(sent, kept: str | None, curator: Caller):
    make(curator, "educational-services", title="S", price=sent, currency="EUR")

    assert curator.get("educational-services/s/").json()["price"] == kept


# --- Pictures ------------------------------------------------------------------------------------------


def ticket_for(curator: Caller, path: str, content: bytes, content_type: str) -> dict:
    announced = announcement(content, filename="león.jpg", content_type=content_type)
    answer = curator.post(f"{path}upload-url/", announced)
    assert answer.status_code == 201, answer.content
    return answer.json()


def bring(curator: Caller, path: str, content: bytes, content_type: str = "image/jpeg") -> str:
    """The URL of the picture, once it was sent and verified."""
    ticket = ticket_for(curator, path, content, content_type)
    assert send(ticket, content).status_code == 200
    answer = curator.complete(ticket)
    assert answer.status_code == 200, answer.content
    return curator.get(path).json()["image_url"]


def urls_of(entry: dict) -> set[str]:
    """The URLs of what is published of the image."""
    return {each["url"] for each in entry["image"]["renditions"]}


def objects(bucket: str) -> list[str]:
    """The keys of a bucket, QR codes aside."""
    keys = [found.key for found in storages[bucket].walk("")]
    return [key for key in keys if not key.startswith("qr-codes/")]


def stored(bucket: str, key: str) -> bytes:
    """The content of an object."""
    with storages[bucket].read(key) as file:
        return file.read()


@pytest.fixture
def paths(db) -> dict[str, str]:
    """The path of a published entry of each kind."""
    return {kind: f"{kind}/{entry(kind, published=True).slug}/" for kind in KINDS}


@every_kind
@pytest.mark.parametrize("picture_kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_is_brought_by_ticket_and_served_to_everybody(
    kind: str, picture_kind: str, paths, curator: Caller, nobody: Caller, settings
):
    path, content = paths[kind], picture(picture_kind)
    assert nobody.get(path).json()["image_url"] is None

    url = bring(curator, path, content, f"image/{picture_kind.lower()}")

    slug = path.split("/")[1]
    assert url.startswith(f"{settings.SUPABASE_URL}/storage/v1/object/public/{kind}/{slug}/")
    assert url.endswith(".jpg")
    assert "?" not in url
    assert (
        nobody.get(path).json()["image_url"]
        == nobody.get(f"{kind}/").json()["results"][0]["image_url"]
        == url
    )
    image = nobody.get(path).json()["image"]
    assert image["url"] == url
    assert [each["content_type"] for each in image["renditions"]] == ["image/webp", "image/jpeg"]
    for each in image["renditions"]:
        served = fetch(each["url"])
        assert served.status_code == 200
        assert served.headers["Content-Type"] == each["content_type"]
        assert served.headers["Cache-Control"].endswith("max-age=31536000, immutable")
        with Image.open(BytesIO(served.body)) as rendition:
            assert rendition.size == (each["width"], each["height"]) == (40, 30)


@every_kind
@pytest.mark.parametrize("content_type", ["image/gif", "application/pdf", "image/svg+xml", "text/html"])
def test_other_types_are_refused_before_they_are_sent(kind: str, content_type: str, paths, curator: Caller):
    answer = curator.post(f"{paths[kind]}upload-url/", announcement(content_type=content_type))

    assert pointers(answer) == {"#/content_type"}
    assert not Upload.objects.exists()


@every_kind
def test_the_picture_as_it_was_sent_is_read_with_a_signed_url_only(kind: str, paths, curator: Caller):
    content = picture() + b"%as it was sent"
    bring(curator, paths[kind], content)

    [key] = objects("originals")
    assert key.startswith(paths[kind])
    assert fetch(storages["originals"].public_url(key)).status_code == 400
    assert not any(b"%as it was sent" in stored(kind, key) for key in objects(kind))
    [shown] = curator.get(f"{paths[kind]}pictures/").json()["results"]
    signed = curator.get(f"{paths[kind]}pictures/{shown['id']}/original-url/")
    assert signed.headers["Cache-Control"] == "no-store"
    served = fetch(signed.json()["url"])
    assert (served.body, served.headers["Content-Type"]) == (content, "image/jpeg")
    assert "immutable" not in served.headers.get("Cache-Control", "")


def test_what_is_no_picture_is_refused_and_the_old_one_stays(paths, curator: Caller):
    path = paths["species"]
    url = bring(curator, path, picture())
    old = fetch(url).body
    gif = picture("GIF")
    ticket = ticket_for(curator, path, gif, "image/jpeg")
    send(ticket, gif)

    assert curator.complete(ticket).status_code == 422
    assert curator.get(path).json()["image_url"] == url
    assert fetch(url).body == old


@every_kind
def test_a_new_picture_replaces_the_old(kind: str, paths, curator: Caller):
    bring(curator, paths[kind], picture(colour="red"))
    first = urls_of(curator.get(paths[kind]).json())
    bring(curator, paths[kind], picture(colour="blue"))
    second = urls_of(curator.get(paths[kind]).json())

    assert first.isdisjoint(second)
    assert {fetch(url).status_code for url in first} <= {400, 404}
    for url in second:
        with Image.open(BytesIO(fetch(url).body)) as rendition:
            red, _, blue = rendition.convert("RGB").getpixel((20, 15))
            assert blue > 200 > red
    assert sorted(url.partition(f"/{kind}/")[2] for url in second) == sorted(objects(kind))
    [original] = objects("originals")
    assert stored("originals", original) == picture(colour="blue")


@every_kind
def test_changes_leave_the_picture_where_it_is(kind: str, paths, curator: Caller):
    url = bring(curator, paths[kind], picture())

    changed = curator.patch(paths[kind], {next(iter(KINDS[kind])): "Another name", "published": False})

    assert changed.json()["image_url"] == url
    assert curator.put(paths[kind], KINDS[kind]).json()["image_url"] == url
    assert fetch(url).status_code == 200


@every_kind
def test_deletion_removes_the_picture_and_cancels_the_tickets(kind: str, paths, curator: Caller):
    url = bring(curator, paths[kind], picture())
    sent = ticket_for(curator, paths[kind], picture(colour="red"), "image/jpeg")
    unsent = ticket_for(curator, paths[kind], picture(), "image/jpeg")
    send(sent, picture(colour="red"))

    assert curator.delete(paths[kind]).status_code == 204

    assert fetch(url).status_code in (400, 404)
    assert objects(kind) == objects("uploads") == objects("originals") == []
    for ticket in (sent, unsent):
        assert code(curator.complete(ticket)) == "resource_gone"
        assert curator.get(f"uploads/{ticket['id']}/").json()["state"] == "cancelled"
    assert code(curator.get(paths[kind])) == "not_found"


def test_a_ticket_is_for_the_entry_and_says_so(paths, curator: Caller):
    ticket = ticket_for(curator, paths["species"], picture(), "image/jpeg")

    shown = curator.get(f"uploads/{ticket['id']}/").json()

    assert shown["resource"] == f"http://testserver/api/v1/{paths['species']}"
    assert ticket["headers"]["cache-control"] == "max-age=3600"
    assert ticket["limits"]["content_types"] == ["image/jpeg", "image/png", "image/webp"]


def test_a_former_curator_completes_nothing(paths, curator: Caller):
    """Who is no longer staff has lost the right to the entry, and with it the ticket's."""
    ticket = ticket_for(curator, paths["species"], picture(), "image/jpeg")
    send(ticket, picture())
    former = Caller(curator.email)

    assert code(former.complete(ticket)) == "permission_denied"
    assert curator.get(paths["species"]).json()["image_url"] is None


def test_models_say_what_they_are(curator: Caller, paths):
    shown = [str(model.objects.get()) for model in (Species, Exhibition, EducationalService)]

    assert shown == ["African penguin (Spheniscus demersus)", "Penguins of the cape", "Night at the aquarium"]
