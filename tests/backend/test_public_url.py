"""Under a prefix, behind any proxy: what clients are told works, and every header is where it belongs."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.urls import set_script_prefix

from api.auth.development_tokens import development_token
from backend.wsgi import Application
from tests.backend.test_settings import PRODUCTION, read, refusal
from tests.support.cast import PDF, announcement
from tests.support.server import Server

PUBLIC_URL = "https://zoo.example.org/vivarium"
ORIGIN = "https://app.example.org"
#: The settings that depend on PUBLIC_URL.
NAMES = [
    "PUBLIC_URL",
    "FORCE_SCRIPT_NAME",
    "STATIC_URL",
    "SUPABASE_URL",
    "SESSION_COOKIE_PATH",
    "CSRF_COOKIE_PATH",
]


def visitor(**options: Any) -> httpx.Client:
    """An HTTP client of this process's WSGI application."""
    transport = httpx.WSGITransport(Application(), **options)
    return httpx.Client(transport=transport, base_url="http://127.0.0.1:8000")


@pytest.fixture
def mounted(db) -> Iterator[httpx.Client]:
    """The site as a proxy mounts it: the proxy cuts the prefix from the path."""
    values = read(*NAMES, DEBUG="true", PUBLIC_URL=PUBLIC_URL)
    mounted = {**dict(zip(NAMES, values, strict=True)), "CORS_ALLOWED_ORIGINS": [ORIGIN]}
    with override_settings(**mounted), visitor() as client:
        token = development_token("alice@example.org")
        client.headers.update({"authorization": f"Bearer {token}", "origin": ORIGIN})
        yield client
    set_script_prefix("/")


def path_of(url: str) -> str:
    """What the proxy makes of a URL that clients are told."""
    assert url.startswith(f"{PUBLIC_URL}/"), url
    return url.removeprefix(PUBLIC_URL)


def test_every_url_that_clients_are_told_is_public_and_works(mounted: httpx.Client):
    created = mounted.post("/api/v1/documents/", json={"title": "Feeding plan"})
    assert created.headers["Location"] == f"{PUBLIC_URL}/api/v1/documents/{created.json()['id']}/"
    document = path_of(created.headers["Location"])
    asked = mounted.post(f"{document}upload-url/", json=announcement())
    ticket = asked.json()
    assert mounted.get(path_of(asked.headers["Location"])).json()["id"] == ticket["id"]
    assert ticket["resumable"]["endpoint"].startswith(f"{PUBLIC_URL}/storage/v1/")
    assert mounted.put(path_of(ticket["url"]), content=PDF, headers=ticket["headers"]).status_code == 200

    completed = mounted.post(path_of(ticket["complete_url"]))

    assert completed.json()["state"] == "completed"
    assert mounted.get(path_of(completed.json()["resource"])).json()["file"]["size"] == len(PDF)
    signed = mounted.get(f"{document}download-url/").json()["url"]
    assert mounted.get(path_of(signed)).content == PDF


def test_pages_lead_to_the_next_one(mounted: httpx.Client):
    for _ in range(2):
        mounted.post("/api/v1/documents/", json={"title": "Feeding plan"})

    first = mounted.get("/api/v1/documents/?page_size=1").json()

    second = mounted.get(path_of(first["next"])).json()
    assert path_of(second["previous"]) == "/api/v1/documents/?page_size=1"


def test_the_api_keeps_its_headers_under_a_prefix(mounted: httpx.Client):
    answer = mounted.get("/api/v1/documents/")
    refused = mounted.get("/api/v1/nowhere/")

    assert answer.headers["Cache-Control"] == "private, no-cache"
    for each in (answer, refused):
        assert "Authorization" in each.headers["Vary"]
        assert each.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert refused.json()["code"] == "not_found"


def test_all_cookies_of_the_admin_come_back_to_it_under_a_prefix(mounted: httpx.Client):
    User.objects.create_superuser("keeper", password="a right and proper password")
    token = mounted.get("/admin/login/").cookies["csrftoken"]
    form = {"username": "keeper", "password": "a right and proper password", "csrfmiddlewaretoken": token}
    headers = {"cookie": f"csrftoken={token}", "origin": "http://127.0.0.1:8000"}

    answer = mounted.post("/admin/login/", data={**form, "next": "//evil.example"}, headers=headers)

    assert answer.headers["Location"] == "/vivarium/admin/"
    assert {cookie.name: cookie.path for cookie in answer.cookies.jar} == {
        "csrftoken": "/vivarium/",
        "sessionid": "/vivarium/",
        "admin_device": "/vivarium/admin/",
    }


