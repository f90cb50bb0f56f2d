"""make_renditions: for the pictures that were there before, and again for all."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core.management import CommandError, call_command

from tests.api.catalog.test_catalog import picture
from tests.support.cast import announcement
from tests.support.server import ROOT, Server

NUMBER = 6  # pictures
NONE = "webp_320 = '', webp_640 = '', webp_1280 = '', webp_2560 = '', jpeg = ''"


@pytest.fixture(scope="module")
def zoo(tmp_path_factory) -> Any:
    """A server with a species and its pictures."""
    with Server(tmp_path_factory.mktemp("zoo"), SWEEP_EVERY="0") as running:
        client = running.client("curator@example.org", "staff")
        names = {"common_name": "Otter", "scientific_name": "Lutra lutra", "published": True}
        client.post("/api/v1/species/", json=names).raise_for_status()
        for _ in range(NUMBER):
            upload(client)
        yield running


def upload(client: httpx.Client) -> None:
    content = picture()
    told = announcement(content, filename="otter.jpg", content_type="image/jpeg")
    ticket = client.post("/api/v1/species/otter/pictures/upload-url/", json=told).raise_for_status().json()
    httpx.put(ticket["url"], content=content, headers=ticket["headers"]).raise_for_status()
    assert client.post(ticket["complete_url"]).raise_for_status().json()["processing"] is False


def forget(zoo: Server, number: int) -> None:
    """Let so many pictures be as they were before there were renditions."""
    with sqlite3.connect(zoo.database) as database:
        database.execute(f"UPDATE api_speciespicture SET {NONE} WHERE position < {number}")
    database.close()


def urls(zoo: Server) -> list[str]:
    """The addresses of what is published, each of which is served."""
    listed = zoo.client().get("/api/v1/species/otter/pictures/").raise_for_status().json()["results"]
    found = [each["url"] for row in listed for each in row["renditions"]]
    for url in found:
        httpx.get(url).raise_for_status()
    return found


def published(zoo: Server) -> list[str]:
    return sorted(str(path.relative_to(zoo.media)) for path in (zoo.media / "species/otter").rglob("*.*"))


def make(zoo: Server, *options: str) -> list[str]:
    return zoo.manage("make_renditions", *options).splitlines()


@pytest.mark.slow
def test_those_that_are_missing_are_made_and_the_others_stay(zoo: Server):
    before = urls(zoo)
    forget(zoo, 2)
    kept = urls(zoo)

    would = make(zoo, "--missing", "--dry-run")
    assert (len(would), would[-1], urls(zoo)) == (3, "2 pictures; nothing was changed", kept)
    told = make(zoo, "--missing")

    assert [line.split()[0] for line in told[:-1]] == ["1/2", "2/2"]
    assert all(line.endswith(": made") for line in told[:-1])
    assert told[-1] == "2 made, 0 failed"
    assert len(urls(zoo)) == len(before)
    assert set(kept) < set(urls(zoo))
    assert make(zoo, "--missing") == ["0 made, 0 failed"]


@pytest.mark.slow
def test_all_are_made_again_under_other_urls_and_the_old_ones_go(zoo: Server):
    before, files = urls(zoo), len(published(zoo))

    assert make(zoo, "--jobs", "3")[-1] == f"{NUMBER} made, 0 failed"

    assert set(urls(zoo)).isdisjoint(before)
    assert {httpx.get(url).status_code for url in before} == {400}
    assert len(published(zoo)) == files


@pytest.mark.slow
def test_what_cannot_be_made_is_told_and_does_not_stop_the_others(zoo: Server):
    forget(zoo, 2)
    with sqlite3.connect(zoo.database) as database:
        [(key,)] = database.execute("SELECT original FROM api_speciespicture WHERE position = 0")
    database.close()
    original = zoo.media / "originals" / key
    content = original.read_bytes()
    original.unlink()

    command = [sys.executable, "manage.py", "make_renditions", "--missing"]
    done = subprocess.run(command, cwd=ROOT, env=zoo.environment, capture_output=True, text=True)

    assert done.returncode == 1
    assert ": failed: The uploaded picture is missing in storage." in done.stdout
    assert "1 made, 1 failed" in done.stdout
    assert "run it again" in done.stderr
    original.write_bytes(content)
    assert make(zoo, "--missing")[-1] == "1 made, 0 failed"


@pytest.mark.slow
def test_killed_in_the_middle_it_is_completed_by_the_next_run(zoo: Server, tmp_path: Path):
    before = len(urls(zoo))
    forget(zoo, NUMBER)
    command = [sys.executable, "manage.py", "make_renditions", "--jobs", "1"]
    with subprocess.Popen(
        command, cwd=ROOT, env=zoo.environment, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline().endswith(": made\n")
        os.kill(running.pid, signal.SIGKILL)

    assert make(zoo, "--missing")[-1].endswith(" made, 0 failed")
    assert len(urls(zoo)) == before


@pytest.mark.parametrize("jobs", ["0", "17", "-1", "two"])
def test_the_number_of_jobs_is_checked(jobs: str):
    with pytest.raises(CommandError, match="choose a number from 1 to 16"):
        call_command("make_renditions", "--jobs", jobs)
