"""What is wrong with what was sent, told in English and in Spanish: by DRF, by Django and by our rules."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.utils import translation

from api.catalog.scientific_names import InvalidName, normalise
from api.models import Upload
from tests.backend.test_languages import speaking, vary
from tests.support.cast import PDF, Caller, announcement, code, send

LINES = (Path(__file__).parent / "data" / "refused.jsonl").read_text()
#: One refusal a line: what is asked, the field that is wrong, and what is said of it in each language.
REFUSED = [json.loads(line) for line in LINES.splitlines()]


def told(answer: Any) -> dict[str, str]:
    """What is said of each field."""
    assert code(answer) == "invalid"
    return {error["pointer"]: error["detail"] for error in answer.json()["errors"]}


# --- Fields and filters -----------------------------------------------------------------------------


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case["en"])
def test_what_is_wrong_is_told_in_both_languages(case: dict[str, Any], curator: Caller):
    curator.post("species/", {"common_name": "Lion", "scientific_name": "Panthera leo"})

    answers = [
        asking.post(case["post"], json.dumps(case["body"])) if "post" in case else asking.get(case["get"])
        for asking in (speaking(language, curator.email, "staff") for language in ("en-GB", "es-MX"))
    ]

    assert [told(answer)[case["pointer"]] for answer in answers] == [case["en"], case["es"]]
    english, spanish = ([error["code"] for error in answer.json()["errors"]] for answer in answers)
    assert english == spanish


def test_what_is_wrong_with_an_announcement_is_told(alice: Caller):
    document = alice.document()
    where = f"documents/{document['id']}/upload-url/"
    asking = speaking("es", alice.email)

    bad = announcement(filename="../x", content_type="text/html", sha256="x")
    assert told(asking.post(where, bad)) == {
        "#/filename": "Enviar un nombre de archivo simple, sin ruta ni caracteres de control.",
        "#/content_type": "Aquí no se acepta este tipo: enviar application/pdf o image/jpeg o image/png.",
        "#/sha256": "Este valor no coincide con el patrón requerido.",
    }
    large = announcement(size=10**9)
    assert told(asking.post(where, large)) == {"#/size": "Aquí se aceptan como máximo 52428800 bytes."}


def test_what_is_wrong_with_a_language_tag_is_told(alice: Caller):
    answer = speaking("es", alice.email).patch("profiles/me/", {"language": "español"})

    assert told(answer) == {"#/language": "Enviar una etiqueta de idioma como `en`, `es-MX` o `zh-Hant-TW`."}


@pytest.mark.parametrize(
    "name",
    [
        "Panthera leo" * 20,
        "Panthera\nleo",
        "Panthera f. leo",
        "Panthera leo leo leo",
        "Panthera",
        "×",
        "P4 leo",
        "Panthera ×",
        "Panthera sp.",
        "Panthera leo (L.)",
        "Rosa canina 'Assisi",
    ],
)
def test_every_rule_of_scientific_names_is_told_in_both_languages(name: str):
    said = []
    for language in ("en", "es"):
        with translation.override(language), pytest.raises(InvalidName) as refusal:
            normalise(name)
        said.append(str(refusal.value))

    assert said[0] != said[1]
    quoted = [set(re.findall("“(.*?)”", text)) for text in said]
    assert quoted[0] == quoted[1]


# --- Tickets that were refused ----------------------------------------------------------------------


def test_why_a_ticket_was_refused_is_told_to_each_in_their_language(alice: Caller):
    document = alice.document()
    ticket = alice.ticket(document)
    send(ticket, PDF + b"more")

    first = alice.complete(ticket)
    again = speaking("es", alice.email).post(ticket["complete_url"])

    sizes = len(PDF), len(PDF) + 4
    english = "Declared {} bytes, found {}.".format(*sizes)
    spanish = "Se declararon {} bytes y se encontraron {}.".format(*sizes)
    assert (code(first), first.json()["detail"]) == ("size_mismatch", english)
    assert (code(again), again.json()["detail"]) == ("size_mismatch", spanish)
    assert alice.complete(ticket).json()["detail"] == english

    for language, detail in (("en", english), ("es", spanish)):
        answer = speaking(language, alice.email).get(f"uploads/{ticket['id']}/")
        assert answer.json()["state"] == "rejected"
        assert answer.json()["problem"] == {"code": "size_mismatch", "detail": detail}
        assert "accept-language" in vary(answer)
        assert answer.headers["Content-Language"] == language


@pytest.mark.parametrize(
    "problem",
    [
        {"code": "image_invalid", "detail": "Written by an older version: 100 % of it."},
        {"code": "size_mismatch", "detail": "Words since %(changed)s.", "values": {"changed": "changed"}},
        {"code": "resource_gone", "detail": ""},
    ],
)
def test_what_no_catalogue_has_is_told_as_it_was_written(problem: dict[str, Any]):
    with translation.override("es"):
        shown = Upload(problem=problem).shown_problem

    assert shown == {"code": problem["code"], "detail": problem["detail"].replace("%(changed)s", "changed")}
