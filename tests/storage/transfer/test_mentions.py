"""What texts say about files, and what they say once the files are moved."""

import json
from collections.abc import Callable

import pytest

from api.catalog.models import Species
from storage.buckets import Bucket
from storage.supabase import SupabaseStorage
from storage.transfer.file_index import FileIndex
from storage.transfer.mentions import Change, Mention, MentionFinder, changes, replace_all, reverse
from storage.transfer.references import Column

BASE = "https://project.supabase.co/storage/v1/object/public/species"
FILES = {
    "leaflets/plan.pdf": "leaflets/plan.pdf",
    "leaflets/plan.pdf.zip": "leaflets/plan.pdf.zip",
    "leaflets/plan.pdf (2).pdf": "leaflets/plan.pdf (2).pdf",
    "leaflets/map of the zoo (1).pdf": "leaflets/map of the zoo (1).pdf",
    "leaflets/guía.pdf": "leaflets/guia-12345678.pdf",
    "año.pdf": "ano-12345678.pdf",
    "docs\\ñu.pdf": "docs/nu-12345678.pdf",
    "a%20b.pdf": "a20b-12345678.pdf",
    "leaflets/5% ñu.pdf": "leaflets/5 nu-12345678.pdf",
}
GUIDE, PLAN = f"{BASE}/leaflets/guia-12345678.pdf", f"{BASE}/leaflets/plan.pdf"


@pytest.fixture(autouse=True)
def _site(settings):
    settings.SUPABASE_URL = "https://project.supabase.co"
    settings.MEDIA_URL = "/media/"
    settings.ALLOWED_HOSTS = ["zoo.example", ".zoo.test"]


def finder(
    *, public: bool = True, files: dict[str, str] = FILES, hosts: tuple[str, ...] = ()
) -> MentionFinder:
    index = FileIndex({"species": Bucket("species", public=public)})
    column = Column(Species._meta.get_field("qr_code"), "species")
    for old, new in files.items():
        index.add(column, old, new)
    return MentionFinder(index, hosts)


def rewritten(text: str, **options) -> str:
    return replace_all(text, changes(finder(**options).find(text)))


