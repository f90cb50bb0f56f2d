"""The admin in Spanish: Django's words, ours, and those of the script that sends pictures."""

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry

from api.models import Exhibition, Species
from tests.api.admin_site.test_admin import MODELS, change_page, entry, fill
from tests.api.catalog.test_catalog import picture
from tests.support.cast import Caller, Keeper, announcement, code, send

ENGLISH = re.compile(r"\b(the|is|are|picture|species|choose|save|delete|add|change|search|filter)\b", re.I)


@pytest.fixture
def keeper(db) -> Keeper:
    """Somebody who reads Spanish."""
    return Keeper("keeper", "*", headers={"accept-language": "es-MX,es;q=0.9,en;q=0.5"})


def text_of(page: Any) -> str:
    """What is read of a page, and what its script says."""
    html = re.sub(r"<(script|svg|style).*?</\1>", "", page.content.decode(), flags=re.DOTALL)
    html = html.replace('alt="Search"', "")  # which Django does not translate
    said = re.findall(r'\b(?:text-\w+|alt|aria-label|value|title|placeholder)="([^"]+)"', html)
    return " ".join([re.sub(r"<[^>]+>", " ", html), *said])


def told(page: Any) -> list[str]:
    return [str(message) for message in page.context["messages"]]


@pytest.mark.parametrize("kind", MODELS)
def test_no_page_has_english_left(kind: str, keeper: Keeper):
    fill(kind, range(1))
    row = MODELS[kind].objects.get()
    paths = [f"api/{kind}/", change_page(row), f"api/{kind}/add/"]

    for path in paths if kind in ("species", "exhibition", "educationalservice") else paths[:2]:
        page = keeper.get(path)
        assert page.status_code == 200
        assert '<html lang="es"' in page.content.decode()
        assert page.headers["Content-Language"] == "es"
        assert "Accept-Language" in page.headers["Vary"]
        ours = text_of(page).replace(str(row), "").replace(getattr(row, "slug", "none"), "")
        assert not ENGLISH.findall(ours), path


def test_who_reads_english_reads_english(db):
    page = Keeper("keeper", "*").get("api/species/add/")

    assert page.headers["Content-Language"] == "en"
    assert "They are sent when you save" in text_of(page)


def test_what_was_done_is_told_without_a_gender(keeper: Keeper, transactional_db):
    made = keeper.save("api/species/add/", common_name="Lobo", scientific_name="Proteles cristata")
    [species] = Species.objects.all()

    assert made.status_code == 302
    assert "Se añadió correctamente: especie “" in told(keeper.get("api/species/"))[0]
    page = keeper.save(change_page(species), _qr_code="")
    assert "Se ha creado 1 código QR." in told(keeper.get("api/species/"))
    page = keeper.get(change_page(species).replace("change", "delete"))
    assert "¿Confirmar la eliminación de especie" in text_of(page)


def test_the_rules_are_told_in_the_form(keeper: Keeper):
    page = keeper.save("api/exhibition/add/", title="Gatos", opens_on="02/12/2026", closes_on="01/12/2026")

    assert "No puede cerrar antes de abrir, el 2026-12-02." in text_of(page)
    assert not Exhibition.objects.exists()


def test_numbers_are_written_as_they_are_read(keeper: Keeper):
    entry("educationalservice", title="Noche", price="12.50", currency="EUR")

    assert "12,50 EUR" in text_of(keeper.get("api/educationalservice/"))


def test_the_script_is_answered_in_the_language_of_the_page(keeper: Keeper, curator: Caller):
    species = entry("species")
    where = change_page(species).replace("change", "ticket")
    content = picture("PNG")
    ticket = keeper.ask(
        where, announcement(content, filename="x.png", content_type="image/png", size=1)
    ).json()
    send(ticket, content)

    refused = keeper.ask(ticket["complete_url"])
    shown = keeper.get(f"api/upload/{ticket['id']}/change/")

    detail = f"Se declararon 1 bytes y se encontraron {len(content)}."
    assert (code(refused), refused.json()["detail"]) == ("size_mismatch", detail)
    assert f"size_mismatch: {detail}" in text_of(shown)
    assert "rechazado" in text_of(shown)


def test_the_history_is_read_in_any_language_whoever_wrote_it(keeper: Keeper):
    species, content = entry("species"), picture("PNG")
    where = change_page(species).replace("change", "ticket")
    announced = announcement(content, filename="x.png", content_type="image/png")
    ticket = keeper.ask(where, announced).json()
    send(ticket, content)
    assert keeper.ask(ticket["complete_url"]).status_code == 200

    history = change_page(species).replace("change", "history")

    assert "picture" in LogEntry.objects.get().change_message
    assert "imagen «x.png»." in text_of(keeper.get(history))
    assert "Added picture “x.png”." in text_of(Keeper("keeper", "*").get(history))
