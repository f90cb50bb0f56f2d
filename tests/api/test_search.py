"""Search finds without regard to case, accents and normal form, on SQLite and PostgreSQL alike."""

import os
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.db import connection
from django.db.models import Value
from django.db.models.functions import Concat

from api.filters import BoundedSearchFilter
from api.models import EducationalService, Exhibition, Species, Upload
from api.search import fold
from tests.storage.project import empty_database, server_url, skip_without_postgresql
from tests.support.cast import Caller, Keeper
from tests.support.server import ROOT

NAME = "Ñandú común"


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def species(name: str = NAME, **fields: Any) -> Species:
    made = Species(common_name=name, scientific_name=f"Rhea {uuid4()}", published=True, **fields)
    made.create()
    return made


def found(who: Caller, path: str, search: str) -> list[str]:
    """What the results are called."""
    answer = who.get(path, search=search)
    assert answer.status_code == 200, answer.content
    names = ("common_name", "title", "display_name")
    return [row[name] for row in answer.json()["results"] for name in names if name in row]


# --- Folding ------------------------------------------------------------------------------------------

SAME = [
    (NAME, "NANDU COMUN"),
    (NAME, nfd(NAME)),
    ("Przewalski's", "przewalski’s"),
    ("Przewalski's", "Przewalski´s"),
    ("ʻiʻiwi", "iiwi"),
    ("Weißkopfseeadler", "WEISSKOPFSEEADLER"),
    ("STRAẞE", "straße"),
    ("Ærø and Łódź", "aero and lodz"),
    ("Đồng", "dong"),
    ("ISPARTA İzmir ısı", "isparta izmir isi"),
    ("ΌΡΝΙΣ", "ορνις"),
    ("ёж", "ЕЖ"),
    ("한국", nfd("한국")),
    ("パンダ", nfd("パンダ")),
    ("Ｐａｎｄａ\u3000①", "panda 1"),
    ("\ufb01sh", "fish"),
    ("مُحَمَّد أسد", "محمد اسد"),
    ("שָׁלוֹם", "שלום"),
    ("black\u2011footed – ferret", "black-footed - ferret"),
    ("Panthera × leo", "panthera x leo"),
    ("❤️ pan\u200bda", "❤ panda"),
    ("葛\U000e0100城", "葛城"),
    ("ᠮ\u180bᠣᠷᠢ", "ᠮᠣᠷᠢ"),
]
DIFFERENT = [("パンダ", "ハンタ"), ("कि", "कु"), ("熊猫", "熊貓"), ("🦁", "🐯"), ("ab", "a b")]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_these_are_the_same_to_search(one: str, other: str):
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_these_are_not(one: str, other: str):
    assert fold(one) != fold(other)


def test_a_lone_surrogate_is_folded_to_itself():
    assert fold("A\ud800") == "a\ud800"


def test_the_database_folds_every_character_as_we_do(db):
    """Those of Unicode 3.2, whose properties no later version may change."""
    known = unicodedata.ucd_3_2_0
    characters = [
        chr(point) for point in range(1, 0x110000) if known.category(chr(point)) not in ("Cn", "Co", "Cs")
    ]
    # Between letters, because the end of a word makes another sigma of some.
    text = "".join(f"aA{character}{character}Z\n" for character in characters)
    folded = fold(text)

    with connection.cursor() as cursor:
        cursor.execute("SELECT VIVARIUM_FOLD(%s)", [text])
        [theirs] = cursor.fetchone()

    differing = [
        (hex(ord(character)), ours, line)
        for character, ours, line in zip(characters, folded.split("\n"), theirs.split("\n"), strict=False)
        if ours != line
    ]
    assert differing == []
    assert theirs == folded == fold(folded)


def test_nothing_is_folded_to_nothing(db):
    with connection.cursor() as cursor:
        cursor.execute("SELECT VIVARIUM_FOLD(NULL), VIVARIUM_FOLD('')")
        assert cursor.fetchone() == (None, "")