def kinds(text: str, **options) -> list[tuple[str, str]]:
    return [(each.kind, each.old) for each in finder(**options).find(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('<img src="/media/leaflets/plan.pdf">', f'<img src="{PLAN}">'),
        ("<img src=/media/leaflets/plan.pdf>", f"<img src={PLAN}>"),
        ("See /media/leaflets/plan.pdf.", f"See {PLAN}."),
        ("[plan](/media/leaflets/plan.pdf#page=2)", f"[plan]({PLAN}#page=2)"),
        ("url('/media/leaflets/plan.pdf?v=2')", f"url('{PLAN}?v=2')"),
        ("/media/leaflets/plan.pdf 1x, /media/leaflets/guía.pdf 2x", f"{PLAN} 1x, {GUIDE} 2x"),
        ("https://zoo.example/media/leaflets/plan.pdf", PLAN),
        ("http://www.zoo.test:8000/media/leaflets/plan.pdf", PLAN),
        ("//zoo.example/media/leaflets/plan.pdf", PLAN),
        ('src="../../media/leaflets/plan.pdf"', f'src="{PLAN}"'),
        ('src="./media/leaflets/plan.pdf"', f'src="{PLAN}"'),
        ("/media/leaflets/gu%C3%ADa.pdf", GUIDE),
        ("/media/leaflets/gu%c3%ada.pdf", GUIDE),
        ("/media/leaflets/gui%CC%81a.pdf", GUIDE),
        ("/media/leaflets/gui\u0301a.pdf", GUIDE),
        ('href="/media/leaflets/gu&iacute;a.pdf"', f'href="{GUIDE}"'),
        ("/media/docs/%C3%B1u.pdf", f"{BASE}/docs/nu-12345678.pdf"),
        ("/media/a%2520b.pdf", f"{BASE}/a20b-12345678.pdf"),
        (
            "/media/leaflets/map%20of%20the%20zoo%20(1).pdf",
            f"{BASE}/leaflets/map%20of%20the%20zoo%20%281%29.pdf",
        ),
        (
            '"/media/leaflets/map of the zoo (1).pdf"',
            f'"{BASE}/leaflets/map%20of%20the%20zoo%20%281%29.pdf"',
        ),
        ("/media/leaflets/plan.pdf.zip", f"{PLAN}.zip"),
        ("'/media/leaflets/plan.pdf (2).pdf'", f"'{PLAN}%20%282%29.pdf'"),
        ("/media/leaflets/plan.pdf (3).pdf", f"{PLAN} (3).pdf"),
        (r'{"a": "\/media\/leaflets\/gu\u00eda.pdf"}', f'{{"a": "{GUIDE}"}}'),
        (
            "/viewer?file=%2Fmedia%2Fleaflets%2Fplan.pdf&p=1",
            f"/viewer?file={PLAN.replace(':', '%3A').replace('/', '%2F')}&p=1",
        ),
        ("leaflets/guía.pdf", "leaflets/guia-12345678.pdf"),
        ("the file leaflets/guía.pdf, and", "the file leaflets/guia-12345678.pdf, and"),
        ("?f=leaflets%2Fgu%C3%ADa.pdf&x", "?f=leaflets%2Fguia-12345678.pdf&x"),
        ("leaflets/gui\u0301a.pdf", "leaflets/guia-12345678.pdf"),
        ("docs/ñu.pdf", "docs/nu-12345678.pdf"),
        ("docs\\ñu.pdf", "docs/nu-12345678.pdf"),
        ("the file docs\\ñu.pdf, and", "the file docs/nu-12345678.pdf, and"),
        ("leaflets/5% ñu.pdf", "leaflets/5 nu-12345678.pdf"),
        ("leaflets/5% n\u0303u.pdf", "leaflets/5 nu-12345678.pdf"),
        ("leaflets/5%25%20%C3%B1u.pdf", "leaflets/5%20nu-12345678.pdf"),
        ("<https://zoo.example/media/leaflets/plan.pdf>", f"<{PLAN}>"),
        ("HTTPS://ZOO.example/media/leaflets/plan.pdf", PLAN),
        ("«/media/leaflets/plan.pdf», “leaflets/guía.pdf”…", f"«{PLAN}», “leaflets/guia-12345678.pdf”…"),
        ("año.pdf", "ano-12345678.pdf"),
        ('"año.pdf"', '"ano-12345678.pdf"'),
    ],
)
def test_links_and_names_become_those_of_the_moved_files(text: str, expected: str):
    assert rewritten(text) == expected
    assert rewritten(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "https://other.example/media/leaflets/plan.pdf",
        "https://zoo.example.org/media/leaflets/plan.pdf",
        "https://other.example/x/media/leaflets/plan.pdf",
        "/static/media/leaflets/plan.pdf",
        "social-media/leaflets/plan.pdf",
        "leaflets/plan.pdf",
        "leaflets/guía.pdf.bak",
        "other/leaflets/guía.pdf",
        "leaflets/guía.pdfs",
        "un año.pdf cualquiera",
        "/media/",
        "</media/>",
        PLAN,
        "",
    ],
)
def test_other_texts_are_no_mentions(text: str):
    assert kinds(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<a href='/media/leaflets/plan.pdfx'>", [("unmoved", "/media/leaflets/plan.pdfx")]),
        ("/media/editor/photo.png?w=3", [("unmoved", "/media/editor/photo.png")]),
        ("https://zoo.example/media/x.png", [("unmoved", "https://zoo.example/media/x.png")]),
    ],
)
def test_links_to_files_that_no_row_names_are_told(text: str, expected: list[tuple[str, str]]):
    assert kinds(text) == expected
    assert rewritten(text) == text


def test_no_text_can_link_to_a_private_bucket_but_it_can_name_its_files():
    text = "/media/leaflets/plan.pdf and leaflets/guía.pdf"

    assert kinds(text, public=False) == [
        ("private", "/media/leaflets/plan.pdf"),
        ("name", "leaflets/guía.pdf"),
    ]
    assert rewritten(text, public=False) == "/media/leaflets/plan.pdf and leaflets/guia-12345678.pdf"


def test_hosts_that_the_settings_do_not_tell_are_left_until_they_are_named(settings):
    settings.ALLOWED_HOSTS = ["*"]
    text = "https://zoo.example/media/leaflets/plan.pdf"

    assert kinds(text) == [("host", text)]
    assert rewritten(text) == text
    assert rewritten(text, hosts=("zoo.example",)) == PLAN
    assert kinds(text, hosts=("other.example",)) == []


def test_the_media_url_may_have_a_host(settings):
    settings.MEDIA_URL = "https://cdn.zoo.test/files/"

    assert rewritten("https://cdn.zoo.test/files/leaflets/plan.pdf") == PLAN
    assert kinds("https://zoo.example/files/leaflets/plan.pdf /files/leaflets/plan.pdf") == []


def test_without_a_media_url_only_known_files_are_mentions(settings):
    settings.MEDIA_URL = "/"

    assert rewritten("<p>/leaflets/plan.pdf</p>/about/") == f"<p>{PLAN}</p>/about/"
    assert [kind for kind, _ in kinds("/about/ /leaflets/plan.pdf")] == ["link"]


def test_links_of_the_local_store_become_those_of_the_project():
    text = "http://zoo.example/storage/v1/object/public/species/leaflets/plan.pdf"

    assert rewritten(text) == PLAN
    assert kinds(text.replace("plan", "other")) == []


