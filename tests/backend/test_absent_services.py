"""A server that starts before its database, cache or storage says so, and works when they are there."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.storage.project import empty_database, skip_without_postgresql
from tests.support.cast import announcement
from tests.support.server import Server
from tests.support.tcp_proxy import TCPProxy
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

SPECIES = "/api/v1/species/"


class EarlyServer(Server):
    """Started, but not waited for until it is ready."""

    ready_path = "/livez"


@pytest.fixture
def database() -> Iterator[str]:
    skip_without_postgresql()
    with empty_database() as name:
        yield name


@pytest.fixture
def proxy() -> Iterator[TCPProxy]:
    """Before PostgreSQL. Nothing listens there until it is started."""
    with TCPProxy(("127.0.0.1", 5432)) as standing:
        yield standing


@contextmanager
def started(folder: Path, **environment: str) -> Iterator[EarlyServer]:
    server = EarlyServer(folder, workers=1, **environment)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def ask(server: Server, path: str, **options: Any) -> httpx.Response:
    return httpx.request(
        options.pop("method", "GET"), f"{server.url}{path}", verify=False, timeout=30, **options
    )


def test_without_a_database_it_says_so_and_works_when_it_is_there(
    database: str, proxy: TCPProxy, tmp_path: Path
):
    Server(tmp_path, DATABASE_URL=f"postgres://root@127.0.0.1:5432/{database}").manage("migrate", "-v0")
    url = f"postgres://root@127.0.0.1:{proxy.port}/{database}"
    with started(tmp_path, DATABASE_URL=url, SWEEP_EVERY="1") as server:
        assert ask(server, "/livez").status_code == 200
        not_ready = ask(server, "/readyz")
        assert (not_ready.status_code, not_ready.json()["part"]) == (503, "database")
        for _ in range(3):
            answer = ask(server, SPECIES)
            assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
            assert answer.headers["Retry-After"] == "5"
        log = server.log.read_text()
        assert "Traceback" not in log
        assert log.count("Connection refused") <= 4, (
            log
        )  # of the API, the pool and the sweep, once a minute each

        proxy.start()
        wait_until(lambda: ask(server, "/readyz").status_code == 200)
        assert ask(server, SPECIES).status_code == 200

        proxy.cut()  # the database starts again
        answers = [ask(server, SPECIES).status_code for _ in range(5)]
        assert answers[1:] == [200] * 4, answers


def test_a_database_that_does_not_answer_leaves_threads_for_other_requests(
    database: str, proxy: TCPProxy, tmp_path: Path
):
    proxy.hang = True
    proxy.start()
    url = f"postgres://root@127.0.0.1:{proxy.port}/{database}"
    with started(tmp_path, DATABASE_URL=url) as server, ThreadPoolExecutor(30) as callers:
        answers = [callers.submit(ask, server, SPECIES) for _ in range(30)]
        assert ask(server, "/livez").status_code == 200
        assert not all(answer.done() for answer in answers), "the database is not waited for"
        assert {answer.result().status_code for answer in answers} == {503}


def test_without_a_cache_it_works(tmp_path: Path):
    with Server(tmp_path, workers=1, CACHE_URL="redis://127.0.0.1:9/0") as server:
        alice = server.client("alice@example.org")
        document = alice.post("/api/v1/documents/", json={"title": "Plan"}).json()
        for _ in range(3):
            ticket = alice.post(f"/api/v1/documents/{document['id']}/upload-url/", json=announcement())
            assert ticket.status_code == 201
        assert ask(server, "/readyz").status_code == 200
        log = server.log.read_text()
        assert "throttle_cache_failed" in log
        assert log.count("throttle_cache_failed") == 1


def test_without_a_storage_all_that_needs_none_works(tmp_path: Path):
    project = {
        "STORAGE": "supabase",
        "SUPABASE_URL": "http://127.0.0.1:9",
        "SUPABASE_SECRET_KEY": "sb_secret_r7Yq2nXw9Lk4Tz8Vb3Mh6C",
        "SUPABASE_JWKS_URL": "",
    }
    server = EarlyServer(tmp_path, workers=1, **project)
    with server:
        assert ask(server, "/livez").status_code == 200
        assert ask(server, SPECIES).status_code == 200
        not_ready = ask(server, "/readyz")
        assert (not_ready.status_code, not_ready.json()["part"]) == (503, "storage")
        alice = server.client("alice@example.org")
        document = alice.post("/api/v1/documents/", json={"title": "Plan"}).json()
        ticket = alice.post(f"/api/v1/documents/{document['id']}/upload-url/", json=announcement())
        assert (ticket.status_code, ticket.json()["code"]) == (503, "storage_unavailable")
        assert "Traceback" not in server.log.read_text()
