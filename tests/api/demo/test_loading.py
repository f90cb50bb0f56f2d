"""The demo: a zoo that is whole, made once, completed after any accident, and left to whoever changes it."""

import shutil
from contextlib import suppress
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from django.core import serializers
from django.core.management.base import CommandError
from django.utils import timezone
from PIL import Image, PdfParser

from api.catalog.scientific_names import normalise
from api.demo import drawing
from api.models import (
    Document,
    EducationalService,
    EducationalServicePicture,
    Exhibition,
    ExhibitionPicture,
    Profile,
    Species,
    SpeciesPicture,
    Upload,
)
from api.pictures.models import RenditionField, picture_models
from storage.errors import StorageUnavailable
from storage.fields import stored_file, upload_fields
from storage.local import LocalStorage
from tests.api.catalog.test_qr_codes import picture, scanned
from tests.api.management.test_issue_token import run
from tests.support.cast import Caller, body, fetch

STATUSES = {
    "Spheniscus demersus": "CR",
    "Phoenicopterus roseus": "LC",
    "Balaeniceps rex": "VU",
    "Bubo scandiacus": "VU",
    "Ailurus fulgens": "EN",
    "Panthera uncia": "VU",
    "Gorilla gorilla gorilla": "CR",
    "Okapia johnstoni": "EN",
    "Equus ferus przewalskii": "EN",
    "Varanus komodoensis": "EN",
    "Aldabrachelys gigantea": "VU",
    "Gavialis gangeticus": "CR",
    "Ambystoma mexicanum": "CR",
    "Pterapogon kauderni": "EN",
}
PICTURES = (SpeciesPicture, ExhibitionPicture, EducationalServicePicture)
MODELS = (Species, Exhibition, EducationalService, Profile, Document, *PICTURES, Upload)


@pytest.fixture
def debug(settings, db) -> None:
    settings.DEBUG = True


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> dict[str, Any]:
    """The rows and files of the demo once it was loaded: loading them again takes seconds."""
    return {"media": tmp_path_factory.mktemp("demo") / "media"}


@pytest.fixture
def demo(debug, settings, saved: dict[str, Any]) -> None:
    if "rows" in saved:
        shutil.copytree(saved["media"], settings.MEDIA_ROOT, copy_function=shutil.copy2)
        for row in serializers.deserialize("json", saved["rows"]):
            row.save()
        return
    run("load_demo")
    saved["rows"] = serializers.serialize("json", [row for model in MODELS for row in model.objects.all()])
    shutil.copytree(settings.MEDIA_ROOT, saved["media"], copy_function=shutil.copy2)


def listed(who: Caller, path: str, **query: Any) -> list[dict[str, Any]]:
    answer = who.get(path, page_size=100, **query)
    assert answer.status_code == 200, answer.content
    return answer.json()["results"]


def opened(url: str) -> Image.Image:
    """The picture under this URL, decoded to its last pixel."""
    image = Image.open(BytesIO(body(fetch(url))))
    image.load()
    return image


def everything() -> list[dict[str, Any]]:
    return [row for model in MODELS for row in model.objects.order_by("pk").values()]


def assert_whole() -> None:
    """Each thing is there once, with every file that it is meant to have."""
    counts = [model.objects.count() for model in MODELS[:-1]]
    assert counts == [14, 3, 3, 2, 3, 14, 3, 3]
    assert not Exhibition.objects.filter(species=None).exists()
    for field in upload_fields():
        if not isinstance(field, RenditionField):
            for row in field.model.objects.all():
                assert stored_file(row, field.name).exists(), (row, field.name)
    for model in picture_models():
        for row in model._base_manager.filter(renditions_due_at=None):  # the sweep makes the others
            assert all(each.file.exists() for each in row.renditions())
            assert row.renditions()[-1].content_type == "image/jpeg"


def test_in_production_nothing_is_loaded(db):
    with pytest.raises(CommandError, match="DEBUG"):
        run("load_demo")
    assert everything() == []


# --- What there is --------------------------------------------------------------------------------------


def test_the_species_are_real(demo, nobody: Caller):
    species = listed(nobody, "species/")

    assert {each["scientific_name"]: each["conservation_status"] for each in species} == STATUSES
    assert len({each["taxonomic_class"] for each in species}) >= 3
    for each in species:
        assert normalise(each["scientific_name"]) == each["scientific_name"]
        assert each["taxonomic_class"]
        assert each["taxonomic_order"]
        assert each["family"].endswith("idae")
        assert each["description"].endswith(".")
        assert each["habitat"].endswith(".")


def test_each_species_has_a_picture_and_a_code_that_leads_to_its_page(demo, nobody: Caller, settings):
    species = listed(nobody, "species/")

    pictures = [opened(each["image_url"]) for each in species]
    assert {(image.format, image.size) for image in pictures} == {("JPEG", (1200, 800))}
    assert len({image.tobytes() for image in pictures}) == len(species), "each has its own names on it"
    for each in species:
        assert scanned(picture(each)).text == f"{settings.PUBLIC_SITE_URL}/species/{each['slug']}"