# --- The API ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("search", "is_found"),
    [
        *(
            (text, True)
            for text in ("nandu", "ÑANDÚ", nfd("ñandú"), "COMUN ñan", "and", '"u comun"', "´nandu")
        ),
        *(
            (text, True)
            for text in ("przewalski's", "Przewalski’s", "przewalskis", "przewalski's wild rock'n'roll's")
        ),
        *((text, True) for text in ("100%", "snake_case", "back\\slash", "ß", "STRASSE", "\u0301", "“wild”")),
        *(
            (text, False)
            for text in ("nandu emu", '"comun nandu"', "1%0", "snake-case", "s_ake", "%%", "k\\\\s")
        ),
        *((text, False) for text in ("x" * 4000, "\ufb03" * 20_000, "%" * 60_000, "🦁")),
    ],
)
def test_a_visitor_finds_what_has_every_word(search: str, is_found: bool, nobody: Caller):
    text = "Przewalski's horse, 100% “wild”, snake_case back\\slash rock’n’roll’s Straße"
    species(description=text)

    assert found(nobody, "species/", search) == [NAME] * is_found


@pytest.mark.parametrize("spelling", ["nandu", nfd("ÑANDÚ")])
def test_every_list_finds_so(spelling: str, nobody: Caller, alice: Caller, curator: Caller):
    species()
    Exhibition(title=NAME, published=True).create()
    EducationalService(title=NAME, published=True).create()
    alice.document(title=NAME)
    alice.patch("profiles/me/", {"display_name": NAME})

    lists = ("species/", "exhibitions/", "educational-services/", "documents/", "profiles/")
    assert [found(curator, path, spelling) for path in lists[:3]] == [[NAME]] * 3
    assert found(alice, "documents/", spelling) == [NAME]
    assert found(curator, "profiles/", spelling) == [NAME]


def test_half_a_character_finds_nothing(nobody: Caller):
    species()

    assert nobody.get("species/?search=%ED%A0%BD").json()["results"] == []


def test_no_phrase_spans_two_fields(nobody: Caller):
    species("Emu")

    assert found(nobody, "species/", '"emu rhea"') == []
    assert found(nobody, "species/", "emu rhea") == ["Emu"]


def test_too_many_words_are_refused_also_if_folding_makes_them(nobody: Caller):
    for search in ("é " * 21, "é," * 500, "\ufdfa " * 6):  # the last one is a sentence of four words
        answer = nobody.get("species/", search=search)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


# --- Every write --------------------------------------------------------------------------------------


def write_many(row: Species) -> None:
    row.delete()
    Species.objects.bulk_create([Species(common_name=NAME, slug="x", scientific_name="X", published=True)])


def write_by_expression(row: Species) -> None:
    Species.objects.update(common_name=Concat(Value("Ñandú "), Value("común")))


def write_in_bulk(row: Species) -> None:
    row.common_name = NAME
    Species.objects.bulk_update([row], ["common_name"])


def write_one_column(row: Species) -> None:
    row.common_name = NAME
    row.save(update_fields=["common_name"])


def write_by_sql(row: Species) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE api_species SET common_name = %s", [NAME])


def write_by_the_api(row: Species) -> None:
    answer = Caller("curator@example.org", role="staff").patch(f"species/{row.slug}/", {"common_name": NAME})
    assert answer.status_code == 200


def write_in_the_admin(row: Species) -> None:
    saved = Keeper("keeper", "*").save(f"api/species/{row.pk}/change/", common_name=NAME)
    assert saved.status_code == 302


WRITES = [
    write_many,
    write_by_expression,
    write_in_bulk,
    write_one_column,
    write_by_sql,
    write_by_the_api,
    write_in_the_admin,
]


@pytest.mark.parametrize("write", WRITES)
def test_no_write_leaves_an_old_text_behind(write: Any, nobody: Caller):
    row = species("Emu")
    Species.objects.update(scientific_name="Dromaius novaehollandiae")

    write(row)

    assert found(nobody, "species/", "nandu") == [NAME]
    assert found(nobody, "species/", "emu") == []


