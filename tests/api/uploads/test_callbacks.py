"""The callbacks of the client, the storage and the sweep for one ticket, at once and on PostgreSQL."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.uploads.test_races import objects_of, prepare, served
from tests.api.uploads.test_webhook import PATH, SECRET, event, signed
from tests.storage.project import empty_database, skip_without_postgresql
from tests.support.cast import PDF
from tests.support.server import ROOT, Server

pytestmark = pytest.mark.slow

OTHER = PDF + b"%other"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Its store reports each file that arrives to its own webhook."""
    skip_without_postgresql()
    with empty_database() as name:
        url = f"postgres://root@127.0.0.1:5432/{name}"
        with Server(tmp_path, DATABASE_URL=url, STORAGE_WEBHOOK_SECRET=SECRET) as running:
            yield running


def report(server: Server, ticket: dict[str, Any]) -> httpx.Response:
    body = json.dumps(event(ticket["path"]))
    headers = {**signed(body), "Content-Type": "application/json"}
    return httpx.post(f"{server.url}{PATH}", content=body, headers=headers, timeout=60)


def complete(client: httpx.Client, ticket: dict[str, Any]) -> httpx.Response:
    """Call back as a client does: again, as long as another caller verifies the file.

    Each time on a new connection: the server may just be closing an idle one.
    """
    ask = partial(httpx.post, ticket["complete_url"], headers=client.headers, timeout=60)
    while (answer := ask()).status_code == 409:
        assert answer.json()["code"] == "verification_in_progress"
        time.sleep(int(answer.headers["Retry-After"]))
    return answer


def sweep(server: Server) -> int:
    """Run the command, which logs where the server does. Returns its exit code."""
    with server.log.open("ab") as log:
        return subprocess.run(
            [sys.executable, "manage.py", "sweep"], cwd=ROOT, env=server.environment, stdout=log, stderr=log
        ).returncode


def completions(server: Server, ticket: dict[str, Any]) -> int:
    lines = server.log.read_text().splitlines()
    return sum("upload_completed" in line and ticket["id"] in line for line in lines)


def test_fifty_clients_the_webhook_and_the_sweep_at_once_have_one_effect(server: Server):
    alice, dice = server.client("fifty@example.org"), random.Random(7)
    document, first = prepare(alice)
    assert complete(alice, first).status_code == 200
    for content in (OTHER, PDF):
        _, ticket = prepare(alice, content, document)
        callers = [
            *[("client", partial(complete, alice, ticket))] * 50,
            *[("storage", partial(report, server, ticket))] * 5,
            *[("sweep", partial(sweep, server))] * 2,
        ]
        dice.shuffle(callers)
        with ThreadPoolExecutor(len(callers)) as pool:
            calls = [(who, pool.submit(call)) for who, call in callers]
        results = {who: [call.result() for each, call in calls if each == who] for who, _ in callers}

        assert {answer.status_code for answer in results["client"]} == {200}
        assert len({answer.text for answer in results["client"]}) == 1
        assert {answer.status_code for answer in results["storage"]} == {204}
        assert set(results["sweep"]) == {0}
        assert completions(server, ticket) == 1
        assert served(alice, document) == content
        [file] = objects_of(server, document)
        assert file.read_bytes() == content
        assert not [path for path in (server.media / "uploads").rglob("*") if path.is_file()]
    assert server.manage("sweep") == "nothing to do; failed 0"
