"""The example app, as people use it: built, on another origin than the API, in a real Chromium."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import missing
from tests.support.cast import PDF
from tests.support.chromium import seen_by
from tests.support.example_app import SPA, example_app
from tests.support.npm import install
from tests.support.server import ROOT, Server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def example(npm: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    with example_app(tmp_path_factory.mktemp("example")) as running:
        yield running


def test_its_types_agree_with_the_schema_and_it_can_be_built(npm: None, tmp_path: Path):
    """`npm run build` begins with `npm run check`, and that with `npm run types`."""
    install(SPA)

    done = subprocess.run(
        ["npm", "run", "build", "--", "--outDir", tmp_path],
        cwd=SPA,
        capture_output=True,
        text=True,
        timeout=180,
    )

    assert done.returncode == 0, done.stdout
    assert (tmp_path / "index.html").is_file()


def test_a_visitor_searches_and_reads(example: tuple[Server, str], chromium: str, tmp_path: Path):
    _, app = example

    seen = seen_by("app_visitor.mjs", chromium, app, tmp_path)

    assert seen["image"]["alt"] == "A drawing: African penguin."
    assert seen["image"]["currentSrc"].endswith(".webp")
    assert seen["image"]["background"].startswith('url("data:image/webp')
    assert seen["first"] == "Skip to the content"
    assert seen["searched"] == ["African penguin"]
    assert seen["address"] == "?search=africa&status=CR&class=Aves"
    assert seen["stillAt"] == "Search"
    assert (seen["emptied"], seen["filled"]) == ("", "CR")
    assert seen["focused"] == "H1"
    assert seen["title"] == "African penguin · Vivarium"
    assert seen["qrCode"] is True
    assert seen["language"] == "es"
    assert seen["alt"] == "Un dibujo: African penguin."
    assert seen["open"] == ["Wings and water", "Scales, shells and gills"]
    assert seen["openThen"] == []
    assert seen["dark"] == "rgb(20, 24, 26)"
    assert seen["found"] == []
    [missing] = seen["complaints"]  # the browser's word for the species that there is not
    assert "status of 404" in missing


def test_a_member_changes_the_profile(example: tuple[Server, str], chromium: str, tmp_path: Path):
    _, app = example
    picture, text = tmp_path / "me.png", tmp_path / "text.png"
    Image.new("RGB", (400, 300), "red").save(picture)
    text.write_text("I am a text.")

    seen = seen_by("app_profile.mjs", chromium, app, tmp_path, "alice@example.org", picture, text)

    assert seen["before"].startswith("Sign in to see this page.")
    assert seen["refused"] == "Ensure this field has no more than 100 characters."
    assert seen["heading"] == "Perfil"
    assert seen["avatar"] == "Alice the keeper"
    assert seen["storage"].endswith(" kB of 1.1 GB")
    assert seen["after"].startswith("Sign in to see this page.")
    assert seen["found"] == []
    refusals = [complaint for complaint in seen["complaints"] if "status of 4" not in complaint]
    assert refusals == []


def test_staff_edit_a_species_that_somebody_else_changes(
    example: tuple[Server, str], chromium: str, tmp_path: Path
):
    server, app = example
    token = server.token("second-curator@example.org", role="staff")
    pictures = [tmp_path / f"{name}.png" for name in ("red", "lime")]
    for path in pictures:
        Image.new("RGB", (400, 300), path.stem).save(path)

    seen = seen_by("app_staff.mjs", chromium, app, tmp_path, server.url, token, *pictures)

    assert seen["member"] is False
    assert seen["conflict"] == [["Family", "Giraffidae", "Theirs too"], ["Habitat", "Mine", "Theirs"]]
    assert seen["taken"] == "Theirs"
    assert seen["focused"] == "conflict"
    assert seen["kept"] == "Mine again"
    assert seen["image"] == "An okapi in the rain."
    assert seen["afterPictures"] == "After the pictures"
    assert seen["found"] == []
    others = [
        complaint for complaint in seen["complaints"] if not re.search(r"status of 4(00|12)", complaint)
    ]
    assert others == []


def test_a_member_sends_documents_while_network_and_session_fail(
    example: tuple[Server, str], chromium: str, tmp_path: Path
):
    _, app = example
    names = ["small.pdf", "other.pdf", "big.pdf", "picture.png", "page.pdf"]
    small, other, big, picture, html = (tmp_path / name for name in names)
    small.write_bytes(PDF)
    other.write_bytes(PDF + os.urandom(15_000_000))
    big.write_bytes(PDF + os.urandom(25_000_000))
    Image.new("RGB", (400, 300), "teal").save(picture)
    html.write_text("<!doctype html><title>I am a page</title>" + "x" * 2000)

    seen = seen_by(
        "app_documents.mjs", chromium, app, tmp_path, "bob@example.org", small, other, big, picture, html
    )

    assert seen["accept"].startswith("application/pdf,image/jpeg,image/png,")
    assert seen["paused"] is True
    assert seen["refreshed"] is True
    assert seen["continued"] > 0
    assert seen["after"] == seen["before"]
    assert seen["refused"] == "page.pdf: This file is not a PDF document."
    assert (seen["shown"], seen["name"], seen["same"]) == (400, "picture.png", True)
    assert seen["signedOut"].startswith("Sign in to see this page.")
    assert seen["found"] == []


def test_make_spa_says_that_node_is_needed(tmp_path: Path):
    make = shutil.which("make") or missing("make is needed")

    done = subprocess.run(
        [make, "spa"], cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )

    assert done.returncode != 0
    assert "Node 20.19 or newer and npm are needed" in done.stderr