def test_the_admin_keeps_its_headers_files_and_cookies_under_a_prefix(mounted: httpx.Client):
    answer = mounted.get("/admin/login/")

    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["connect-src"] == "'self' https://zoo.example.org"  # a source with a path is that path only
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Accept-Language" in answer.headers["Vary"]
    assert "Path=/vivarium/" in answer.headers["Set-Cookie"]
    assert 'action="/vivarium/admin/login/"' in answer.text
    assert 'href="/vivarium/static/vivarium/icon.svg"' in answer.text
    assert mounted.get("/static/vivarium/icon.svg").status_code == 200
    assert mounted.get("/admin/").headers["Location"] == "/vivarium/admin/login/?next=/vivarium/admin/"
    assert mounted.get("/admin/login/?x=%00").json()["code"] == "malformed"


@pytest.mark.parametrize("page", ["/api/docs/", "/api/redoc/"])
def test_the_docs_find_the_schema_and_their_scripts_under_a_prefix(mounted: httpx.Client, page: str):
    html = mounted.get(page).text

    assert "/vivarium/api/schema/" in html
    assert '"/vivarium/static/drf_spectacular_sidecar/' in html
    assert 'src="/static/' not in html


def test_the_schema_names_the_public_url():
    (described,) = read("SPECTACULAR_SETTINGS", DEBUG="true", PUBLIC_URL=PUBLIC_URL)

    assert described["SERVERS"] == [{"url": PUBLIC_URL}]


def test_without_a_public_url_clients_are_told_the_host_that_they_used(db):
    with visitor() as client:
        client.headers["authorization"] = f"Bearer {development_token('alice@example.org')}"
        headers = {
            "x-forwarded-host": "evil.example.org",
            "x-forwarded-port": "1",
            "x-forwarded-proto": "https",
        }
        created = client.post("/api/v1/documents/", json={"title": "x"}, headers=headers)

    assert created.headers["Location"].startswith("http://127.0.0.1:8000/api/v1/documents/")


@pytest.mark.parametrize("script_name", ["/api", "/api/v1", "/x", "//evil.example.org"])
def test_a_prefix_that_the_server_claims_changes_nothing(db, script_name: str):
    with visitor(script_name=script_name) as client:
        client.headers["authorization"] = f"Bearer {development_token('alice@example.org')}"
        created = client.post("/api/v1/documents/", json={"title": "x"})

    assert created.headers["Location"].startswith("http://127.0.0.1:8000/api/v1/documents/")
    assert created.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("header", ["SCRIPT_NAME", "PATH_INFO", "SCRIPT-NAME", "script_name"])
@pytest.mark.parametrize("value", ["/api", "/admin/login/"])
def test_gunicorn_takes_no_prefix_and_no_path_from_a_header(server: Server, header: str, value: str):
    answer = httpx.get(f"{server.url}/api/v1/documents/", headers={header: value})

    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


@pytest.mark.parametrize("port", ["0", "00", "65536", "99999", "000080", "9" * 5000])
def test_a_port_that_does_not_exist_is_refused(port: str):
    answer = Client().get("/livez", headers={"host": f"localhost:{port}"})

    assert answer.status_code == 400
    assert answer.json()["code"] == "malformed"


@pytest.mark.parametrize("host", ["localhost:1", "localhost:65535", "[::1]:8000", "[::1]", "localhost."])
def test_a_port_that_exists_is_accepted(settings, host: str):
    settings.ALLOWED_HOSTS = ["localhost", "[::1]"]

    assert Client().get("/livez", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "url",
    [
        "zoo.example.org",
        "ftp://zoo.example.org",
        "https://",
        "https:///vivarium",
        "https://zoo.example.org?x=1",
        "https://zoo.example.org/#x",
        "https://zoo.example.org/a b",
        "https://zoo.example.org//x",
        "https://a:b@zoo.example.org",
        "https://zoo.example.org:port",
        "https://zoo.example.org/vivärium",
    ],
)
def test_a_public_url_that_is_none_is_told_with_the_cure(url: str):
    assert refusal(**PRODUCTION, PUBLIC_URL=url).startswith("PUBLIC_URL is not a URL such as https://")


@pytest.mark.parametrize(
    "url", ["https://zoo.example.org", "http://[::1]:8000/", "https://zoo.example.org/a/b-c/"]
)
def test_a_public_url_sets_the_prefix_and_the_address_of_the_local_store(url: str):
    public, prefix, static, supabase, *cookies = read(*NAMES, **PRODUCTION, PUBLIC_URL=url)

    assert public == supabase == url.rstrip("/")
    assert prefix == urlsplit(public).path
    assert static == f"{prefix}/static/"
    assert cookies == [f"{prefix}/"] * 2
    assert read("SUPABASE_URL", **PRODUCTION, PUBLIC_URL=url, SUPABASE_URL="https://s.example.org") == [
        "https://s.example.org"
    ]
