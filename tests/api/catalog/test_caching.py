"""What browsers and proxies may keep of the catalogue."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from api.models import Species
from tests.support.cast import Caller

SPECIES = {"common_name": "African penguin", "scientific_name": "Spheniscus demersus", "published": True}


@pytest.fixture
def catalogue(curator: Caller) -> list[str]:
    """The paths of every list and of an entry of each."""
    made = [
        ("species/", SPECIES),
        ("exhibitions/", {"title": "Penguins", "species": ["african-penguin"], "published": True}),
        ("educational-services/", {"title": "Feeding", "published": True}),
    ]
    paths = []
    for path, fields in made:
        answer = curator.post(path, fields)
        assert answer.status_code == 201, answer.content
        paths += [path, f"{path}{answer.json()['slug']}/"]
    return paths


def again(who: Caller, path: str, etag: str):
    return who.client.get(f"/api/v1/{path}", headers={"if-none-match": etag})


def test_a_visitor_may_keep_it_for_a_minute_and_then_ask_whether_it_changed(catalogue, nobody: Caller):
    for path in catalogue:
        first = nobody.get(path)
        assert first.headers["Cache-Control"] == "public, max-age=60"
        assert "Authorization" in first.headers["Vary"]

        with CaptureQueriesContext(connection) as queries:
            second = again(nobody, path, first.headers["ETag"])

        assert (second.status_code, second.content) == (304, b"")
        assert second.headers["ETag"] == first.headers["ETag"]
        assert second.headers["Cache-Control"] == "public, max-age=60"
        assert "Authorization" in second.headers["Vary"]
        assert len(queries) <= 2, path


def test_with_a_token_nothing_is_shared(catalogue, alice: Caller, curator: Caller, nobody: Caller):
    for path in catalogue:
        etag = nobody.get(path).headers["ETag"]
        for who in (alice, curator):
            answer = again(who, path, etag)
            assert answer.status_code == (304 if path.count("/") == 2 else 200)
            assert answer.headers["Cache-Control"] == "private, no-cache"
            assert "Authorization" in answer.headers["Vary"]
            assert ("ETag" in answer.headers) == (path.count("/") == 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda curator: curator.patch("species/african-penguin/", {"habitat": "Coast"}),
        lambda curator: curator.patch("species/african-penguin/", {"published": False}),
        lambda curator: curator.delete("species/african-penguin/"),
    ],
)
def test_every_change_is_seen_wherever_it_shows(change, catalogue, curator: Caller, nobody: Caller):
    before = {path: nobody.get(path).headers["ETag"] for path in catalogue}

    assert change(curator).status_code in (200, 204)

    assert again(nobody, "species/", before["species/"]).status_code == 200
    unpublished = not Species.objects.filter(published=True).exists()
    shown = again(nobody, "exhibitions/", before["exhibitions/"])
    assert shown.status_code == (200 if unpublished else 304)


@pytest.mark.parametrize(
    "condition",
    [
        {"if-match": '"another"'},
        {"if-unmodified-since": "Sat, 01 Jan 2000 00:00:00 GMT"},
        {"if-unmodified-since": "Fri, 01 Jan 2100 00:00:00 GMT"},
        {"if-modified-since": "Fri, 01 Jan 2100 00:00:00 GMT"},
        {"if-none-match": '"another", garbage'},
    ],
)
def test_no_other_condition_keeps_the_answer_back(condition: dict[str, str], catalogue, nobody: Caller):
    for path in catalogue:
        answer = nobody.client.get(f"/api/v1/{path}", headers=condition)

        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")


@pytest.mark.parametrize("known", ["{}", "W/{}", '"another", {}', "*"])
def test_one_of_those_that_are_known_is_enough(known: str, catalogue, nobody: Caller):
    for path in catalogue:
        etag = nobody.get(path).headers["ETag"]

        assert again(nobody, path, known.format(etag)).status_code == 304


def test_a_refusal_is_not_kept(nobody: Caller):
    assert nobody.get("species/none/").headers["Cache-Control"] == "no-store"


def test_head_has_the_same_headers(catalogue, nobody: Caller):
    for path in catalogue:
        head = nobody.client.head(f"/api/v1/{path}")
        assert head.headers["ETag"] == nobody.get(path).headers["ETag"]
