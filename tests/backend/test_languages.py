"""In which language the API answers: that of who asks, and what caches keep does not depend on it."""

import re
from io import StringIO
from typing import Any

import httpx
import pytest
from django.conf import settings as configured
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path
from django.utils import translation

from api import errors
from api.exceptions import Refused
from backend.languages import preferred_language
from tests.support.cases import crossed
from tests.support.cast import Caller, announcement, code
from tests.support.server import ROOT, Server

SCHEMA = (ROOT / "schema.yml").read_text()
HOSTILE = [
    "es" + ",fr" * 3000,
    "x" * 10_000,
    "es-" + "a" * 10_000,
    ",".join(f"x{number}" for number in range(2000)),
    "es;q=NaN",
    "es;q=-1",
    "es;q=1e999",
    "es\0",
    "\0",
    "é",
    "../../es",
    "es/../../etc",
    ";;;,,,",
    "q=1",
    "*" * 500,
    "",
]


def refused(request: HttpRequest, name: str) -> HttpResponse:
    raise Refused(name)


urlpatterns = [path("api/refused/<str:name>", refused), path("", include("backend.urls"))]


def speaking(language: str, email: str = "", role: str = "") -> Caller:
    return Caller(email, role, **{"accept-language": language})


def vary(answer: Any) -> set[str]:
    return {name.strip().lower() for name in answer.headers.get("Vary", "").split(",")}


# --- Which language ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("es", "es"),
        ("ES", "es"),
        ("es-MX", "es"),
        ("es-419", "es"),
        ("es-Latn-AR-x-zoo", "es"),
        ("en-GB, es;q=0.8", "en"),
        ("en;q=0.3, es;q=0.8", "es"),
        ("fr-CA, fr;q=0.9, es;q=0.2", "es"),
        ("fr, *;q=0.5, es;q=0.2", "en"),
        ("es;q=0", "en"),
        ("es;q=0, en;q=0.1", "en"),
        ("*", "en"),
        ("pt", "en"),
        ("", "en"),
    ],
)
def test_the_language_that_is_liked_best_of_those_that_there_are(accepted: str, language: str):
    assert preferred_language(accepted) == language


@pytest.mark.parametrize("accepted", ["", "pt", "*", "nonsense;;", "en;q=0"])
def test_who_asks_for_none_of_them_gets_that_of_the_settings(accepted: str, settings):
    settings.LANGUAGE_CODE = "es"

    assert preferred_language(accepted) == "es"


PATHS = ["/nowhere", "/api/v1/species/", "/admin/login/", "/storage/v1/x", "/livez"]


@pytest.mark.parametrize(
    ("accepted", "where"),
    crossed({repr(header[:12]): header for header in HOSTILE}, {path: path for path in PATHS}),
)
def test_no_header_is_an_error_of_ours(accepted: str, where: str, db):
    client = Client(headers={"accept-language": accepted}, raise_request_exception=False)

    assert client.get(where).status_code in (200, 404)


def test_a_real_server_reads_ten_kilobytes_of_it(server: Server):
    headers = {"Accept-Language": "es" + ",fr" * 3333}

    assert httpx.get(f"{server.url}/nowhere", headers=headers).json()["title"] == "No encontrado"


def test_a_cookie_has_no_say(nobody: Caller):
    nobody.client.cookies[configured.LANGUAGE_COOKIE_NAME] = "es"

    assert nobody.get("nowhere/").json()["title"] == "Not Found"


def test_the_language_of_one_request_is_not_that_of_the_next(db):
    assert speaking("es").get("nowhere/").json()["title"] == "No encontrado"
    assert Caller().get("nowhere/").json()["title"] == "Not Found"
    assert translation.get_language() == "en"


# --- Problems ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", errors.ERROR_CODES)
def test_every_problem_is_told_in_both_languages(name: str, settings):
    settings.ROOT_URLCONF = __name__

    english, spanish = (speaking(language).get(f"/api/refused/{name}") for language in ("en", "es-MX"))

    assert code(english) == code(spanish) == name
    for word in ("title", "detail"):
        assert english.json()[word] != spanish.json()[word]
        assert spanish.json()[word]
    status, detail = errors.ERROR_CODES[name]
    with translation.override("en"):
        assert (english.json()["title"], english.json()["detail"]) == (errors.TITLES[status], detail)
    for answer, language in ((english, "en"), (spanish, "es")):
        assert answer.headers["Content-Language"] == language
        assert "accept-language" in vary(answer)
        assert answer.headers["Cache-Control"] == "no-store"


def test_titles_are_the_phrases_of_their_status(db):
    answers = [speaking("es").get(where) for where in ("documents/", "nowhere/", "species/?ordering=secret")]

    assert [answer.json()["title"] for answer in answers] == [
        "No autorizado",
        "No encontrado",
        "Solicitud incorrecta",
    ]


def test_a_host_that_is_none_of_ours_is_told_too():
    answer = Client(headers={"accept-language": "es", "host": "evil.example.org"}).get("/api/v1/species/")

    assert answer.json()["detail"] == "Este servidor no está configurado para el host de la solicitud."
    assert answer.headers["Content-Language"] == "es"


