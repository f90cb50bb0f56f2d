"""Fixtures that every test may use."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from time import monotonic
from uuid import uuid4

import psycopg
import pytest
from django.core.cache import cache

from api.auth import jwks_cache, jwks_client, verified_tokens
from backend import outages
from storage import url_cache
from tests.support.auth_server import KeyServer
from tests.support.cast import Caller
from tests.support.npm import install
from tests.support.project import Project, hang_up
from tests.support.proxy import Proxy
from tests.support.server import CLIENTS, ROOT, Server, shared_server, stop_shared_server
from tests.support.site import Site

STORES = count()
YEARS_AGO = count(10**9, -(10**5))  # seconds; each use is later than the one before


@pytest.fixture(autouse=True)
def _own_media_and_cache(settings, tmp_path_factory) -> None:
    """Without `tmp_path`, which takes as long as a small test: it looks for a free name and makes a link."""
    folder = f"{tmp_path_factory.getbasetemp()}/store-{next(STORES)}"
    os.mkdir(folder)
    settings.MEDIA_ROOT = f"{folder}/media"
    cache.clear()
    outages.forget()
    verified_tokens.forget()
    url_cache.forget()


@pytest.fixture
def alice(db) -> Caller:
    return Caller("alice@example.org")


@pytest.fixture
def bob(db) -> Caller:
    return Caller("bob@example.org")


@pytest.fixture
def curator(db) -> Caller:
    return Caller("curator@example.org", role="staff")


@pytest.fixture
def nobody(db) -> Caller:
    return Caller()


class Clock:
    """The time of the signing keys, which passes when a test says so."""

    def __init__(self) -> None:
        self.time = 1_000_000.0

    def __call__(self) -> float:
        return self.time

    def forward(self, seconds: float) -> None:
        """... and everybody who keeps keys looks what there is to do."""
        self.time += seconds
        jwks_client.client().refresh_if_due()


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(jwks_client, "now", clock)
    return clock


@pytest.fixture
def key_server(settings, clock: Clock) -> Iterator[KeyServer]:
    with KeyServer() as server:
        settings.SUPABASE_JWKS_URL = server.url
        yield server
        server.open.set()
        jwks_client.close_all()


@pytest.fixture
def others(clock: Clock, key_server: KeyServer) -> Iterator[list[jwks_client.JWKSClient]]:
    """What other processes have in their memory: all they share with this one is the cache."""
    sources = [jwks_client.JWKSClient(key_server.url) for _ in range(4)]
    yield sources
    key_server.open.set()
    for source in sources:
        source.close()


@pytest.fixture
def broken_cache(settings, monkeypatch) -> None:
    """Redis on a port where nobody listens.

    A cache that failed is not asked for some seconds: here they are long past for the tests that follow.
    """
    years_ago = next(YEARS_AGO)
    monkeypatch.setattr(jwks_cache, "monotonic", lambda: monotonic() - years_ago)
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:9/0",
        }
    }


@pytest.fixture(scope="session", autouse=True)
def _servers(tmp_path_factory, worker_id: str) -> Iterator[None]:
    """Let all servers of a test run copy one migrated database, and stop the shared one at the end."""
    base = tmp_path_factory.getbasetemp()
    Server.template = (base if worker_id == "master" else base.parent) / "migrated.sqlite3"
    yield
    stop_shared_server()


@pytest.fixture(scope="session")
def server() -> Server:
    """A gunicorn with two workers that all tests share: leave nothing behind that would disturb others."""
    return shared_server()


@pytest.fixture(scope="session")
def server_on_postgresql(tmp_path_factory) -> Iterator[Server]:
    """A gunicorn with a PostgreSQL database of its own."""
    name = f"vivarium_{uuid4().hex[:12]}"
    try:
        admin = psycopg.connect("host=127.0.0.1 user=root dbname=test", autocommit=True, connect_timeout=5)
    except psycopg.OperationalError:
        missing("no PostgreSQL on 127.0.0.1:5432: whether its locks hold was not looked at")
    with admin:
        admin.execute(f"CREATE DATABASE {name}")
        try:
            url = f"postgres://root@127.0.0.1:5432/{name}"
            with Server(tmp_path_factory.mktemp("postgresql"), DATABASE_URL=url) as running:
                yield running
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def npm() -> None:
    """The packages of the JavaScript clients, as the lock file pins them."""
    if not (shutil.which("node") and shutil.which("npm")):
        missing("node and npm are needed to run the JavaScript clients")
    install(CLIENTS)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser of the distribution: none is downloaded."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return found or missing("chromium is needed to look at the pages")


def missing(what: str) -> str:
    """Continuous integration has everything, and skips nothing."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def _telephone() -> Iterator[None]:
    yield
    hang_up()


@pytest.fixture
def project(server: Server, settings, _telephone: None) -> Iterator[Project]:
    """A Supabase project to set up and to look at; the settings point at it, with its service key."""
    there = Project(server.url)
    before = there.buckets()
    settings.SUPABASE_URL, settings.SUPABASE_SECRET_KEY = there.url, there.key
    yield there
    there.restore(before)
    there.http.close()


@pytest.fixture
def front(project: Project, settings) -> Iterator[Proxy]:
    """A gateway before the project; the settings point at it."""
    with Proxy(project.url) as standing:
        settings.SUPABASE_URL = standing.url
        yield standing


@pytest.fixture(scope="session")
def service_key(server: Server) -> Iterator[str]:
    yield server.service_key()
    hang_up()


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Path:
    """The foreign project's empty database."""
    path = tmp_path_factory.mktemp("foreign") / "empty.sqlite3"
    subprocess.run(
        [sys.executable, "-m", "django", "migrate", "--run-syncdb", "-v0"],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.foreign.settings", "FOREIGN_DATABASE": str(path)},
        check=True,
    )
    return path


@pytest.fixture
def site(tmp_path: Path, template: Path, server: Server, service_key: str) -> Site:
    return Site(tmp_path, template, server, service_key, f"b{uuid4().hex}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that asks Django's database: only these can turn out otherwise on PostgreSQL.

    A running server has a SQLite database of its own, whatever `TEST_DATABASE_URL` says.
    """
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if item.get_closest_marker("django_db") or {"db", "transactional_db"}.intersection(fixtures):
            item.add_marker("database")
