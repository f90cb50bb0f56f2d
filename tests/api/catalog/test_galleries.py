"""Galleries: the pictures of an entry, their order, their texts, and who may change them."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from random import choice
from typing import Any
from uuid import uuid4

import httpx
import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from PIL import Image

from api.catalog import galleries
from api.models import Removal, Species, SpeciesPicture, Upload
from storage.local import LocalStorage
from tests.api.catalog.test_catalog import (
    MODELS,
    bring,
    entry,
    every_kind,
    objects,
    paths,
    picture,
    pointers,
    stored,
    ticket_for,
    urls_of,
)
from tests.support.cases import DATABASES
from tests.support.cast import Caller, announcement, code, down, expire, fetch, send
from tests.support.server import Server

__all__ = ["paths"]  # a fixture

COLOURS = ("red", "lime", "blue", "yellow")
PNG = {"filename": "a.png", "content_type": "image/png", "size": 10}


def ask_to_append(curator: Caller, path: str, content: bytes) -> Any:
    announced = announcement(content, filename="león.jpg", content_type="image/jpeg")
    return curator.post(f"{path}pictures/upload-url/", announced)


def append(curator: Caller, path: str, colour: str = "teal") -> str:
    """The id of a new picture at the end of the gallery."""
    content = picture(colour=colour)
    ticket = ask_to_append(curator, path, content).json()
    send(ticket, content)
    completed = curator.complete(ticket)
    assert completed.status_code == 200, completed.content
    assert completed.json()["processing"] is False
    return ticket["id"]


def gallery(who: Caller, path: str) -> list[dict[str, Any]]:
    answer = who.get(f"{path}pictures/")
    assert answer.status_code == 200, answer.content
    pictures = answer.json()["results"]
    assert [each["position"] for each in pictures] == list(range(len(pictures)))
    return pictures


def ids(who: Caller, path: str) -> list[str]:
    return [each["id"] for each in gallery(who, path)]


@pytest.fixture
def species(paths) -> str:
    """The path of a published species without pictures."""
    return paths["species"]


@pytest.fixture
def four(species: str, curator: Caller) -> list[str]:
    """The ids of its four pictures."""
    return [append(curator, species, colour) for colour in COLOURS]


# --- What is there ----------------------------------------------------------------------------------------


@every_kind
def test_pictures_are_appended_in_their_order_and_the_first_is_the_image(
    kind: str, paths, curator: Caller, nobody: Caller
):
    path = paths[kind]
    assert gallery(nobody, path) == []

    made = [append(curator, path, colour) for colour in COLOURS[:3]]

    shown = gallery(nobody, path)
    assert [each["id"] for each in shown] == made
    first = shown[0]
    for found in (nobody.get(path).json(), nobody.get(f"{kind}/").json()["results"][0]):
        assert found["image_url"] == found["image"]["url"] == first["url"]
        assert found["image"] == {name: first[name] for name in found["image"]}
    assert nobody.get(f"{path}pictures/{made[1]}/").json() == shown[1]


def test_a_picture_says_this(species: str, curator: Caller, nobody: Caller):
    pk = append(curator, species)

    shown = curator.get(f"{species}pictures/{pk}/").json()
    file = shown.pop("file")
    assert file.pop("uploaded_at").endswith("Z")
    assert file == {
        "name": "león.jpg",
        "size": len(picture()),
        "content_type": "image/jpeg",
        "sha256": announcement(picture())["sha256"],
    }
    for name in ("created_at", "updated_at"):
        assert shown.pop(name).endswith("Z")
    assert shown.pop("placeholder").startswith("data:image/")
    renditions = shown.pop("renditions")
    assert shown == {
        "id": pk,
        "position": 0,
        "url": renditions[-1]["url"],
        "width": 40,
        "height": 30,
        "alt": {"en": "", "es": ""},
        "credit": "",
        "licence": "",
        "processing": False,
    }
    assert nobody.get(f"{species}pictures/{pk}/").json()["file"] is None


@every_kind
def test_the_ticket_of_the_entry_replaces_the_first_picture_and_keeps_its_texts(
    kind: str, paths, curator: Caller
):
    path = paths[kind]
    bring(curator, path, picture(colour="red"))
    last = append(curator, path, "lime")
    [first, _] = ids(curator, path)
    curator.patch(f"{path}pictures/{first}/", {"alt": {"en": "A penguin"}, "credit": "Ana"})
    before = urls_of(curator.get(path).json())

    bring(curator, path, picture(colour="blue"))

    assert ids(curator, path) == [first, last]
    image = curator.get(path).json()["image"]
    assert (image["alt"]["en"], image["credit"]) == ("A penguin", "Ana")
    assert before.isdisjoint(urls_of({"image": image}))
    assert {fetch(url).status_code for url in before} == {400}
    assert {stored("originals", key) for key in objects("originals")} == {
        picture(colour="blue"),
        picture(colour="lime"),
    }


def test_two_tickets_for_the_first_picture_are_one_picture(species: str, curator: Caller):
    red, blue = (ticket_for(curator, species, picture(colour=each), "image/jpeg") for each in ("red", "blue"))
    send(red, picture(colour="red"))
    send(blue, picture(colour="blue"))

    for ticket in (red, blue, red):
        assert curator.complete(ticket).status_code == 200

    assert ids(curator, species) == [red["id"]]
    assert [stored("originals", key) for key in objects("originals")] == [picture(colour="blue")]


def test_a_completion_that_is_repeated_adds_nothing(species: str, curator: Caller):
    ticket = ask_to_append(curator, species, picture()).json()
    send(ticket, picture())

    answers = [curator.complete(ticket) for _ in range(3)]

    assert {answer.status_code for answer in answers} == {200}
    assert ids(curator, species) == [ticket["id"]]
    curator.delete(f"{species}pictures/{ticket['id']}/")
    assert curator.complete(ticket).status_code == 200
    assert ids(curator, species) == []


# --- Texts ------------------------------------------------------------------------------------------------


def test_texts_are_changed_one_by_one(species: str, curator: Caller, nobody: Caller):
    path = f"{species}pictures/{append(curator, species)}/"

    for change in (
        {"alt": {"en": "A penguin", "es": "Un pingüino"}},
        {"alt": {"es": "Un pingüino negro"}},
        {"credit": "Ana García"},
        {"licence": "CC-BY-4.0"},
        {"alt": {}},
        {},
    ):
        answer = curator.patch(path, change)
        assert answer.status_code == 200, answer.content

    shown = nobody.get(path).json()
    assert shown["alt"] == {"en": "A penguin", "es": "Un pingüino negro"}
    assert (shown["credit"], shown["licence"]) == ("Ana García", "CC-BY-4.0")
    image = nobody.get(species).json()["image"]
    assert (image["alt"], image["credit"]) == (shown["alt"], shown["credit"])
    assert curator.patch(path, {"licence": "", "credit": ""}).json()["licence"] == ""


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"alt": {"en": "x" * 501}}, "#/alt/en"),
        ({"alt": {"es": "ñ" * 501}}, "#/alt/es"),
        ({"alt": {"en": None}}, "#/alt/en"),
        ({"alt": {"en": ["a"]}}, "#/alt/en"),
        ({"alt": {"en": "a\x00b"}}, "#/alt/en"),
        ({"alt": {"es": "\ud800"}}, "#/alt/es"),
        ({"alt": None}, "#/alt"),
        ({"alt": "A penguin"}, "#/alt"),
        ({"alt": ["A penguin"]}, "#/alt"),
        ({"credit": "x" * 201}, "#/credit"),
        ({"credit": None}, "#/credit"),
        ({"licence": "WTFPL"}, "#/licence"),
        ({"licence": "cc-by-4.0"}, "#/licence"),
        ({"licence": None}, "#/licence"),
        ({"licence": ["CC-BY-4.0"]}, "#/licence"),
        ({"licence": {"a": 1}}, "#/licence"),
        ({"position": -1}, "#/position"),
        ({"position": 1}, "#/position"),
        ({"position": 2**31}, "#/position"),
        ({"position": 10**400}, "#/position"),
        ({"position": "0"}, "#/position"),
        ({"position": "first"}, "#/position"),
        ({"position": True}, "#/position"),
        ({"position": None}, "#/position"),
        ({"position": []}, "#/position"),
    ],
)
def test_bad_fields_are_named_and_nothing_is_changed(
    change: dict, pointer: str, species: str, curator: Caller
):
    path = f"{species}pictures/{append(curator, species)}/"
    before = curator.get(path).json()

    answer = curator.patch(path, {**change, **({} if "credit" in change else {"credit": "Ana"})})

    assert pointers(answer) == {pointer}
    assert curator.get(path).json() == before


def test_exactly_as_many_characters_as_allowed_are_kept(species: str, curator: Caller):
    path = f"{species}pictures/{append(curator, species)}/"
    alt = {"en": "🐧" * 500, "es": "ñ" * 500}

    assert curator.patch(path, {"alt": alt}).json()["alt"] == alt


@pytest.mark.parametrize("sent", ["[]", '"alt"', "1", "null", "{"])
def test_what_is_no_object_is_refused(sent: str, species: str, curator: Caller):
    path = f"{species}pictures/{append(curator, species)}/"

    answer = curator.client.patch(f"/api/v1/{path}", sent, content_type="application/json")

    assert answer.status_code == 400
    assert code(answer) in ("invalid", "parse_error", "malformed")


def test_what_the_server_says_cannot_be_changed(species: str, curator: Caller):
    path = f"{species}pictures/{append(curator, species)}/"
    before = curator.get(path).json()

    after = curator.patch(
        path,
        {"id": str(uuid4()), "url": "https://evil.example/", "file": None, "renditions": [], "width": 1},
    ).json()

    assert {**after, "updated_at": ""} == {**before, "updated_at": ""}


# --- The order --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moved", "to", "order"),
    [(0, 3, [1, 2, 3, 0]), (3, 0, [3, 0, 1, 2]), (1, 2, [0, 2, 1, 3]), (2, 2, [0, 1, 2, 3])],
)
def test_a_picture_is_moved_and_the_others_make_room(
    moved: int, to: int, order: list[int], species: str, four: list[str], curator: Caller, nobody: Caller
):
    answer = curator.patch(f"{species}pictures/{four[moved]}/", {"position": to, "credit": "Ana"})

    assert (answer.status_code, answer.json()["position"], answer.json()["credit"]) == (200, to, "Ana")
    assert ids(nobody, species) == [four[number] for number in order]
    first = nobody.get(f"{species}pictures/{four[order[0]]}/").json()
    assert nobody.get(species).json()["image_url"] == first["url"]


def test_a_position_behind_the_last_says_which_is_the_last(species: str, four: list[str], curator: Caller):
    answer = curator.patch(f"{species}pictures/{four[0]}/", {"position": 4})

    assert pointers(answer) == {"#/position"}
    assert "3" in answer.json()["errors"][0]["detail"]
    assert ids(curator, species) == four


def test_a_picture_that_is_deleted_meanwhile_is_not_moved(
    species: str, four: list[str], curator: Caller, monkeypatch
):
    change = galleries.change

    def be_overtaken(found, changes):
        assert curator.delete(f"{species}pictures/{found.pk}/").status_code == 204
        change(found, changes)

    for body in ({"position": 2}, {"credit": "Ana"}):
        with monkeypatch.context() as patch:
            patch.setattr(galleries, "change", be_overtaken)
            answer = curator.patch(f"{species}pictures/{four.pop()}/", body)
        assert code(answer) == "not_found"
        assert ids(curator, species) == four


# --- Deleting ---------------------------------------------------------------------------------------------


def test_a_deleted_picture_is_gone_and_those_behind_it_move_up(
    species: str, four: list[str], curator: Caller
):
    path = f"{species}pictures/{four[1]}/"
    shown = urls_of({"image": curator.get(path).json()})

    answers = [curator.delete(path) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [204, 404]
    assert ids(curator, species) == [four[0], four[2], four[3]]
    assert {fetch(url).status_code for url in shown} == {400}
    assert len(objects("originals")) == 3
    assert len(objects("species")) == 6


@every_kind
def test_the_image_is_deleted_until_there_is_none(kind: str, paths, curator: Caller, nobody: Caller):
    path = paths[kind]
    first, second = append(curator, path, "red"), append(curator, path, "blue")
    shown = gallery(nobody, path)

    assert curator.delete(f"{path}image/").status_code == 204
    assert nobody.get(path).json()["image_url"] == shown[1]["url"]
    assert first not in ids(nobody, path)
    assert curator.delete(f"{path}image/").status_code == 204
    assert nobody.get(path).json()["image"] is None
    assert second not in ids(nobody, path)
    answer = curator.delete(f"{path}image/")
    assert (answer.status_code, code(answer)) == (404, "file_missing")
    assert objects(kind) == objects("originals") == []


@pytest.mark.parametrize("how", ["pictures/{}/", "image/", ""])
def test_what_the_store_does_not_delete_the_sweep_deletes(
    how: str, species: str, curator: Caller, monkeypatch
):
    path = species + how.format(append(curator, species))
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "delete_object", down)
        assert curator.delete(path).status_code == 202

    assert not SpeciesPicture.objects.exists()
    assert len(objects("species") + objects("originals")) == 3
    call_command("sweep")
    assert objects("species") == objects("originals") == []


def test_an_entry_waits_for_what_was_deleted_of_its_pictures_before(
    species: str, curator: Caller, monkeypatch
):
    """204 says that every object is gone, also one of a picture that was replaced while the store failed."""
    bring(curator, species, picture(colour="red"))
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "delete_object", down)
        bring(curator, species, picture(colour="blue"))
    assert len(objects("originals")) == 2

    assert curator.delete(species).status_code == 204

    assert objects("species") == objects("originals") == []


@every_kind
def test_with_the_entry_everything_goes(kind: str, paths, curator: Caller):
    path = paths[kind]
    for colour in COLOURS:
        append(curator, path, colour)
    tickets = [
        ticket_for(curator, path, picture(), "image/jpeg"),
        ask_to_append(curator, path, picture()).json(),
    ]
    unsent = ask_to_append(curator, path, picture()).json()
    for ticket in tickets:
        send(ticket, picture())
    late = ask_to_append(curator, path, picture()).json()
    expire(late)

    assert curator.delete(path).status_code == 204

    assert objects(kind) == objects("originals") == objects("uploads") == []
    for ticket in (*tickets, unsent, late):
        assert code(curator.complete(ticket)) == "resource_gone"
        assert curator.get(f"uploads/{ticket['id']}/").json()["state"] == "cancelled"


# --- As many as there may be ------------------------------------------------------------------------------


@pytest.fixture
def three_allowed(settings) -> None:
    settings.PICTURES_PER_ENTRY = 3


def test_open_tickets_count(species: str, curator: Caller, three_allowed):
    append(curator, species)
    first, _ = (ask_to_append(curator, species, picture()).json() for _ in range(2))

    refused = ask_to_append(curator, species, picture())

    assert (refused.status_code, code(refused)) == (409, "gallery_full")
    assert Upload.objects.count() == 3
    assert curator.delete(f"uploads/{first['id']}/").status_code == 204
    assert ask_to_append(curator, species, picture()).status_code == 201


def test_the_twenty_first_picture_is_refused(species: str, curator: Caller):
    found = Species.objects.get()
    SpeciesPicture.objects.bulk_create(SpeciesPicture(entry=found, position=n) for n in range(19))
    append(curator, species)

    assert code(ask_to_append(curator, species, picture())) == "gallery_full"

    assert len(gallery(curator, species)) == 20
    bring(curator, species, picture())  # replaces the first
    curator.delete(f"{species}image/")
    assert ask_to_append(curator, species, picture()).status_code == 201


def test_tickets_that_had_expired_are_rejected_when_the_gallery_is_full(
    species: str, curator: Caller, three_allowed
):
    late = ask_to_append(curator, species, picture()).json()
    send(late, picture())
    expire(late)
    for _ in range(3):
        append(curator, species)

    answers = [curator.complete(late) for _ in range(2)]

    assert [(answer.status_code, code(answer)) for answer in answers] == [(409, "gallery_full")] * 2
    shown = curator.get(f"uploads/{late['id']}/").json()
    assert (shown["state"], shown["problem"]["code"]) == ("rejected", "gallery_full")
    assert len(gallery(curator, species)) == len(objects("originals")) == 3
    assert objects("uploads") == []
    assert not Removal.objects.filter(is_reservation=True).exists()


def test_the_sweep_rejects_them_too(species: str, curator: Caller, three_allowed):
    late = ask_to_append(curator, species, picture()).json()
    send(late, picture())
    expire(late)
    for _ in range(3):
        append(curator, species)

    call_command("sweep")

    assert curator.get(f"uploads/{late['id']}/").json()["state"] == "rejected"
    assert objects("uploads") == []


def test_with_no_limit_there_is_none(species: str, curator: Caller, settings):
    settings.PICTURES_PER_ENTRY = 0
    SpeciesPicture.objects.bulk_create(
        SpeciesPicture(entry=Species.objects.get(), position=n) for n in range(30)
    )

    append(curator, species)

    assert curator.get(f"{species}pictures/").json()["count"] == 31


def test_a_repeated_request_gets_the_same_ticket_and_counts_once(
    species: str, curator: Caller, three_allowed
):
    append(curator, species)
    append(curator, species)

    def ask() -> Any:
        return curator.post(f"{species}pictures/upload-url/", PNG, headers={"Idempotency-Key": "one picture"})

    answers = [ask(), ask()]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert code(ask_to_append(curator, species, picture())) == "gallery_full"


# --- Who ---------------------------------------------------------------------------------------------------

WRITES = {
    "change": lambda who, path, pk: who.patch(f"{path}pictures/{pk}/", {"credit": "Me"}),
    "delete": lambda who, path, pk: who.delete(f"{path}pictures/{pk}/"),
    "append": lambda who, path, pk: who.post(f"{path}pictures/upload-url/", PNG),
    "original": lambda who, path, pk: who.get(f"{path}pictures/{pk}/original-url/"),
    "delete image": lambda who, path, pk: who.delete(f"{path}image/"),
}


@pytest.mark.parametrize(
    ("who", "refusal"),
    [("nobody", (401, "not_authenticated")), ("alice", (403, "permission_denied"))],
)
@every_kind
def test_only_staff_change_pictures_and_read_what_was_sent(
    kind: str, who: str, refusal: tuple[int, str], paths, curator: Caller, request
):
    path, caller = paths[kind], request.getfixturevalue(who)
    pk = append(curator, path)
    before = gallery(curator, path)

    for act, write in WRITES.items():
        answer = write(caller, path, pk)
        assert (answer.status_code, code(answer)) == refusal, act

    assert gallery(curator, path) == before
    assert [each["id"] for each in gallery(caller, path)] == [pk]


@every_kind
def test_the_pictures_of_what_is_not_published_are_for_staff(
    kind: str, paths, curator: Caller, alice: Caller, nobody: Caller
):
    path = paths[kind]
    pk = append(curator, path)
    curator.patch(path, {"published": False})

    for who in (alice, nobody):
        for below in ("pictures/", f"pictures/{pk}/"):
            assert code(who.get(path + below)) == "not_found"
    assert ids(curator, path) == [pk]


def test_a_picture_of_another_entry_is_not_found(paths, curator: Caller):
    pk = append(curator, paths["species"])
    other = f"species/{entry('species', common_name='Other', scientific_name='Alia alia').slug}/"

    for path in (other, paths["exhibitions"], "species/none/"):
        for act in ("change", "delete", "original"):
            assert code(WRITES[act](curator, path, pk)) == "not_found", (path, act)
        assert code(curator.get(f"{path}pictures/{pk}/")) == "not_found"
    assert code(curator.get("species/none/pictures/")) == "not_found"
    assert code(curator.post("species/none/pictures/upload-url/", PNG)) == "not_found"
    assert ids(curator, paths["species"]) == [pk]


@pytest.mark.parametrize("pk", ["0", "abc", "-", "a" * 300, "01971f6d-1d0a-7c11-9f0e-5b8c2f6f3a11", "x%00"])
def test_an_id_that_is_none_is_not_found(pk: str, species: str, curator: Caller):
    for answer in (
        curator.get(f"{species}pictures/{pk}/"),
        curator.patch(f"{species}pictures/{pk}/", {"position": 0}),
        curator.delete(f"{species}pictures/{pk}/"),
    ):
        assert code(answer) == "not_found"


@pytest.mark.parametrize(
    ("method", "below"),
    [
        ("put", "pictures/{}/"),
        ("post", "pictures/"),
        ("post", "pictures/{}/"),
        ("put", "pictures/"),
        ("delete", "pictures/"),
        ("get", "pictures/upload-url/"),
        ("post", "pictures/{}/original-url/"),
        ("get", "image/"),
        ("post", "image/"),
    ],
)
def test_what_is_done_otherwise_is_not_done_so(method: str, below: str, species: str, curator: Caller):
    pk = append(curator, species)

    answer = getattr(curator, method)(species + below.format(pk))

    assert (answer.status_code, code(answer)) == (405, "method_not_allowed")
    assert ids(curator, species) == [pk]


@pytest.mark.parametrize(
    ("method", "below"),
    [
        ("get", "pictures/?ordering=-position"),
        ("get", "pictures/?page_size=5&position=1"),
        ("get", "pictures/{}/?download="),
        ("get", "pictures/{}/original-url/?name=a"),
        ("delete", "pictures/{}/?dry_run=1"),
        ("patch", "pictures/{}/?a=1"),
        ("post", "pictures/upload-url/?a=1"),
        ("delete", "image/?a=1"),
    ],
)
def test_unknown_parameters_are_refused(method: str, below: str, species: str, curator: Caller):
    pk = append(curator, species)

    answer = getattr(curator, method)(species + below.format(pk))

    assert (answer.status_code, code(answer)) == (400, "invalid")
    assert ids(curator, species) == [pk]


def test_a_gallery_has_pages(species: str, four: list[str], nobody: Caller):
    page = nobody.get(f"{species}pictures/", page=2, page_size=3).json()

    assert (page["count"], [each["id"] for each in page["results"]]) == (4, four[3:])


@pytest.mark.parametrize(
    ("announced", "pointer"),
    [
        ({"content_type": "image/gif"}, "#/content_type"),
        ({"content_type": "application/pdf"}, "#/content_type"),
        ({"size": 0}, "#/size"),
        ({"size": 2**40}, "#/size"),
        ({"filename": "../a.png"}, "#/filename"),
    ],
)
def test_other_files_get_no_ticket(announced: dict, pointer: str, species: str, curator: Caller):
    answer = curator.post(f"{species}pictures/upload-url/", {**PNG, **announced})

    assert pointers(answer) == {pointer}
    assert not Upload.objects.exists()


def test_what_is_no_picture_is_not_appended(species: str, four: list[str], curator: Caller):
    content = picture("GIF")
    ticket = ask_to_append(curator, species, content).json()
    send(ticket, content)

    assert curator.complete(ticket).status_code == 422
    assert ids(curator, species) == four
    assert objects("uploads") == []


def test_the_picture_as_it_was_sent_is_saved_under_its_name(species: str, curator: Caller):
    pk = append(curator, species)

    url = curator.get(f"{species}pictures/{pk}/original-url/", download="").json()["url"]

    assert "filename*=UTF-8''le%C3%B3n.jpg" in fetch(url).headers["Content-Disposition"]


def test_a_ticket_shows_its_entry_and_a_former_curator_completes_nothing(species: str, curator: Caller):
    ticket = ask_to_append(curator, species, picture()).json()
    send(ticket, picture())

    shown = curator.get(f"uploads/{ticket['id']}/").json()
    assert shown["resource"] == f"http://testserver/api/v1/{species}"
    assert code(Caller(curator.email).complete(ticket)) == "permission_denied"
    assert ids(curator, species) == []


# --- What it costs, and what may be kept ------------------------------------------------------------------


def cost(who: Caller, path: str, **query: Any) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert who.get(path, **query).status_code == 200
    return len(queries)


@pytest.mark.parametrize("who", ["nobody", "curator"])
@every_kind
def test_pictures_cost_no_queries(kind: str, who: str, paths, curator: Caller, request):
    path, caller = paths[kind], request.getfixturevalue(who)
    entry(kind, published=True, **({"scientific_name": "Alia alia"} if kind == "species" else {}))

    def costs() -> list[int]:
        return [cost(caller, each) for each in (f"{path}pictures/", f"{kind}/", path)]

    without = costs()
    append(curator, path)
    with_one = costs()
    found = MODELS[kind].objects.get(slug=path.split("/")[1])
    rows = found.pictures.model
    rows.objects.bulk_create(rows(entry=found, position=n) for n in range(1, 20))

    assert len(gallery(caller, path)) == 20
    assert costs() == with_one == without == [2, 2, 1]


def test_a_list_of_tickets_costs_the_same_for_many_pictures(species: str, curator: Caller):
    append(curator, species)
    one = cost(curator, "uploads/")
    for colour in COLOURS:
        append(curator, species, colour)

    assert cost(curator, "uploads/") == one
    assert [each["processing"] for each in curator.get("uploads/").json()["results"]] == [False] * 5


def test_a_visitor_may_keep_a_gallery_until_it_changes(
    species: str, four: list[str], curator: Caller, nobody: Caller
):
    changes = [
        lambda: curator.patch(f"{species}pictures/{four[1]}/", {"alt": {"es": "Un pingüino"}}),
        lambda: curator.patch(f"{species}pictures/{four[1]}/", {"position": 0}),
        lambda: curator.delete(f"{species}pictures/{four[0]}/"),
        lambda: append(curator, species),
    ]
    for change in changes:
        first = nobody.get(f"{species}pictures/")
        assert first.headers["Cache-Control"] == "public, max-age=60"
        known = {"if-none-match": first.headers["ETag"]}
        again = nobody.client.get(f"/api/v1/{species}pictures/", headers=known)
        assert (again.status_code, again.content) == (304, b"")
        change()
        assert nobody.client.get(f"/api/v1/{species}pictures/", headers=known).status_code == 200
    for who, kept in ((curator, "private, no-cache"), (nobody, "public, max-age=60")):
        assert who.get(f"{species}pictures/{four[1]}/").headers["Cache-Control"] == kept


# --- At once ----------------------------------------------------------------------------------------------


@dataclass
class Gallery:
    """The gallery of a species on a running server, whose pictures everybody changes at once."""

    server: Server
    client: httpx.Client
    slug: str

    @property
    def path(self) -> str:
        return f"/api/v1/species/{self.slug}/"

    def ticket(self, route: str, content: bytes) -> dict[str, Any]:
        """A ticket whose file is sent. `route`: `upload-url/` or `pictures/upload-url/`."""
        announced = announcement(content, content_type="image/jpeg")
        ticket = self.client.post(self.path + route, json=announced).raise_for_status().json()
        httpx.put(ticket["url"], content=content, headers=ticket["headers"]).raise_for_status()
        return ticket

    def complete(self, ticket: dict[str, Any]) -> httpx.Response:
        return self.client.post(ticket["complete_url"])

    def append(self, number: int) -> list[str]:
        tickets = [self.ticket("pictures/upload-url/", picture()) for _ in range(number)]
        for ticket in tickets:
            self.complete(ticket).raise_for_status()
        return [ticket["id"] for ticket in tickets]

    def move(self, pk: str, position: int) -> httpx.Response:
        return self.client.patch(f"{self.path}pictures/{pk}/", json={"position": position})

    def delete(self, below: str = "") -> httpx.Response:
        return self.client.delete(self.path + below)

    def ids(self) -> list[str]:
        shown = self.client.get(f"{self.path}pictures/").raise_for_status().json()["results"]
        assert [each["position"] for each in shown] == list(range(len(shown)))
        return [each["id"] for each in shown]

    def objects(self) -> dict[str, int]:
        """The number of objects of this species in each bucket."""
        folders = {"species": self.slug, "originals": f"species/{self.slug}"}
        return {bucket: self._count(f"{bucket}/{folder}") for bucket, folder in folders.items()}

    def _count(self, folder: str) -> int:
        return sum(path.is_file() for path in (self.server.media / folder).rglob("*"))

    def is_complete(self) -> None:
        """Each picture has its three objects, and there are no others.

        On a busy machine the sweep makes some renditions.
        """
        self.server.manage("sweep")
        number = len(self.ids())
        assert self.objects() == {"species": 2 * number, "originals": number}


@pytest.fixture(params=DATABASES)
def shared(request) -> Gallery:
    running = request.getfixturevalue(request.param)
    curator = running.client("curator@example.org", role="staff")
    name = "".join(choice("abcdefghij") for _ in range(12))  # a server keeps the rows of other tests
    fields = {"common_name": name, "scientific_name": f"Avis {name}", "published": True}
    slug = curator.post("/api/v1/species/", json=fields).raise_for_status().json()["slug"]
    return Gallery(running, curator, slug)


def at_once(acts: Sequence[Callable[[], httpx.Response]]) -> list[int]:
    """The statuses of the answers to all acts."""
    with ThreadPoolExecutor(len(acts)) as pool:
        answers = list(pool.map(lambda act: act(), acts))
    assert not [answer.text for answer in answers if answer.status_code >= 500]
    return [answer.status_code for answer in answers]


def test_moves_deletions_and_additions_at_once_leave_no_gap(shared: Gallery):
    made = shared.append(6)
    added = [shared.ticket("pictures/upload-url/", picture()) for _ in range(3)]
    replacing = shared.ticket("upload-url/", picture(colour="red"))

    statuses = at_once(
        [
            *(partial(shared.move, pk, 3 - number) for number, pk in enumerate(made[:4])),
            *(partial(shared.complete, ticket) for ticket in (*added, replacing)),
            *(partial(shared.delete, f"pictures/{pk}/") for pk in made[4:]),
            *(partial(shared.move, pk, 0) for pk in made[:4]),
        ]
    )

    assert set(statuses) == {200, 204}
    assert {*made[:4], *(ticket["id"] for ticket in added)} == set(shared.ids())
    shared.is_complete()


def test_a_picture_that_is_deleted_ten_times_at_once_is_deleted_once(shared: Gallery):
    made = shared.append(3)

    statuses = at_once([partial(shared.delete, f"pictures/{made[1]}/")] * 10)

    assert sorted(statuses) == [204] + [404] * 9
    assert shared.ids() == [made[0], made[2]]
    shared.is_complete()


def test_first_pictures_that_arrive_at_once_are_one(shared: Gallery):
    tickets = [shared.ticket("upload-url/", picture(colour=colour)) for colour in COLOURS]

    assert set(at_once([partial(shared.complete, ticket) for ticket in tickets])) == {200}

    assert len(shared.ids()) == 1
    shared.is_complete()
    shown = shared.client.get(shared.path).json()["image"]
    [original] = (shared.server.media / "originals" / "species" / shared.slug).iterdir()
    with Image.open(original) as sent, Image.open(BytesIO(httpx.get(shown["url"]).content)) as served:
        pairs = zip(sent.convert("RGB").getpixel((20, 15)), served.getpixel((20, 15)), strict=True)
        assert all(abs(one - other) < 20 for one, other in pairs)


def test_tickets_asked_for_at_once_are_no_more_than_allowed(shared: Gallery):
    announced = announcement(picture(), content_type="image/jpeg")
    ask = partial(shared.client.post, f"{shared.path}pictures/upload-url/", json=announced)

    statuses = at_once([ask] * 25)

    assert sorted(statuses) == [201] * 20 + [409] * 5


@pytest.mark.parametrize("turn", range(3))
def test_an_entry_that_goes_while_everything_happens_leaves_nothing(turn: int, shared: Gallery):
    made = shared.append(4)
    tickets = [shared.ticket(route, picture()) for route in ("upload-url/", "pictures/upload-url/") * 3]
    acts = [
        *(partial(shared.complete, ticket) for ticket in tickets),
        partial(shared.move, made[3], 0),
        partial(shared.delete, f"pictures/{made[1]}/"),
        partial(shared.delete, "image/"),
        shared.delete,
        shared.delete,
    ]

    statuses = at_once(acts[turn * 3 :] + acts[: turn * 3])

    assert set(statuses) <= {200, 202, 204, 404, 409, 410}
    assert shared.client.get(shared.path).status_code == 404
    shared.server.manage("sweep")
    assert shared.objects() == {"species": 0, "originals": 0}
    states = {shared.client.get(f"/api/v1/uploads/{ticket['id']}/").json()["state"] for ticket in tickets}
    assert states <= {"completed", "cancelled"}
