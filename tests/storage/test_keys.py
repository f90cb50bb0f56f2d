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
        ("image/heic", ".heic"),
        ("image/heif", ".heif"),
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


def test_fresh_keys_are_told_from_names_that_people_give():
    fresh = [
        keys.generate("lion", "image/png"),
        keys.generate("qr-codes", "image/png", stem="the-lion-"),
        keys.generate("shared/owner", "application/pdf", filename="Plan.pdf"),
    ]
    random = "AbcDefGhi-JklMnoPqr2_uV4"  # generate's own characters, but the same each time
    made = [re.sub(r"[\w-]{24}(?=\.png|/Plan)", random, key) for key in fresh]

    assert all(map(keys.is_generated, made)), made
    for name in ("plan.pdf", "lion/annual-report-for-members.pdf", f"{random}.pdf", f"a/{random}0.pdf"):
        assert not keys.is_generated(name)


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
        ("archive.tar.gz", "archive.tar.gz"),
        ("report.v1.2.pdf", "report.v1.2.pdf"),
        (".env", ".env"),
        ("no ending", "no ending"),
        ("evil\u202efdp.exe", "evilfdp.exe"),
        ("..pdf", "..pdf"),
        (".pdf", ".pdf"),
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


ILLEGAL = [
    "guía.pdf",
    "[id].js",
    "a~b.txt",
    "a%20b.txt",
    "#",
    "x" * 300 + ".tar.gz",
    "\u0378.jpg",
    "\ud800",
    "a\n",
]


@pytest.mark.parametrize("name", ILLEGAL, ids=lambda name: ascii(name)[:30])
def test_a_name_that_no_key_can_be_has_one_key_of_its_own(name):
    key = keys.from_name(f"a/{name}")

    assert keys.check(key) == key == keys.from_name(f"a/{name}") == keys.from_name(key)
    assert key.startswith("a/")
    assert key.endswith(Path(name.replace("%", "")).suffix)


def test_names_that_differ_have_keys_that_differ():
    names = [*ILLEGAL, "guia.pdf", "gu\u0301ia.pdf", "id.js", "(id).js", "{id}.js", "ab.txt", "a20b.txt"]

    assert len({keys.from_name(name) for name in names}) == len(names)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("a//b", "a/b"),
        ("./a/./b", "a/b"),
        ("a\\b.txt", "a/b.txt"),
        ("C:\\win.ini", "C:/win.ini"),
        (Path("a/b.txt"), "a/b.txt"),
        ("a/", "a"),
        (".", ""),
        ("", ""),
        ("a/..b/c..", "a/..b/c.."),
        ("archive.tar.gz", "archive.tar.gz"),
    ],
)
def test_a_name_is_spelled_as_django_does(name, key):
    assert keys.from_name(name) == key


TRAVERSAL = [
    *("..", "../x", "a/../b", "a/..", "/etc/passwd", "//server/share", "..\\x", "a\\..\\b", "\\x"),
    *("%2e%2e/x", "..%2Fx", "a/%2E%2e", "%2fetc", "%5c%5Cserver"),
]


@pytest.mark.parametrize("name", TRAVERSAL)
def test_a_name_that_leads_outside_is_refused_by_its_name(name):
    with pytest.raises(keys.InvalidKey, match="leads outside the bucket"):
        keys.from_name(name)


def test_a_name_with_nul_is_refused():
    with pytest.raises(keys.InvalidKey, match="contains NUL"):
        keys.from_name("a\0b")


@pytest.mark.parametrize(
    ("value", "header"),
    [
        ("text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        ("image/svg+xml", "image/svg+xml"),
        ("image/png\r\nX-Evil: 1", ""),
        ("text/plain; name=gu\u00eda", ""),
        ("text", ""),
        ("text/plain\n", ""),
        ("", ""),
        (None, ""),
        (b"text/plain", ""),
    ],
)
def test_a_content_type_is_one_that_can_be_sent(value, header):
    assert content_types.header(value) == header


@pytest.mark.parametrize(
    ("key", "content_type"),
    [
        ("a.pdf", "application/pdf"),
        ("a.b/c", "application/octet-stream"),
        ("a.JPG", "image/jpeg"),
        ("a.HEIC", "image/heic"),
        ("a.heif", "image/heif"),
    ],
)
def test_the_ending_tells_the_type_when_nobody_does(key, content_type):
    assert content_types.guess(key) == content_type


def test_a_name_is_text():
    with pytest.raises(TypeError, match="must be text"):
        keys.from_name(b"a.txt")  # type: ignore[arg-type]