def test_too_many_requests_are_told_with_the_time_to_wait(alice: Caller, monkeypatch):
    monkeypatch.setattr("api.throttling.TicketRateThrottle.THROTTLE_RATES", {"tickets": "1/min"})
    document = alice.document()
    alice.ticket(document)

    answer = speaking("es", alice.email).post(f"documents/{document['id']}/upload-url/", announcement())

    assert code(answer) == "throttled"
    wait = answer.headers["Retry-After"]
    expected = rf"Demasiadas solicitudes\. Se espera que esté disponible en {wait} segundos?\."
    assert re.fullmatch(expected, answer.json()["detail"])


@pytest.mark.parametrize(
    ("body", "english", "spanish"),
    [
        ("", "Expecting value", "se esperaba un valor"),
        ("{", "Expecting property name enclosed in double quotes", "se esperaba un nombre de propiedad"),
        ('{"a"', "Expecting ':' delimiter", "se esperaba el separador ':'"),
        ('{"a":1 "b"', "Expecting ',' delimiter", "se esperaba el separador ','"),
        ("1 2", "Extra data", "sobran datos"),
        ('"a', "Unterminated string starting at", "hay una cadena sin terminar"),
        ('"\x01"', "Invalid control character at", "hay un carácter de control no válido"),
        (r'"\x"', r"Invalid \escape", "hay una secuencia de escape con \\ no válida"),
        (r'"\u12"', r"Invalid \uXXXX escape", "hay una secuencia de escape \\uXXXX no válida"),
        ("NaN", "not readable as UTF-8 JSON", "no se puede leer como JSON en UTF-8"),
    ],
)
def test_what_is_wrong_with_json_is_told(body: str, english: str, spanish: str, alice: Caller):
    answers = [speaking(language, alice.email).post("documents/", f" {body}") for language in ("en", "es")]

    assert [code(answer) for answer in answers] == ["malformed"] * 2
    assert answers[0].json()["detail"] == f"The body is not JSON: {english}."
    assert answers[1].json()["detail"].startswith(f"El cuerpo no es JSON: {spanish}")


# --- What does not depend on it ---------------------------------------------------------------------


def test_what_caches_keep_of_the_catalogue_is_the_same_in_every_language(curator: Caller):
    lion = {"common_name": "Lion", "scientific_name": "Panthera leo", "conservation_status": "VU"}
    cats = {"title": "Cats", "opens_on": "2026-12-24"}
    feeding = {"title": "Feeding", "price": "1234.50", "currency": "EUR"}
    for where, entry in (("species/", lion), ("exhibitions/", cats), ("educational-services/", feeding)):
        assert curator.post(where, {**entry, "published": True}).status_code == 201

    for where in ("species/", "species/lion/", "exhibitions/cats/", "educational-services/feeding/"):
        english, spanish = (speaking(language).get(where) for language in ("en", "es"))
        assert english.status_code == 200
        assert english.content == spanish.content
        assert english.headers["ETag"] == spanish.headers["ETag"]
        for answer in (english, spanish):
            assert "accept-language" not in vary(answer)
            assert "Content-Language" not in answer.headers

        known = speaking("es").client.get(
            f"/api/v1/{where}", headers={"if-none-match": english.headers["ETag"]}
        )
        assert known.status_code == 304
        assert vary(known) == vary(english)


@pytest.mark.parametrize("day", ["2026-12-24", "24/12/2026", "12/24/2026", "Dec 24 2026"])
def test_a_day_is_written_in_one_way_in_every_language(day: str, db):
    answers = [speaking(language).get("exhibitions/", open_on=day) for language in ("en", "es")]

    assert {answer.status_code for answer in answers} == {200 if day == "2026-12-24" else 400}


def test_what_is_answered_without_words_does_not_vary(alice: Caller):
    asking = speaking("es", alice.email)

    for where in ("documents/", "profiles/me/", "/livez", "/api/docs/", "/static/vivarium/upload.js"):
        answer = asking.get(where)
        answer.getvalue()  # read to its end, a file is closed
        assert answer.status_code == 200
        assert "accept-language" not in vary(answer)


@pytest.mark.parametrize("asked", ["", "?lang=es", "?lang=%00", "?lang=../../x"])
def test_the_schema_is_english_whoever_asks(asked: str, settings, db):
    settings.LANGUAGE_CODE = "es"

    answer = speaking("es").get(f"/api/schema/{asked}")

    assert answer.status_code == 200
    assert answer.content.decode().strip() == SCHEMA.strip()


def test_the_schema_is_english_wherever_it_is_made():
    made = StringIO()
    with translation.override("es"):
        call_command("spectacular", stdout=made)

    assert made.getvalue().strip() == SCHEMA.strip()


def test_the_storage_protocol_speaks_english(db):
    english, spanish = (
        speaking(language).get("/storage/v1/object/public/species/x") for language in ("en", "es")
    )

    assert english.status_code == spanish.status_code == 400
    assert english.content == spanish.content
    assert "accept-language" not in vary(spanish)