def test_the_project_may_have_the_host_of_the_site(settings):
    settings.SUPABASE_URL = "https://zoo.example"
    plan = "https://zoo.example/storage/v1/object/public/species/leaflets/plan.pdf"

    assert rewritten("https://zoo.example/media/leaflets/plan.pdf") == plan
    assert kinds(plan) == []


def test_a_bucket_with_a_cdn_has_its_urls(monkeypatch):
    store = SupabaseStorage("species", public=True, base_url="https://zoo.example/media")
    monkeypatch.setattr(Species._meta.get_field("qr_code"), "storage", store)

    assert rewritten("/media/leaflets/plan.pdf") == "https://zoo.example/media/leaflets/plan.pdf"
    assert kinds("https://zoo.example/media/leaflets/plan.pdf") == []


def test_half_a_character_in_json_is_no_error():
    found = list(finder().find_in_json(r'["/media/\ud800.pdf"]'))

    assert [each.kind for mentions, _ in found for each in mentions] == ["unmoved"]


def test_half_a_character_beside_a_link_stays_escaped():
    text = r'["ñ \ud800 /media/leaflets/plan.pdf"]'
    [(_, change)] = finder().find_in_json(text)
    changed = replace_all(text, [change])

    assert json.loads(changed) == [f"ñ \ud800 {PLAN}"]
    assert changed.isascii()


def test_many_names_are_found_by_fewer_of_their_first_characters(monkeypatch):
    monkeypatch.setattr("storage.transfer.file_index.MAX_HEADS", 3)
    files = {f"{letter}{letter}/ñ.pdf": f"{letter}.pdf" for letter in "abcdefg"}

    assert finder(files=files).index.head_length == 1
    assert rewritten("aa/ñ.pdf gg/ñ.pdf x/ñ.pdf", files=files) == "a.pdf g.pdf x/ñ.pdf"


def test_a_name_that_two_files_had_is_not_changed():
    index = finder().index
    index.add(
        Column(Species._meta.get_field("qr_code"), "species"), "leaflets/guía.pdf", "leaflets/other.pdf"
    )

    assert [each.kind for each in MentionFinder(index).find("leaflets/guía.pdf")] == ["ambiguous"]


def test_names_that_differ_in_their_normal_form_only_stay_two():
    files = {"gu\u00eda/a.pdf": "one/a.pdf", "gui\u0301a/a.pdf": "two/a.pdf"}

    assert rewritten("gu\u00eda/a.pdf gui\u0301a/a.pdf", files=files) == "one/a.pdf two/a.pdf"


def test_json_stays_json_and_the_rest_of_it_the_same_to_the_byte():
    text = (
        '{"b":1.00000000000000000001, "a" : ["leaflets/gu\\u00eda.pdf", "\\ud83e\\udd81 /media/x.png"],\n'
        ' "leaflets/gu\\u00eda.pdf": "<a href=\\"/media/leaflets/gu\\u00eda.pdf\\">\\n", "b": null}'
    )
    found = list(finder().find_in_json(text))
    changed = replace_all(text, [change for _, change in found if change])

    assert changed == text.replace('"leaflets/gu\\u00eda.pdf", ', '"leaflets/guia-12345678.pdf", ').replace(
        "/media/leaflets/gu\\u00eda.pdf", GUIDE
    )
    assert json.loads(changed)["a"][1] == "🦁 /media/x.png"
    assert [each.kind for mentions, _ in found for each in mentions] == ["name", "unmoved", "key", "link"]


def test_what_was_replaced_can_be_put_back():
    text = "año /media/leaflets/guía.pdf leaflets/guía.pdf /media/leaflets/plan.pdf!"
    made = changes(finder().find(text))

    assert len(made) == 3
    assert replace_all(replace_all(text, made), reverse(made)) == text


@pytest.mark.parametrize(
    "hostile",
    [
        lambda size: "/media/" * size,
        lambda size: "/media/" + "(" * size,
        lambda size: "leaflets/gu" * size,
        lambda size: " leaflets/guía" * size,
        lambda size: "../" * size,
        lambda size: "//" * size,
        lambda size: "https://" + "a" * size,
        lambda size: "a" * size,
    ],
)
def test_the_time_for_a_text_grows_with_its_length_and_no_faster(hostile: Callable[[int], str]):
    """With a quadratic pattern this would take minutes."""
    assert all(isinstance(each, Mention) for each in finder().find(hostile(20_000)))


def test_changes_of_nothing_change_nothing():
    assert replace_all("", []) == ""
    assert reverse([Change(0, "ab", "c"), Change(5, "d", "ef")]) == [
        Change(0, "c", "ab"),
        Change(4, "ef", "d"),
    ]
