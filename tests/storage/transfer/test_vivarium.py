"""`migrate_to_supabase` on Vivarium itself: its API serves every file before, during and after the move."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.uploads.test_races import prepare
from tests.support.proxy import Fault, Proxy
from tests.support.server import ROOT, Server
from tests.support.site import tree

pytestmark = pytest.mark.slow


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "target").mkdir()
    with Server(tmp_path / "target") as running:
        yield running


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Server]:
    """With the demo's pictures and documents."""
    (tmp_path / "site").mkdir()
    with Server(tmp_path / "site") as running:
        running.manage("load_demo")
        yield running


def on_supabase(site: Server, url: str, key: str) -> dict[str, str]:
    issuer = {"SUPABASE_JWT_ISSUER": f"{site.url}/auth/v1"}  # the members stay who they are
    return {
        **site.environment,
        **issuer,
        "STORAGE": "supabase",
        "SUPABASE_URL": url,
        "SUPABASE_SECRET_KEY": key,
    }


def migrate(environment: dict[str, str], folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "migrate_to_supabase", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def everything(client: httpx.Client) -> dict[str, bytes]:
    """What a curator sees: each picture and each document, by the address that the API gives it."""
    urls = {}
    for kind in ("species", "exhibitions", "educational-services"):
        for row in listed(client, kind):
            urls |= {f"{kind} {row['slug']} {name}": row.get(name) for name in ("image_url", "qr_code_url")}
    for kind, name in (("documents", "file"), ("profiles", "avatar")):
        for row in listed(client, kind):
            if row[name]:
                answer = client.get(f"/api/v1/{kind}/{row['id']}/download-url/").raise_for_status()
                urls[f"{kind} {row['id']}"] = answer.json()["url"]
    return {what: httpx.get(url).raise_for_status().content for what, url in urls.items() if url}


def listed(client: httpx.Client, kind: str) -> list[dict[str, Any]]:
    return client.get(f"/api/v1/{kind}/", params={"page_size": 100}).raise_for_status().json()["results"]


def test_the_api_serves_every_file_all_the_way(site: Server, target: Server, tmp_path: Path):
    alice = site.client("alice@example.org", "staff")
    prepare_and_complete(alice)
    before, rows = everything(alice), dump(site)
    assert {name.split()[0] for name in before} >= {"species", "documents", "profiles"}
    key = target.service_key()
    looks = []

    def plan(number: int, method: str, path: str) -> Fault | None:
        return None if number % 16 else Fault(after=lambda: looks.append(everything(alice)))

    with Proxy(target.url, plan) as proxy:
        migrate(on_supabase(site, proxy.url, key), tmp_path)
    assert len(looks) > 2
    assert all(found == before for found in looks)
    assert everything(alice) == before
    assert dump(site) == rows  # its keys are plain

    environment = on_supabase(site, target.url, key)
    for bucket in ("documents", "species", "exhibitions", "user-profiles"):
        assert objects(target, bucket) == objects(site, bucket)
    switch(site, environment)
    assert everything(alice) == before
    prepare_and_complete(alice)
    assert len(everything(alice)) == len(before) + 1
    assert key not in site.log.read_text()


def prepare_and_complete(client: httpx.Client) -> None:
    _, ticket = prepare(client)
    assert client.post(ticket["complete_url"]).status_code == 200


def switch(site: Server, environment: dict[str, str]) -> None:
    site.stop()
    site.environment = environment
    site.start()


def objects(server: Server, bucket: str) -> dict[str, bytes]:
    return tree(server.media / bucket)


def dump(server: Server) -> str:
    return server.manage("dumpdata", "api.Species", "api.Document", "api.Profile")
