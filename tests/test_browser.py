"""The pages, as people use them: a real Chromium on a real server."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.chromium import seen_by
from tests.support.server import Server

pytestmark = pytest.mark.slow


@pytest.fixture
def fresh(tmp_path: Path) -> Any:
    """A server of its own, with demo data, and somebody who keeps the catalogue."""
    with Server(tmp_path, DJANGO_SUPERUSER_PASSWORD="keeper") as running:
        running.manage("createsuperuser", "--noinput", "--username=keeper", "--email=keeper@example.org")
        running.manage("load_demo")
        yield running


def test_a_ticket_is_asked_for_in_the_docs(npm, chromium: str, server: Server, tmp_path: Path):
    email = "reader-of-the-docs@example.org"
    document = server.client(email).post("/api/v1/documents/", json={"title": "Feeding plan"}).json()
    token = server.token(email)

    seen = seen_by("docs.mjs", chromium, server.url, tmp_path, token, document["id"])

    assert seen["status"] == 201
    assert seen["ticket"]["url"].startswith(f"{server.url}/storage/v1/object/upload/sign/uploads/")
    assert seen["complaints"] == []  # nor did a request go elsewhere


def test_the_catalogue_is_kept_in_the_admin(npm, chromium: str, fresh: Server, tmp_path: Path):
    picture, text = tmp_path / "aardwolf.png", tmp_path / "text.png"
    Image.frombytes("RGB", (400, 300), os.urandom(400 * 300 * 3)).save(picture)
    text.write_text("I am a text.")

    # Under another name than the store's, as with a remote one: the page's origin is not that of the files.
    elsewhere = fresh.url.replace("127.0.0.1", "localhost")

    seen = seen_by("admin.mjs", chromium, elsewhere, tmp_path, picture, text)

    assert "was added successfully" in seen["added"]
    assert seen["normalised"] == "Proteles cristata"

    assert seen["preview"] is True
    assert seen["progress"] == sorted(seen["progress"])
    assert seen["progress"][-1] == 100
    assert seen["width"] == 320
    assert seen["imageUrl"].startswith(f"{fresh.url}/storage/v1/object/public/species/aardwolf")
    assert seen["refused"] == "This file is not a PNG image."
    assert seen["stillShown"] == seen["imageUrl"]
    assert "QR code was made" in seen["qrCode"]
    assert all(seen["qrCodeShown"])
    assert any(seen["thumbnails"])  # those further down are loaded when they are scrolled to

    assert "was added successfully" in seen["exhibition"]
    assert "Aardwolf" in seen["related"]
    assert "cannot close before it opens" in seen["closesTooEarly"]
    assert "Verified and saved" in seen["dropped"]
    assert seen["download"].endswith(".pdf")
    assert "was deleted successfully" in seen["deleted"]
    assert "Successfully deleted" in seen["deletedSelected"]

    [refusal] = seen["complaints"]  # no policy was broken; the one is the browser's word for `refused`
    assert re.search(r"status of 422 .*/complete/$", refusal)


def test_galleries_are_kept_in_the_admin(npm, chromium: str, fresh: Server, tmp_path: Path):
    names = ["red", "lime", "blue", "gold"]
    pictures = [tmp_path / f"{name}.png" for name in names]
    for name, path in zip(names, pictures, strict=True):
        Image.new("RGB", (40, 30), name).save(path)
    text = tmp_path / "text.png"
    text.write_text("I am a text.")
    elsewhere = fresh.url.replace("127.0.0.1", "localhost")

    seen = seen_by("galleries.mjs", chromium, elsewhere, tmp_path, text, *pictures)

    # The form of a new entry: with an error at first, then with a picture that is none.
    assert seen["chosen"] == ["red.png", "text.png", "lime.png"]
    assert seen["chosenAgain"] == ["red.png", "text.png", "lime.png"]
    assert seen["failed"] == ["text.png", "This file is not a PNG image."]
    assert "was added successfully" in seen["added"]
    assert seen["pictures"] == ["red.png", "lime.png"]
    assert seen["listed"].endswith("/admin/api/species/")
    assert seen["another"].endswith("/admin/api/species/add/")
    assert seen["waiting"] == [0, 0, 0, 0]

    # The form of an entry that there is: several at once, then another order.
    assert seen["unsaved"] == "Coast"
    assert seen["more"] == ["red.png", "lime.png", "blue.png", "gold.png"]
    assert seen["focused"] == ["up", "up", "down"]
    assert seen["said"] == "Now at position 1."
    assert seen["moved"] == ["gold.png", "red.png", "lime.png", "blue.png"]
    assert seen["dragged"] == ["red.png", "lime.png", "gold.png", "blue.png"]
    assert seen["saved"] == ["red.png", "lime.png", "gold.png"]
    assert seen["credit"] == "Ana"
    assert seen["cutOff"] == []

    [refusal] = seen["complaints"]
    assert re.search(r"status of 422 .*/complete/$", refusal)
