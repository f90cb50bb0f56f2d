"""What files are called in a bucket."""

import re

import pytest

from storage import keys
from storage.supabase import SupabaseStorage
from storage.transfer.renaming import key_for_name, numbered_key


@pytest.mark.parametrize(
    "name", ["plan.pdf", "a/b c/plan (1).pdf", "año".encode().hex(), "x" * 255, "a/.hidden"]
)
def test_a_plain_key_stays_as_it_is(name: str):
    assert key_for_name(name) == name


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("guía.pdf", r"guia-\w{8}\.pdf"),
        ("gui\u0301a.pdf", r"guia-\w{8}\.pdf"),
        ("año/niño #1.pdf", r"ano-\w{8}/nino 1-\w{8}\.pdf"),
        ("日本/日本.pdf", r"RiBen-\w{8}/RiBen-\w{8}\.pdf"),
        ("日../x.pdf", r"Ri\.\.-\w{8}/x\.pdf"),
        ("[x]~%.tar.gz", r"x-\w{8}\.tar\.gz"),
        ("ü" * 300 + ".pdf", r"u{242}-\w{8}\.pdf"),
        ("x/" * 3 + "y" * 300, r"x/x/x/y{246}-\w{8}"),
    ],
    ids=ascii,
)
def test_another_name_becomes_the_key_that_the_store_has_for_it(name: str, pattern: str):
    new = key_for_name(name)

    assert re.fullmatch(pattern, new)
    assert new == SupabaseStorage("media").key_of(name)
    assert keys.check(new) == new


@pytest.mark.parametrize("name", ["", "\0", "../../etc/passwd", "/etc/passwd", "%2e%2e/x"])
def test_a_name_of_no_file_has_no_key(name: str):
    with pytest.raises(keys.InvalidKey):
        key_for_name(name)


def test_names_that_look_alike_stay_two():
    alike = ["guía.pdf", "gui\u0301a.pdf", "guiа.pdf", "guia#.pdf", "guia.pdf", "ñ/a.pdf", "n\u0303/a.pdf"]

    assert len({key_for_name(name) for name in alike}) == len(alike)


def test_directories_stay_together():
    assert key_for_name("日本/a.pdf").split("/")[0] == key_for_name("日本/b.pdf").split("/")[0]


@pytest.mark.parametrize("most", [13, 20, 40, 100])
def test_it_fits_its_column_and_keeps_its_ending(most: int):
    new = key_for_name("ñ" * 95 + ".pdf", most)

    assert len(new) <= most
    assert new.endswith(".pdf")


def test_a_column_that_has_no_room_is_told():
    with pytest.raises(keys.InvalidKey):
        key_for_name("a-long-folder/ñ.pdf", 20)
    with pytest.raises(keys.InvalidKey):
        numbered_key("a-long-folder/plan.pdf", 2, 18)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.pdf", "a-2.pdf"), ("x.y/a", "x.y/a-2"), (".hidden", "2.hidden"), ("a/b.tar.gz", "a/b.tar-2.gz")],
)
def test_another_name_beside_one(name: str, expected: str):
    assert numbered_key(name, 2) == expected