def test_a_picture_shows_both_names_and_the_classes():
    shown = [
        ("Okapi", "Okapia johnstoni", ["Mammalia"]),
        ("Gharial", "Okapia johnstoni", ["Mammalia"]),
        ("Okapi", "Gavialis gangeticus", ["Mammalia"]),
        *(
            ("Okapi", "Okapia johnstoni", [each])
            for each in ("Aves", "Reptilia", "Amphibia", "Actinopterygii")
        ),
        ("Okapi", "Okapia johnstoni", ["Mammalia", "Aves"]),
    ]

    assert len({drawing.illustration(*each) for each in shown}) == len(shown)


def test_a_long_name_stays_within_the_picture():
    image = Image.open(BytesIO(drawing.illustration("Name " * 50, "Name " * 50, ["Aves"]))).convert("L")

    caption = image.crop((0, 800 - drawing.CAPTION_HEIGHT + 8, 1200, 800))
    paper = caption.getpixel((0, 0))
    for x in (*range(40), *range(1160, 1200)):
        assert {abs(caption.getpixel((x, y)) - paper) < 8 for y in range(caption.height)} == {True}
    assert min(caption.get_flattened_data()) < 100, "there are letters in between"


def test_one_exhibition_is_over_one_is_on_and_one_is_permanent(demo, nobody: Caller):
    over, now, permanent = "life-at-high-altitude", "wings-and-water", "scales-shells-and-gills"
    today = timezone.localdate()
    exhibitions = {each["slug"]: each for each in listed(nobody, "exhibitions/")}

    assert exhibitions.keys() == {over, now, permanent}
    assert exhibitions[over]["closes_on"] < str(today)
    assert exhibitions[permanent]["closes_on"] is None
    assert {each["slug"] for each in listed(nobody, "exhibitions/", open_on=today)} == {now, permanent}
    in_a_year = today + timedelta(days=365)
    assert {each["slug"] for each in listed(nobody, "exhibitions/", open_on=in_a_year)} == {permanent}
    assert "african-penguin" in exhibitions[now]["species"]
    for each in exhibitions.values():
        assert len(each["species"]) >= 2
        assert opened(each["image_url"]).format == "JPEG"


def test_three_services_say_what_they_cost_and_for_whom(demo, nobody: Caller):
    services = listed(nobody, "educational-services/")

    assert len(services) == 3
    for each in services:
        assert float(each["price"]) > 0
        assert each["currency"] == "EUR"
        assert each["audience"]
        assert each["duration_minutes"] >= 30
        assert each["capacity"] >= 10
        assert opened(each["image_url"]).format == "JPEG"


def test_the_api_takes_every_entry_as_it_is(demo, curator: Caller):
    for path in ("species/", "exhibitions/", "educational-services/"):
        for each in listed(curator, path):
            answer = curator.put(f"{path}{each['slug']}/", each)
            assert answer.status_code == 200, answer.content
            assert answer.json() | {"updated_at": ""} == each | {"updated_at": ""}


def test_the_members_have_avatars_and_real_documents(demo, alice: Caller, bob: Caller):
    own = {each["title"]: each for each in listed(alice, "documents/", owner="me")}

    assert {title: each["visibility"] for title, each in own.items()} == {
        "Feeding plan, winter": "private",
        "Visitor rules": "authenticated",
    }
    assert {each["title"] for each in listed(bob, "documents/")} == {"Quarantine protocol", "Visitor rules"}
    pages = {title: pages_of(alice, each) for title, each in own.items()}
    assert pages == {"Feeding plan, winter": 2, "Visitor rules": 1}
    for who in (alice, bob):
        profile = who.get("profiles/me/").json()
        assert profile["display_name"] == who.email.partition("@")[0].title()
        assert profile["avatar"]["content_type"] == "image/png"
        assert opened(who.get("profiles/me/download-url/").json()["url"]).format == "PNG"


def pages_of(who: Caller, document: dict[str, Any]) -> int:
    """How many pages a reader of the PDF finds."""
    content = body(fetch(who.download_url(document)))
    assert document["file"]["content_type"] == "application/pdf"
    assert document["file"]["size"] == len(content)
    return len(PdfParser.PdfParser(buf=content).pages)


# --- Again ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_second_run_makes_nothing(debug):
    printed = run("load_demo", "-v2").splitlines()
    before = everything()

    assert len(printed) == 14 + 3 + 3 + 2 + 3
    assert run("load_demo") == ""
    assert everything() == before
    assert_whole()
    assert not Upload.objects.exclude(state="completed").exists()


class Killed(BaseException):
    """As if the process had been killed."""


