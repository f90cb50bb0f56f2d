"""Text that people write is stored in one spelling, without what nobody can see."""

import unicodedata
from random import Random

import pytest
from django.core.exceptions import ValidationError

from api.models import Document, Profile, Species
from api.text import clean
from tests.support.cast import Caller, Keeper, code

DECOMPOSED, COMPOSED = "Gui\u0301a", "Gu\u00eda"
HIDDEN = "\u200fGui\u0301\u200ba\u00ad\u2066\u2069\ufeff\U000e0041\u200d"  # reads `Guía`


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        (DECOMPOSED, COMPOSED),
        (HIDDEN, COMPOSED),
        ("\u200ePanthera\u200e leo\u061c", "Panthera leo"),
        ("pay\u200cpal pay\u200dpal", "paypal paypal"),
        ("e\u200b\u0301", "\u00e9"),  # what was apart is composed
        ("\u202aembedded\u202c", "embedded"),
        ("blank\u3164\uffa0\u115f\u034f", "blank"),
        ("a\ufe0f 1\ufe0f x\U000e0100", "a 1 x"),
        ("\U0001f44d\U000e0061\U000e007f", "\U0001f44d"),
        ("\u0639\u0644\u06cc\u200c", "\u0639\u0644\u06cc"),
        ("\U0001f469\u200d", "\U0001f469"),
        ("\u200b\u2060", ""),
        ("a\nb\tc", "a\nb\tc"),
    ],
    ids=ascii,
)
def test_what_nobody_sees_is_dropped(text: str, cleaned: str):
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian
        "\u0645\u06cc\u0651\u200c\u062e",  # with a mark between
        "\u0647\u200d.\u0642",  # a letter that is shown as if it were joined
        "\u0915\u094d\u200d\u0937 \u0915\u094d\u200c\u0937",  # Hindi
        "\u09b0\u200d\u09cd\u09af",  # Bengali
        "\u0dc1\u0dca\u200d\u0dbb\u0dd3",  # Sinhala
        "\u182d\u180b",  # Mongolian
        "\u845b\U000e0100\u57ce",  # a Japanese name with a variant of a character
        "\U0001f469\u200d\U0001f680",  # a woman and a rocket: an astronaut
        "\U0001f9d1\U0001f3fd\u200d\U0001f91d\u200d\U0001f9d1\U0001f3fb",
        "\u2764\ufe0f\u200d\U0001f525",
        "\U0001f3f3\ufe0f\u200d\u26a7\ufe0f",
        "\U0001f3f4\u200d\u2620\ufe0f",
        "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",  # Scotland
        "1\ufe0f\u20e3 #\ufe0f\u20e3 \u2139\ufe0f \u203c\ufe0f",
        "\u0661\u06dd \u05e9\u05dc\u05d5\u05dd \u65e5\u672c\u8a9e",
    ],
    ids=ascii,
)
def test_what_changes_the_characters_around_it_is_kept(text: str):
    assert clean(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    ("character", "name"), [("\u202e", "RIGHT-TO-LEFT OVERRIDE"), ("\u202d", "LEFT-TO-RIGHT OVERRIDE")]
)
def test_an_override_is_refused_by_its_name(character: str, name: str):
    with pytest.raises(ValidationError, match=f"U\\+{ord(character):04X}, {name}"):
        clean(f"plan{character}fdp.exe")


def test_cleaning_again_changes_nothing():
    pieces = [*"ae\u0301\u0327\n 1", *HIDDEN, *"\u200c\ufe0f\u2764\u06cc\u0915\u094d\u20e3\u845b"]
    pieces += ["\U0001f469", "\U0001f3f4", "\U000e0067", "\U000e007f", "\U000e0100", "\u1100", "\u1161"]
    random = Random(7)
    for _ in range(5000):
        once = clean("".join(random.choices(pieces, k=random.randint(1, 9))))
        assert clean(once) == once
        assert unicodedata.is_normalized("NFC", once)


def test_a_heap_of_accents_is_refused_before_it_is_sorted():
    """Sorting them takes quadratic time: hours for this text."""
    with pytest.raises(ValidationError, match="At most 30 accents"):
        clean("a" + "\u0301\u0316" * 500_000)
    assert len(clean("a" + "\u0316" * 29 + "\u0301")) == 30


# --- Wherever people write ----------------------------------------------------------------------------


def test_each_text_of_the_api_is_cleaned(alice: Caller, curator: Caller):
    document = alice.document(title=HIDDEN, description=f"{HIDDEN}\n{HIDDEN}", category=HIDDEN)
    alice.patch("profiles/me/", {"display_name": HIDDEN, "bio": HIDDEN})
    animal = {"common_name": HIDDEN, "scientific_name": "Panthera\u200b leo", "family": HIDDEN}
    species = curator.post("species/", animal).json()

    stored = Document.objects.get(pk=document["id"])
    assert (stored.title, stored.description) == (COMPOSED, f"{COMPOSED}\n{COMPOSED}")
    assert stored.category == COMPOSED
    profile = Profile.objects.get(pk=alice.id)
    assert (profile.display_name, profile.bio) == (COMPOSED, COMPOSED)
    assert species["common_name"] == species["family"] == COMPOSED
    assert (species["scientific_name"], species["slug"]) == ("Panthera leo", "guia")


def test_a_filter_finds_the_text_however_it_is_written(alice: Caller, curator: Caller, nobody: Caller):
    alice.document(category=COMPOSED)
    animal = {"common_name": "Lion", "scientific_name": "Panthera leo", "published": True}
    curator.post("species/", {**animal, "family": COMPOSED})

    assert alice.get("documents/", category=DECOMPOSED).json()["count"] == 1
    assert nobody.get("species/", family=HIDDEN).json()["count"] == 1
    assert code(alice.get("documents/", category="\u202ea")) == "invalid"


@pytest.mark.parametrize(
    ("title", "error"),
    [
        ("\u200b \u200d\ufeff", "blank"),
        ("\u202eexe", "bidi_override"),
        ("e\u0301" * 201, "max_length"),
        ("a" + "\u0301" * 31, "too_many_accents"),
    ],
)
def test_a_title_is_checked_as_it_would_be_stored(title: str, error: str, alice: Caller):
    answer = alice.post("documents/", {"title": title})

    assert code(answer) == "invalid"
    assert [(each["pointer"], each["code"]) for each in answer.json()["errors"]] == [("#/title", error)]


def test_a_text_is_as_long_as_it_is_stored(alice: Caller):
    document = alice.document(title="\u200b" + "e\u0301" * 200)

    assert document["title"] == "\u00e9" * 200


def test_the_admin_follows_the_same_rule(db):
    keeper = Keeper("curator", "*")
    form = {"common_name": HIDDEN, "scientific_name": "Panthera leo", "conservation_status": "LC"}

    assert keeper.post("api/species/add/", form).status_code == 302
    refused = keeper.post("api/species/add/", {**form, "common_name": "\u202eexe"})
    blank = keeper.post("api/species/add/", {**form, "common_name": "\u200b"})

    assert Species.objects.get().common_name == COMPOSED
    assert "RIGHT-TO-LEFT OVERRIDE" in refused.text
    assert blank.context["adminform"].form.errors.as_data()["common_name"][0].code == "required"


def test_the_names_of_people_in_the_admin_follow_it_too(db):
    keeper = Keeper("curator", "*")
    form = keeper.get(f"auth/user/{keeper.user.pk}/change/").context["adminform"].form

    assert form.fields["last_name"].clean(HIDDEN) == COMPOSED
