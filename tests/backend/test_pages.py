"""The pages for people who open an address of the API in a browser."""

import re
from html import unescape
from typing import Any

import pytest
from django.test import Client

from api.models import Species
from tests.api.catalog.test_catalog import picture
from tests.support.cast import Caller, Keeper, announcement, code, send

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
EVIL = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def open_page(path: str, accept: str = BROWSER, **headers: str) -> Any:
    return Client(raise_request_exception=False).get(path, headers={"accept": accept, **headers})


@pytest.fixture
def debug(settings) -> None:
    settings.DEBUG = True


def penguin(curator: Caller, **fields: Any) -> dict[str, Any]:
    body = {"common_name": "African penguin", "scientific_name": "Spheniscus demersus", "published": True}
    answer = curator.post("species/", {**body, **fields})
    assert answer.status_code == 201, answer.content
    return answer.json()


# --- The start page -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/api/"])
def test_a_browser_sees_a_page_whose_links_work(db, path: str):
    page = open_page(path)

    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    links = re.findall(r'href="http://testserver([^"]+)"', page.content.decode())
    assert len(links) >= 10
    for link in links:
        assert open_page(link).status_code in (200, 302, 401), link


@pytest.mark.parametrize("accept", ["*/*", "application/json", "", "text/plain", "nonsense"])
def test_a_program_gets_json(accept: str):
    answer = open_page("/api/", accept)

    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["name"] == "Vivarium"
    assert answer.json()["api"]["documents"] == "http://testserver/api/v1/documents/"
    assert answer.json()["docs"] == "http://testserver/api/docs/"
    assert "Accept" in answer.headers["Vary"]


def test_the_addresses_are_those_under_which_the_site_is_reached(settings):
    settings.PUBLIC_URL = "https://api.zoo.example.org"

    assert open_page("/", "*/*").json()["docs"] == "https://api.zoo.example.org/api/docs/"


def test_it_is_in_the_language_of_the_browser():
    english, spanish = open_page("/"), open_page("/", **{"accept-language": "es"})

    assert '<html lang="en">' in english.content.decode()
    assert '<html lang="es">' in spanish.content.decode()
    assert "Accept-Language" in spanish.headers["Vary"]


def test_nothing_in_it_can_run_or_come_from_elsewhere():
    page = open_page("/")

    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "style=" not in page.content.decode()
    assert "<script" not in page.content.decode()
    assert page.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/api/", "/species/african-penguin"])
@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_it_is_only_read(debug, db, path: str, method: str):
    answer = getattr(Client(enforce_csrf_checks=True), method)(path)

    assert code(answer) == "method_not_allowed"
    assert answer.headers["Allow"] == "GET, HEAD"


def test_the_example_app_is_mentioned_during_development(settings):
    settings.DEBUG = True
    assert "make spa" in open_page("/").content.decode()
    settings.DEBUG = False
    assert "make spa" not in open_page("/").content.decode()


# --- Where a QR code leads ----------------------------------------------------------------------------


def test_a_code_leads_to_the_page_of_its_species(debug, curator: Caller, settings):
    settings.PUBLIC_SITE_URL = "http://testserver"
    species = penguin(curator, description="Brays like a donkey.")

    for path in (f"/species/{species['slug']}", f"/species/{species['slug']}/"):
        page = open_page(path)
        text = page.content.decode()
        assert page.status_code == 200
        assert "<h1>African penguin</h1>" in text
        assert '<i lang="la">Spheniscus demersus</i>' in text
        assert "Brays like a donkey." in text


def test_it_shows_the_picture_in_its_sizes(debug, curator: Caller):
    penguin(curator)
    content = picture()
    declared = announcement(content, filename="a.jpg", content_type="image/jpeg")
    ticket = curator.post("species/african-penguin/upload-url/", declared).json()
    send(ticket, content)
    curator.complete(ticket)
    image = curator.get("species/african-penguin/").json()["image"]

    text = unescape(open_page("/species/african-penguin").content.decode())

    assert f'src="{image["url"]}"' in text
    assert f'srcset="{image["renditions"][0]["url"]} 40w"' in text


def test_no_text_of_the_catalogue_can_run(debug, curator: Caller):
    penguin(curator, common_name=f"A {EVIL}"[:100], description=EVIL, habitat=EVIL[:100])
    slug = Species.objects.get().slug

    text = open_page(f"/species/{slug}").content.decode()

    assert "<script" not in text
    assert "<img" not in text


@pytest.mark.parametrize(("accept", "content_type"), [(BROWSER, "text/html"), ("*/*", "application/problem")])
def test_what_is_not_published_is_not_there(debug, curator: Caller, accept: str, content_type: str):
    penguin(curator, published=False)

    for slug in ("african-penguin", "unknown"):
        answer = open_page(f"/species/{slug}", accept)
        assert answer.status_code == 404
        assert answer.headers["Content-Type"].startswith(content_type)


def test_in_production_there_is_no_such_page(curator: Caller, settings):
    settings.DEBUG = False
    penguin(curator)

    assert code(open_page("/species/african-penguin")) == "not_found"


def test_view_site_leads_to_the_public_site(db, settings):
    settings.PUBLIC_SITE_URL = "https://zoo.example.org"

    assert 'href="https://zoo.example.org"' in Keeper("root", "*").get("").content.decode()