# --- The admin ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("search", ["NANDU", nfd("ñandú"), "keeper's co'mun"])
def test_the_admin_finds_so_too(search: str, alice: Caller, db):
    keeper = Keeper("keeper's ñandú común", "*")
    text = f"{NAME} keeper’s"
    species(text)
    Exhibition(title="x", location=text).create()
    EducationalService(title="x", audience=text).create()
    alice.patch("profiles/me/", {"display_name": text})
    alice.ticket(alice.document(category=text), filename=f"{text}.pdf")

    for kind in ("species", "exhibition", "educationalservice", "profile", "document", "upload"):
        page = keeper.get(f"api/{kind}/", q=search)
        assert page.context["cl"].result_count == 1, kind
    assert keeper.get("auth/user/", q=search).context["cl"].result_count == 1
    asked = {"app_label": "api", "model_name": "exhibition", "field_name": "species", "term": search}
    assert len(keeper.get("autocomplete/", **asked).json()["results"]) == 1


# --- The indexes --------------------------------------------------------------------------------------

INDEXES = "SELECT indexname FROM pg_indexes WHERE indexname ~ '_search$' ORDER BY 1"


@pytest.fixture
def poor() -> Iterator[tuple[str, str]]:
    """A database, and a role that may create nothing in it but what is in the schema `vivarium`."""
    skip_without_postgresql()
    role = f"vivarium_{uuid4().hex[:12]}"
    with psycopg.connect(server_url(), autocommit=True) as server, empty_database() as name:
        server.execute(f"CREATE ROLE {role} LOGIN")
        with psycopg.connect(server_url(), dbname=name, autocommit=True) as database:
            database.execute(f"CREATE SCHEMA vivarium AUTHORIZATION {role}")
        yield name, role
        with psycopg.connect(server_url(), dbname=name, autocommit=True) as database:
            database.execute(f"DROP OWNED BY {role} CASCADE")
        server.execute(f"DROP ROLE {role}")


@pytest.mark.slow
def test_without_the_right_to_create_the_extension_search_works_and_migrate_says_what_to_do(
    poor: tuple[str, str],
):
    name, role = poor

    def manage(*command: str) -> str:
        """What it says that is not its result."""
        url = f"postgres://{role}@127.0.0.1:5432/{name}"
        settings = {"DJANGO_SETTINGS_MODULE": "backend.settings", "DEBUG": "true", "ENV_FILE": os.devnull}
        return subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env={**os.environ, **settings, "DATABASE_URL": url, "DATABASE_SCHEMA": "vivarium"},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stderr

    said = manage("migrate", "-v0")
    assert "CREATE EXTENSION pg_trgm" in said
    assert "permission denied" in said
    look = f"from api.models import *; Profile.objects.create(pk='{uuid4()}', display_name='{NAME}')"
    manage("shell", "-v0", "-c", f"{look}; assert Profile.objects.filter(search_text__icontains='NANDU')")

    with psycopg.connect(server_url(), dbname=name, autocommit=True) as database:
        database.execute("CREATE SCHEMA extensions")
        database.execute(f"GRANT USAGE ON SCHEMA extensions TO {role}")
        database.execute("CREATE EXTENSION pg_trgm SCHEMA extensions")
        assert manage("migrate", "--plan") == ""
        assert database.execute(INDEXES).fetchall() == []
        assert manage("migrate", "-v0") == ""
        tables = ("document", "educationalservice", "exhibition", "profile", "species")
        assert [index for (index,) in database.execute(INDEXES)] == [f"api_{each}_search" for each in tables]
        assert manage("migrate", "-v0") == ""


def test_a_model_without_the_column_has_no_parameter():
    for model, names in ((Species, ["search"]), (Upload, [])):
        view = SimpleNamespace(queryset=model.objects.none())
        parameters = BoundedSearchFilter().get_schema_operation_parameters(view)
        assert [parameter["name"] for parameter in parameters] == names
