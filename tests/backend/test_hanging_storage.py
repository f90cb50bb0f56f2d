"""A Storage server that does not answer costs its callers seconds, and nobody else anything."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.api.uploads.test_races import prepare, served
from tests.support.cast import PDF
from tests.support.proxy import Proxy, hangs
from tests.support.server import Server

pytestmark = pytest.mark.slow

CALLERS = 30
INFO = {
    "id": "1",
    "size": len(PDF),
    "content_type": "application/pdf",
    "cache_control": "max-age=3600",
    "created_at": "2026-01-01T00:00:00Z",
    "last_modified": "2026-01-01T00:00:00Z",
}
PATHS = ["/livez", "/api/v1/species/"]


@pytest.fixture(scope="module")
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server.url) as running:
        yield running


@pytest.fixture(scope="module")
def api(tmp_path_factory, server: Server, proxy: Proxy) -> Iterator[Server]:
    """One process, whose files are in the other server."""
    settings = {
        "STORAGE": "supabase",
        "SUPABASE_URL": proxy.url,
        "SUPABASE_SECRET_KEY": server.service_key(),
        "SUPABASE_JWT_ISSUER": f"{server.url}/auth/v1",
        "QUOTA_OPEN_TICKETS": "0",
    }
    with Server(tmp_path_factory.mktemp("hanging"), workers=1, **settings) as running:
        yield running


@pytest.fixture
def alice(api: Server, proxy: Proxy) -> Iterator[httpx.Client]:
    yield api.client("alice-hanging@example.org")
    proxy.orders.clear()


@contextmanager
def many(act: Callable[[], Any]) -> Iterator[list[Any]]:
    """CALLERS do this again and again. Yields what came of it."""
    over = threading.Event()
    results: list[Any] = []

    def repeat() -> None:
        while not over.wait(0.2):
            results.append(act())

    with ThreadPoolExecutor(CALLERS) as pool:
        callers = [pool.submit(repeat) for _ in range(CALLERS)]
        yield results
        over.set()
    for caller in callers:
        caller.result()


def heal(api: Server, proxy: Proxy) -> None:
    """Let the store answer again, and wait until the server has noticed."""
    proxy.orders.clear()
    for _ in range(20):
        if httpx.get(f"{api.url}/readyz", timeout=10).status_code == 200:
            return
        time.sleep(1)
    raise AssertionError(api.log.read_text())


def test_callers_of_one_ticket_leave_threads_to_others(api, alice, proxy):
    """One of them waits for the silent store, and the others for the one."""
    _, ticket = prepare(alice)
    proxy.fail(hangs)

    def complete() -> int:
        return httpx.post(ticket["complete_url"], headers=alice.headers, timeout=30).status_code

    with many(complete) as answers:
        for _ in range(10):
            for path in PATHS:
                assert httpx.get(f"{api.url}{path}", timeout=3).status_code == 200
            time.sleep(0.3)

    assert set(answers) <= {409, 503}
    heal(api, proxy)


def test_the_promises_hold_while_the_store_is_silent(api, alice, proxy):
    """Each timeout is what is promised: 10 seconds for a signed URL, and at once for the rest."""
    document, ticket = prepare(alice)
    assert alice.post(ticket["complete_url"]).status_code == 200
    download_url = f"{api.url}/api/v1/documents/{document['id']}/download-url/"
    proxy.fail(hangs)

    def ask() -> tuple[int, str]:
        answer = httpx.get(download_url, headers=alice.headers, timeout=10)
        return answer.status_code, answer.json()["code"]

    before = len(proxy.asked)
    with many(ask) as answers:
        while len(proxy.asked) <= before + 8:  # until the circuit lets one go ahead
            for path in PATHS:
                assert httpx.get(f"{api.url}{path}", timeout=2).status_code == 200
        assert httpx.get(f"{api.url}/readyz", timeout=10).status_code == 503

    assert set(answers) == {(503, "storage_unavailable")}

    heal(api, proxy)
    assert served(alice, document) == PDF


def test_completions_at_once_are_all_served_by_a_store_that_works(alice, proxy):
    """A store that needs 20 ms for each call, and as little of this machine as possible."""
    with ThreadPoolExecutor(8) as pool:
        first, *tickets = [ticket for _, ticket in pool.map(lambda _: prepare(alice), range(51))]
    alice.post(first["complete_url"])  # loads the SDK, which takes long on a busy machine
    range_ = {"Content-Range": f"bytes 0-{len(PDF) - 1}/{len(PDF)}"}
    proxy.on("POST", "/object/move", body=b"{}", delay=0.02)
    proxy.on("GET", "/object/info/", body=json.dumps(INFO).encode(), delay=0.02)
    proxy.on("GET", "/object/authenticated/", status=206, body=PDF, headers=range_, delay=0.02)

    def complete(ticket: dict[str, Any]) -> list[int]:
        """What a client is told until it is served: on a busy machine the store may seem to hang."""
        told: list[int] = []
        while 200 not in told and len(told) < 10:
            time.sleep(0.5 * bool(told))
            told.append(httpx.post(ticket["complete_url"], headers=alice.headers, timeout=60).status_code)
        return told

    with ThreadPoolExecutor(len(tickets)) as pool:
        told = list(pool.map(complete, tickets))
    assert [each[-1] for each in told] == [200] * len(tickets)
    assert sum(len(each) == 1 for each in told) > len(tickets) // 2
