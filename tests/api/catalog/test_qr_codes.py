"""QR codes: what they say, who has them made, and what becomes of the old ones."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import BytesIO, StringIO
from typing import Any

import httpx
import pytest
import zxingcpp
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import storages
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone
from PIL import Image, ImageDraw, ImageOps

from api.catalog import qr_codes
from api.models import Species
from storage.local import LocalStorage
from tests.backend.test_settings import read
from tests.support.cast import Caller, body, code, down, fetch
from tests.support.server import Server

PENGUIN = {"common_name": "African penguin", "scientific_name": "Spheniscus demersus", "published": True}
SITE = "https://zoo.example.org"


@pytest.fixture(autouse=True)
def _site(settings) -> None:
    settings.PUBLIC_SITE_URL = SITE


def create(curator: Caller, **fields: Any) -> dict[str, Any]:
    answer = curator.post("species/", {**PENGUIN, **fields})
    assert answer.status_code == 201, answer.content
    return answer.json()


def again(who: Caller, species: dict[str, Any]) -> Any:
    return who.post(f"species/{species['slug']}/qr-code/")


def picture(species: dict[str, Any]) -> Image.Image:
    """What anybody sees of it, without a token, and on a black page: its white has to be its own."""
    response = fetch(species["qr_code_url"])
    assert response.status_code == 200
    shown = Image.open(BytesIO(body(response))).convert("RGBA")
    page = Image.new("RGBA", shown.size, "black")
    return Image.alpha_composite(page, shown).convert("L")


def scanned(image: Image.Image) -> Any:
    [found] = zxingcpp.read_barcodes(image)
    return found


def codes() -> set[str]:
    """The keys of all QR codes in the store."""
    folders, _ = storages["species"].listdir("")
    return set(storages["species"].listdir("qr-codes")[1]) if "qr-codes" in folders else set()


def meanwhile(monkeypatch, act) -> None:
    """Do this once, after a new picture is stored and before its row is written."""
    put = LocalStorage.put

    def be_overtaken(*args, **options):
        monkeypatch.setattr(LocalStorage, "put", put)
        stored = put(*args, **options)
        act()
        return stored

    monkeypatch.setattr(LocalStorage, "put", be_overtaken)


# --- The picture ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Yak", "African penguin", "Long " * 39 + "name"])
def test_a_new_species_has_a_code_that_leads_to_its_page(name: str, curator: Caller):
    species = create(curator, common_name=name)

    found = scanned(picture(species))

    assert found.text == f"{SITE}/species/{species['slug']}"
    assert found.format == zxingcpp.BarcodeFormat.QRCode


def test_the_creator_is_told_what_everybody_reads(curator: Caller, nobody: Caller):
    species = create(curator)

    assert nobody.get(f"species/{species['slug']}/").json() == species
    assert nobody.get("species/").json()["results"] == [species]


@pytest.mark.parametrize("name", ["Yak", "Long " * 39 + "name"])
def test_the_quiet_zone_is_four_modules_on_every_side(name: str, curator: Caller):
    image = picture(create(curator, common_name=name))

    left, top, right, bottom = ImageOps.invert(image).getbbox()
    finder = next(x for x in range(left, image.width) if image.getpixel((x, top))) - left  # 7 modules wide

    assert finder % 7 == 0
    zone = 4 * finder // 7
    assert (left, top, image.width - right, image.height - bottom) == (zone, zone, zone, zone)


@pytest.mark.parametrize("name", ["Yak", "Middling " * 4, "Long " * 39 + "name"])
def test_it_is_about_600_pixels_wide(name: str, curator: Caller):
    image = picture(create(curator, common_name=name))

    assert image.width == image.height
    assert 550 <= image.width <= 650


@pytest.mark.parametrize("length", [1, 10, 25, 50, 92])
def test_a_quarter_of_it_may_be_lost(length: int):
    image = Image.open(BytesIO(qr_codes.png(f"{SITE}/species/{'a' * length}")))

    assert scanned(image).ec_level in ("Q", "H")


def test_it_is_read_behind_a_blot(curator: Caller):
    species = create(curator)
    image = picture(species)
    middle, blot = image.width / 2, image.width * 0.12
    ImageDraw.Draw(image).rectangle([middle - blot, middle - blot, middle + blot, middle + blot], fill=255)

    assert scanned(image).text == f"{SITE}/species/{species['slug']}"


def test_the_key_is_named_for_the_species_and_cannot_be_guessed(curator: Caller):
    species = create(curator)

    key = Species.objects.get().qr_code.name
    assert re.fullmatch(r"qr-codes/african-penguin-[A-Za-z0-9_-]{24}\.png", key)
    assert species["qr_code_url"].endswith(f"/storage/v1/object/public/species/{key}")


def test_it_is_served_to_everybody_for_ever(curator: Caller):
    species = create(curator)

    assert species["qr_code_url"].startswith("http")
    assert "?" not in species["qr_code_url"]
    response = fetch(species["qr_code_url"])
    assert response.headers["Content-Type"] == "image/png"
    assert response.headers["Cache-Control"] == "max-age=31536000"
    assert body(response).startswith(b"\x89PNG")


# --- Made again -------------------------------------------------------------------------------------


def test_made_again_it_leads_where_the_site_is_now(curator: Caller, settings):
    species = create(curator)
    settings.PUBLIC_SITE_URL = "https://aquarium.example.org/visit"

    answer = again(curator, species)

    assert answer.status_code == 200
    assert (
        scanned(picture(answer.json())).text == "https://aquarium.example.org/visit/species/african-penguin"
    )
    assert fetch(species["qr_code_url"]).status_code == 400
    assert len(codes()) == 1
    assert curator.get(f"species/{species['slug']}/").json() == answer.json()


def test_making_it_again_changes_nothing_else(curator: Caller):
    species = create(curator, habitat="Coast")

    after = again(curator, species).json()

    changed = {name for name in species if species[name] != after[name]}
    assert changed == {"qr_code_url", "updated_at"}


def test_a_new_name_leaves_the_code_alone(curator: Caller):
    species = create(curator)

    answer = curator.patch(f"species/{species['slug']}/", {"common_name": "Jackass penguin"})

    assert answer.json()["qr_code_url"] == species["qr_code_url"]
    assert scanned(picture(species)).text == f"{SITE}/species/african-penguin"


@pytest.mark.parametrize("sent", ["https://evil.example.org/x.png", None, ""])
def test_nobody_sends_the_address_of_a_code(sent: str | None, curator: Caller):
    species = create(curator, qr_code_url=sent, qr_code="qr-codes/x.png")
    assert scanned(picture(species)).text == f"{SITE}/species/african-penguin"

    sent_back = curator.patch(f"species/{species['slug']}/", {"qr_code_url": sent, "qr_code": "x"})

    assert sent_back.json()["qr_code_url"] == species["qr_code_url"]


@pytest.mark.parametrize(
    ("who", "status", "reason"),
    [("nobody", 401, "not_authenticated"), ("alice", 403, "permission_denied")],
)
@pytest.mark.parametrize("published", [True, False])
def test_only_staff_have_it_made(
    who: str, status: int, reason: str, published: bool, curator: Caller, request
):
    species = create(curator, published=published)
    before = codes()

    for slug in (species["slug"], "none"):  # the answer does not tell what there is
        answer = request.getfixturevalue(who).post(f"species/{slug}/qr-code/")
        assert (answer.status_code, code(answer)) == (status, reason)

    assert codes() == before


def test_staff_have_it_made_for_what_is_not_published_and_others_do_not_see_it(
    alice: Caller, curator: Caller, nobody: Caller
):
    species = create(curator, published=False)

    assert again(curator, species).status_code == 200
    for who in (alice, nobody):
        assert code(who.get(f"species/{species['slug']}/")) == "not_found"


def test_there_is_none_for_what_does_not_exist(curator: Caller):
    assert code(curator.post("species/none/qr-code/")) == "not_found"


def test_it_is_not_made_by_reading(curator: Caller):
    species = create(curator)

    assert code(curator.get(f"species/{species['slug']}/qr-code/")) == "method_not_allowed"


# --- The store is down ------------------------------------------------------------------------------


def test_a_species_is_saved_without_a_code_when_the_store_is_down(curator: Caller, monkeypatch):
    with monkeypatch.context() as trouble:
        trouble.setattr(LocalStorage, "put", down)
        species = create(curator)

    assert species["qr_code_url"] is None
    assert curator.get(f"species/{species['slug']}/").json() == species
    assert codes() == set()
    assert again(curator, species).json()["qr_code_url"]
    assert len(codes()) == 1


def test_the_log_says_which_code_was_not_made(curator: Caller, monkeypatch):
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(qr_codes.logger, "error", lambda event, **facts: lines.append({event: facts}))
    monkeypatch.setattr(LocalStorage, "put", down)

    create(curator)

    assert lines == [{"qr_code_failed": {"species": "african-penguin", "error": "down"}}]


def test_a_disk_in_trouble_is_a_store_that_is_down(curator: Caller, settings, tmp_path):
    (tmp_path / "file").write_text("in the way")
    settings.MEDIA_ROOT = str(tmp_path / "file")

    species = create(curator)

    assert species["qr_code_url"] is None
    assert code(again(curator, species)) == "storage_unavailable"


def test_asked_for_a_code_a_store_that_is_down_is_not_hidden(curator: Caller, monkeypatch):
    species = create(curator)
    monkeypatch.setattr(LocalStorage, "put", down)

    answer = again(curator, species)

    assert (answer.status_code, code(answer)) == (503, "storage_unavailable")
    assert answer.headers["Retry-After"]
    assert curator.get(f"species/{species['slug']}/").json() == species
    assert scanned(picture(species)).text == f"{SITE}/species/african-penguin"


def test_an_old_picture_that_cannot_be_deleted_holds_nothing_up(curator: Caller, monkeypatch):
    species = create(curator)
    monkeypatch.setattr(LocalStorage, "delete_object", down)

    answer = again(curator, species)

    assert answer.status_code == 200
    assert scanned(picture(answer.json())).text == f"{SITE}/species/african-penguin"


# --- Several at once --------------------------------------------------------------------------------


def test_of_two_that_cross_one_is_left_and_both_are_told_a_code_that_is_there(curator: Caller, monkeypatch):
    species = create(curator)
    answers = []
    meanwhile(monkeypatch, lambda: answers.append(again(curator, species)))

    answers.append(again(curator, species))

    assert [answer.status_code for answer in answers] == [200, 200]
    after = curator.get(f"species/{species['slug']}/").json()
    assert after == answers[-1].json()
    assert scanned(picture(after)).text == f"{SITE}/species/african-penguin"
    assert len(codes()) == 1


def test_a_change_at_the_same_moment_is_kept(curator: Caller, monkeypatch):
    species = create(curator)
    path = f"species/{species['slug']}/"
    meanwhile(monkeypatch, lambda: curator.patch(path, {"habitat": "Coast"}))

    answer = again(curator, species)

    assert answer.json()["habitat"] == curator.get(path).json()["habitat"] == "Coast"


def test_a_species_deleted_meanwhile_leaves_no_picture(curator: Caller, monkeypatch):
    species = create(curator)
    meanwhile(monkeypatch, lambda: curator.delete(f"species/{species['slug']}/"))

    assert code(again(curator, species)) == "not_found"
    assert codes() == set()


def test_who_creates_what_is_deleted_at_once_is_told_that_it_was_created(curator: Caller, monkeypatch):
    meanwhile(monkeypatch, lambda: curator.delete("species/african-penguin/"))

    assert create(curator)["qr_code_url"] is None
    assert codes() == set()


@pytest.mark.slow
def test_twenty_at_once_leave_one_picture(server: Server):
    curator = server.client("qr@example.org", role="staff")
    fields = {**PENGUIN, "common_name": "Rained on", "scientific_name": "Pluvialis squatarola"}
    species = curator.post("/api/v1/species/", json=fields).raise_for_status().json()
    path = f"/api/v1/species/{species['slug']}/"

    try:
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: curator.post(f"{path}qr-code/"), range(20)))

        assert {answer.status_code for answer in answers} == {200}
        [left] = (server.media / "species" / "qr-codes").glob(f"{species['slug']}-*")
        url = curator.get(path).json()["qr_code_url"]
        assert url.endswith(f"/qr-codes/{left.name}")
        served = httpx.get(url)
        assert served.headers["Content-Type"] == "image/png"
        text = scanned(Image.open(BytesIO(served.content))).text
        assert text == f"{server.url}/species/{species['slug']}"
    finally:
        assert curator.delete(path).status_code == 204
    assert not list((server.media / "species").rglob(f"{species['slug']}-*"))


# --- Deletion ---------------------------------------------------------------------------------------


def test_the_code_goes_with_its_species_and_no_other(curator: Caller):
    penguin = create(curator)
    yak = create(curator, common_name="Yak", scientific_name="Bos grunniens")

    assert curator.delete(f"species/{penguin['slug']}/").status_code == 204

    assert fetch(penguin["qr_code_url"]).status_code == 400
    assert scanned(picture(yak)).text == f"{SITE}/species/yak"
    assert len(codes()) == 1


# --- generate_qr_codes ------------------------------------------------------------------------------


@pytest.fixture
def three(curator: Caller, monkeypatch) -> dict[str, dict[str, Any]]:
    """Three species by slug, of which the fox has no code."""
    made = [
        create(curator, common_name="Bear", scientific_name="Ursus arctos"),
        create(curator, common_name="Ant", scientific_name="Formica rufa", published=False),
    ]
    with monkeypatch.context() as trouble:
        trouble.setattr(LocalStorage, "put", down)
        made.append(create(curator, common_name="Fox", scientific_name="Vulpes vulpes"))
    return {species["slug"]: species for species in made}


def generate(*arguments: str) -> list[str]:
    """The lines that it prints."""
    printed = StringIO()
    try:
        call_command("generate_qr_codes", *arguments, stdout=printed)
    except CommandError as error:
        return [*printed.getvalue().splitlines(), f"error {error.returncode}"]
    return printed.getvalue().splitlines()


def shown(curator: Caller) -> dict[str, str | None]:
    results = curator.get("species/").json()["results"]
    return {species["slug"]: species["qr_code_url"] for species in results}


def test_the_command_makes_those_that_are_missing(three, curator: Caller):
    assert generate("--missing") == ["fox: made", "1 made, 0 failed"]

    after = shown(curator)
    assert {slug for slug in three if after[slug] == three[slug]["qr_code_url"]} == {"ant", "bear"}
    assert scanned(picture({"qr_code_url": after["fox"]})).text == f"{SITE}/species/fox"
    assert generate("--missing") == ["0 made, 0 failed"]
    assert shown(curator) == after
    assert len(codes()) == 3


def test_the_command_makes_all_again_however_often(three, curator: Caller, settings):
    settings.PUBLIC_SITE_URL = "https://new.example.org"

    for _ in range(2):
        before = shown(curator)
        assert generate() == ["ant: made", "bear: made", "fox: made", "3 made, 0 failed"]

        after = shown(curator)
        assert not set(before.values()) & set(after.values())
        for slug, url in after.items():
            assert scanned(picture({"qr_code_url": url})).text == f"https://new.example.org/species/{slug}"
        assert len(codes()) == 3


def test_the_command_goes_on_after_a_failure_and_says_so(three, curator: Caller, monkeypatch):
    before, put = shown(curator), LocalStorage.put

    def fail_for_the_bear(store, key, *args, **options):
        return down() if "bear" in key else put(store, key, *args, **options)

    with monkeypatch.context() as trouble:
        trouble.setattr(LocalStorage, "put", fail_for_the_bear)
        printed = generate()

    assert printed == ["ant: made", "bear: failed", "fox: made", "2 made, 1 failed", "error 1"]
    after = shown(curator)
    assert {slug for slug in after if after[slug] == before[slug]} == {"bear"}
    assert len(codes()) == 3
    assert generate()[-1] == "3 made, 0 failed"


def test_the_command_can_be_taken_up_after_it_broke_off(three, curator: Caller):
    Species.objects.update(qr_code="")
    work = qr_codes.make_all(only_missing=True)
    assert next(work) == ("ant", True)
    work.close()

    assert generate("--missing") == ["bear: made", "fox: made", "2 made, 0 failed"]


def test_the_command_passes_over_what_changed_since_it_began(three, curator: Caller):
    Species.objects.update(qr_code="")
    work = qr_codes.make_all(only_missing=True)
    assert next(work) == ("ant", True)
    curator.delete("species/bear/")
    again(curator, three["fox"])
    url = shown(curator)["fox"]

    assert list(work) == []
    assert shown(curator)["fox"] == url


def test_the_command_has_nothing_to_do_in_an_empty_catalogue(db):
    assert generate() == ["0 made, 0 failed"]


# --- Codes that nothing names ------------------------------------------------------------------------


@pytest.fixture
def abandoned(three) -> str:
    """The key of a code that no row names."""
    storages["species"].put("qr-codes/bear-x.png", [b"x"], content_type="image/png", cache_control="")
    return "qr-codes/bear-x.png"


def later(monkeypatch, **span: int) -> None:
    then = timezone.now() + timedelta(**span)
    monkeypatch.setattr(timezone, "now", lambda: then)


def test_a_code_that_no_row_names_is_removed_an_hour_later(abandoned: str, curator: Caller, monkeypatch):
    before = shown(curator)
    later(monkeypatch, minutes=61)

    assert generate("--missing") == ["fox: made", "1 made, 0 failed"]
    assert storages["species"].exists(abandoned)
    assert generate("--missing", "--prune") == ["0 made, 0 failed", f"{abandoned}: removed"]

    assert len(codes()) == 3
    after = shown(curator)
    assert {slug for slug in after if after[slug] == before[slug]} == {"ant", "bear"}
    for url in after.values():
        assert fetch(url).status_code == 200
    assert generate("--missing", "--prune") == ["0 made, 0 failed"]


def test_a_code_that_may_be_about_to_be_named_stays(abandoned: str, monkeypatch):
    later(monkeypatch, minutes=59)

    assert generate("--missing", "--prune") == ["fox: made", "1 made, 0 failed"]
    assert storages["species"].exists(abandoned)


def test_pictures_of_species_are_never_taken_for_codes(abandoned: str, monkeypatch):
    storages["species"].put("bear/picture.png", [b"x"], content_type="image/png", cache_control="no-cache")
    later(monkeypatch, days=1)

    assert f"{abandoned}: removed" in generate("--prune")
    assert storages["species"].exists("bear/picture.png")


def test_codes_that_cannot_be_removed_are_told(abandoned: str, monkeypatch):
    later(monkeypatch, days=1)
    monkeypatch.setattr(LocalStorage, "delete_object", down)

    assert generate("--missing", "--prune") == ["fox: made", "1 made, 0 failed", "error 1"]
    assert storages["species"].exists(abandoned)


def test_there_is_nothing_to_remove_in_an_empty_store(db):
    assert generate("--prune") == ["0 made, 0 failed"]


# --- PUBLIC_SITE_URL --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "site"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"PORT": "8123"}, "http://127.0.0.1:8123"),
        ({"PUBLIC_SITE_URL": ""}, "http://127.0.0.1:8000"),
        ({"PUBLIC_SITE_URL": "https://zoo.example.org/"}, "https://zoo.example.org"),
        ({"PUBLIC_SITE_URL": "https://zoo.example.org/visit//"}, "https://zoo.example.org/visit"),
    ],
)
def test_where_the_site_is(environment: dict[str, str], site: str):
    assert read("PUBLIC_SITE_URL", DEBUG="true", **environment) == [site]


@pytest.mark.parametrize(
    "site",
    ["zoo.example.org", "ftp://zoo.example.org", "https://", "https://zoo.example/?a=", "https://zoó.es"],
)
def test_what_cannot_be_a_site_stops_the_start(site: str):
    with pytest.raises(ImproperlyConfigured, match="PUBLIC_SITE_URL"):
        read("PUBLIC_SITE_URL", DEBUG="true", PUBLIC_SITE_URL=site)