@pytest.mark.slow
def test_a_run_that_was_killed_anywhere_is_completed_by_the_next(debug, monkeypatch):
    for verb in ("put", "move"):
        for calls in (0, 1, 3, 30):
            with monkeypatch.context() as accident, suppress(Killed):
                accident.setattr(LocalStorage, verb, dying_after(calls, getattr(LocalStorage, verb)))
                run("load_demo")

    run("load_demo")

    assert_whole()
    assert run("load_demo") == ""


def dying_after(calls: int, done: Any) -> Any:
    left = iter(range(calls))

    def call(*args: Any, **options: Any) -> Any:
        if next(left, None) is None:
            raise Killed
        return done(*args, **options)

    return call


@pytest.mark.slow
def test_files_that_are_gone_are_brought_again(demo, settings):
    shutil.rmtree(settings.MEDIA_ROOT)
    Species.objects.filter(slug="okapi").update(qr_code="")
    SpeciesPicture.objects.filter(entry__slug="okapi").delete()
    Document.objects.filter(title="Visitor rules").update(file="", file_facts=None)

    assert len(run("load_demo", "-v2").splitlines()) == 14 + 3 + 3 + 2 + 3

    assert_whole()
    assert run("load_demo") == ""


@pytest.mark.slow
def test_rows_that_are_gone_are_made_again(demo, curator: Caller, alice: Caller):
    for path in ("species/okapi/", "exhibitions/wings-and-water/"):
        assert curator.delete(path).status_code == 204
    assert alice.delete("profiles/me/").status_code == 200

    assert run("load_demo", "-v2").splitlines() == [
        "made species okapi",
        "made exhibition wings-and-water",
        "made alice@example.org",
        "made alice@example.org: Feeding plan, winter (private)",
        "made alice@example.org: Visitor rules (authenticated)",
    ]
    assert_whole()


def test_what_people_changed_is_left_to_them(demo, curator: Caller, alice: Caller):
    changes = [
        curator.patch("species/okapi/", {"common_name": "Forest giraffe", "published": False}),
        curator.patch("species/axolotl/", {"scientific_name": "Ambystoma andersoni"}),
        curator.patch("exhibitions/wings-and-water/", {"closes_on": None, "species": []}),
        curator.patch("educational-services/night-at-the-aquarium/", {"title": "Late", "price": "0.00"}),
        alice.patch("profiles/me/", {"display_name": ""}),
        alice.post("documents/", {"title": "Visitor rules", "visibility": "private"}),
    ]
    assert {answer.status_code for answer in changes} <= {200, 201}
    before = everything()

    assert run("load_demo") == ""
    assert everything() == before


@pytest.mark.slow
def test_a_species_that_the_zoo_has_already_is_not_made_twice(debug, curator: Caller):
    known = {"common_name": "Jackass penguin", "scientific_name": "Spheniscus demersus"}
    assert curator.post("species/", known).status_code == 201

    run("load_demo")

    assert_whole()
    jackass = curator.get("species/jackass-penguin/").json()
    assert (jackass["published"], jackass["description"]) == (False, "")
    assert curator.get("species/african-penguin/").status_code == 404


@pytest.mark.slow
@pytest.mark.parametrize(("change", "is_on"), [({}, True), ({"location": "Garden"}, False)])
def test_what_is_on_now_begins_anew_unless_staff_changed_it(
    change: dict[str, str], is_on: bool, demo, curator: Caller, nobody: Caller, monkeypatch
):
    assert curator.patch("exhibitions/wings-and-water/", change).status_code == 200
    later = timezone.localdate() + timedelta(days=100)
    monkeypatch.setattr(timezone, "localdate", lambda: later)

    printed = run("load_demo", "-v2")

    assert printed == ("made exhibition wings-and-water\n" if is_on else "")
    now = {each["slug"] for each in listed(nobody, "exhibitions/", open_on=later)}
    assert now == {"scales-shells-and-gills", *(["wings-and-water"] if is_on else [])}
    assert run("load_demo") == ""


# --- Trouble --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_store_that_is_down_is_told_and_the_next_run_goes_on_and_says_so_in_one_line(
    debug, monkeypatch, caplog
):
    caplog.set_level("INFO", "api")

    def down(*args: Any, **options: Any) -> None:
        raise StorageUnavailable("disk full")

    with monkeypatch.context() as trouble:
        trouble.setattr(LocalStorage, "put", down)
        with pytest.raises(CommandError, match=r"run this again: disk full"):
            run("load_demo")

    assert run("load_demo") == "Loaded demo data. New accounts, entries, members and documents: 25\n"
    assert not [record for record in caplog.records if record.levelname == "INFO"]
    assert_whole()


def test_files_that_settings_refuse_are_told(debug, settings):
    settings.IMAGE_MAX_PIXELS = 1000

    with pytest.raises(CommandError, match="image_too_large"):
        run("load_demo")
