"""Every object key is made or checked in one place."""

import re
from pathlib import Path

import pytest
from django.core.exceptions import SuspiciousFileOperation

from storage import content_types, keys

HOSTILE = [
    "",
    ".",
    "..",
    "../secret",
    "../../etc/passwd",
    "a/../b",
    "a/..",
    "..\\secret",
    "a\\..\\..\\b",
    "/etc/passwd",
    "//server/share",
    "C:\\Windows\\win.ini",
    "a//b",
    "a/",
    "./a",
    "a/./b",
    "nul\0byte.pdf",
    "a\n.pdf",
    "a\r\nX-Evil: 1",
    "a\t.pdf",
    "\x7f",
    "%2e%2e/secret",
    "%2e%2e%2fsecret",
    "..%2f..%2fsecret",
    "%00",
    "guía.pdf",
    "фото.jpg",
    "emoji-🦆.png",
    "evil\u202efdp.exe",
    "one．dot",
    "\u2025/x",
    "\ud800",
    "#",
    "~root",
    "a[0]",
    "a|b",
    "<script>",
    "x" * 256,
    f"a/{'x' * 256}/b",
    "x" * 10_000,
    "x/" * 5_000 + "x",
]
LEGAL = [
    "a",
    "a/b/c.pdf",
    ".hidden",
    "...",
    "a..b",
    "a b&c=d+e;f,(g)'!:@$?*.pdf",
    "x" * 255,
    "/".join(["x" * 255] * 4),
]


@pytest.mark.parametrize("key", HOSTILE, ids=ascii)
def test_a_hostile_key_is_refused(key):
    with pytest.raises(SuspiciousFileOperation):
        keys.check(key)


@pytest.mark.parametrize("key", LEGAL, ids=ascii)
def test_a_key_that_the_protocol_accepts_is_itself(key):
    assert keys.check(key) == key


def test_a_refusal_does_not_repeat_the_key():
    with pytest.raises(keys.InvalidKey) as refusal:
        keys.check("../secret")

    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("content_type", "suffix"),
    [
        ("application/pdf", ".pdf"),
        ("image/jpeg", ".jpg"),
        ("image/png", ".png"),
        ("image/webp", ".webp"),
        ("text/plain", ".txt"),
        ("unheard/of", ""),
        ("../../x", ""),
    ],
)
def test_a_fresh_key_ends_as_its_type_does(content_type, suffix):
    key = keys.generate("owner", content_type)

    folder, _, name = key.rpartition("/")
    assert folder == "owner"
    assert Path(name).suffix == suffix
    assert keys.PLAIN.fullmatch(key)


def test_fresh_keys_cannot_be_guessed():
    made = {keys.generate("owner", "application/pdf") for _ in range(1000)}

    assert len(made) == 1000
    assert all(len(key) >= len("owner/") + 24 for key in made)


@pytest.mark.parametrize("folder", ["..", "/etc", "a/../..", "guía", ""], ids=ascii)
def test_a_fresh_key_is_not_made_in_a_hostile_folder(folder):
    with pytest.raises(SuspiciousFileOperation):
        keys.generate(folder, "application/pdf")


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("feeding-plan.pdf", "feeding-plan.pdf"),
        ("Guía nº 2.PDF", "Guia_no_2.pdf"),
        ("gui\u0301a.pdf", "guia.pdf"),
        ("план кормления.pdf", "plan_kormleniya.pdf"),
        ("饲养计划.pdf", "SiYangJiHua.pdf"),
        ("Tierpflege-Übersicht.v2.pdf", "Tierpflege-Ubersicht.v2.pdf"),
        ("notes.v2", "notes.v2.pdf"),
        ("report.exe", "report.pdf"),
        ("../../etc/passwd", "etcpasswd.pdf"),
        ("evil\u202efdp.exe", "evilfdp.pdf"),
        ("x" * 300 + ".pdf", "x" * 100 + ".pdf"),
        (".pdf", "pdf.pdf"),
        ("\u0378.pdf", "file.pdf"),
        ("\ud800.pdf", "file.pdf"),
        ("%2e%2e", "2e2e.pdf"),
        ("..", "file.pdf"),
    ],
    ids=ascii,
)
def test_a_key_can_end_with_the_name_of_the_file(name, plain):
    made = keys.generate("owner", "application/pdf", filename=name)

    folder, unguessable, last = made.split("/")
    assert (folder, last) == ("owner", plain)
    assert len(unguessable) >= 24
    assert keys.PLAIN.fullmatch(made)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("guía.pdf", "guia.pdf"),
        ("Feeding plan.PDF", "Feeding plan.PDF"),
        ("a/b\\c.pdf", "abc.pdf"),
        ("archive.tar.gz", "archivetar.gz"),
        ("no ending", "no ending"),
        ("evil\u202efdp.exe", "evilfdp.exe"),
        ("..pdf", None),
        ("..", None),
        (".pdf", "pdf"),
        ("фото.jpg", "foto.jpg"),
        ("🦆", "duck"),
        ("\u0378.jpg", None),
        ("", None),
        ("\0", None),
    ],
    ids=ascii,
)
def test_any_name_has_a_plain_form(name, plain):
    """None: nothing of it is left, so a random name stands for it."""
    made = keys.transliterate(name)

    assert made == plain or (plain is None and re.fullmatch(r"[0-9a-f]{8}(\.\w+)?", made)), made
    assert keys.check(made) == made


@pytest.mark.parametrize(
    ("key", "content_type"),
    [("a.pdf", "application/pdf"), ("a.b/c", "application/octet-stream"), ("a.JPG", "image/jpeg")],
)
def test_the_ending_tells_the_type_when_nobody_does(key, content_type):
    assert content_types.guess(key) == content_type
