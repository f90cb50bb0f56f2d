"""docs/upgrading.md: its commands, on a site that goes on answering."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import time
import tomllib
from pathlib import Path
from threading import Event, Thread

import httpx
import psycopg
import pytest

from backend import __version__
from tests.conftest import missing
from tests.storage.project import server_url, skip_without_postgresql
from tests.support.cast import PDF, announcement
from tests.support.server import ROOT, Server
from tests.test_locks import PYTHONS

PAGE = (ROOT / "docs" / "upgrading.md").read_text()

#: A virtualenv with what tests/supply_chain/requirements.txt pins. `make supply-chain` makes it.
SUPPLY_CHAIN = os.environ.get("SUPPLY_CHAIN_VENV", ".venv-supply-chain")


class Visitor(Thread):
    """Asks whether the site is ready, again and again, and keeps each answer that is not 200."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url, self.ended, self.count, self.failures = url, Event(), 0, list[str]()

    def run(self) -> None:
        while not self.ended.wait(0.05):
            try:
                answer = httpx.get(f"{self.url}/readyz", verify=False, timeout=30)
                self.failures += [] if answer.status_code == 200 else [answer.text]
            except httpx.HTTPError as error:
                self.failures.append(repr(error))
            self.count += 1


@pytest.mark.slow
def test_the_site_answers_while_it_is_upgraded(tmp_path: Path):
    [block] = re.findall(r"^   ```bash\n(.*?)^   ```", PAGE, re.MULTILINE | re.DOTALL)
    commands = [line.split() for line in block.splitlines()]
    with Server(tmp_path) as site:
        alice, visitor = site.client("alice@example.org"), Visitor(site.url)
        document = alice.post("/api/v1/documents/", json={"title": "Upgrade"}).raise_for_status().json()
        path = f"/api/v1/documents/{document['id']}/upload-url/"
        ticket = alice.post(path, json=announcement()).raise_for_status().json()
        visitor.start()

        for _, _, *arguments in commands:
            site.manage(*arguments)
        with sqlite3.connect(site.database) as database:  # a migration that this version does not have
            database.execute("INSERT INTO django_migrations VALUES (NULL, 'api', '9999_next', '2027-01-01')")
        database.close()
        httpx.put(ticket["url"], content=PDF, headers=ticket["headers"]).raise_for_status()
        before = workers(site)
        site.process.send_signal(signal.SIGHUP)
        while before & workers(site):
            time.sleep(0.1)
        completed = alice.post(ticket["complete_url"])

        visitor.ended.set()
        visitor.join()
        assert completed.json()["state"] == "completed"
        assert visitor.count > 20
        assert visitor.failures == []
    assert [arguments[2:] for arguments in commands] == [
        ["check", "--deploy"],
        ["migrate", "--plan"],
        ["migrate"],
    ]


def workers(site: Server) -> set[str]:
    """Return the process ids of the workers."""
    children = Path(f"/proc/{site.process.pid}/task/{site.process.pid}/children")
    return set(children.read_text().split())


def test_a_lock_is_not_waited_for_longer_than_the_page_says(monkeypatch):
    skip_without_postgresql()
    [options, limit] = re.findall(r'PGOPTIONS="(-c lock_timeout=(\d+s))"', PAGE)[0]
    monkeypatch.setenv("PGOPTIONS", options)

    with psycopg.connect(server_url()) as connection:
        assert connection.execute("SHOW lock_timeout").fetchone() == (limit,)


# --- What is installed ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "ends_with", "printed"),
    [
        ("No known vulnerabilities found", 0, "No known vulnerabilities found\n"),
        ("Found 1 known vulnerability in 1 package", 1, "Found 1 known vulnerability in 1 package\n"),
        ("ERROR:pip_audit._cli:pip: Dependency not found on PyPI and could not be audited: pip (26)", 1, ""),
    ],
)
def test_an_audit_without_an_answer_is_a_failure(said: str, ends_with: int, printed: str, tmp_path: Path):
    program = tmp_path / "bin" / "pip-audit"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho '{said}'\nexit {ends_with}\n")
    program.chmod(0o755)

    make = ["make", "-s", "audit", "-o", "supply-chain", f"SUPPLY_CHAIN_VENV={tmp_path}"]
    done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True)

    assert done.stdout == printed
    assert (done.returncode == 0) is (ends_with == 0)
    assert ("Nothing was audited" in done.stderr) is (printed == "")


@pytest.mark.slow
def test_the_sbom_has_every_package_that_is_installed(tmp_path: Path):
    if not (ROOT / SUPPLY_CHAIN / "bin" / "cyclonedx-py").exists():
        missing("the packages of tests/supply_chain/requirements.txt are needed: make supply-chain")
    written = tmp_path / "sbom.json"

    make = [
        "make",
        "-s",
        "sbom",
        "-o",
        "supply-chain",
        f"SUPPLY_CHAIN_VENV={SUPPLY_CHAIN}",
        f"SBOM={written}",
    ]
    subprocess.run(make, cwd=ROOT, check=True, capture_output=True)

    sbom = json.loads(written.read_text())
    hashes = {
        (each["name"], each["version"]): sum(len(link["hashes"]) for link in each["externalReferences"])
        for each in sbom["components"]
    }
    text = (ROOT / "requirements.txt").read_text()
    locked = re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==(\S+)((?:[^\n]*\n +--hash=)+)", text, re.MULTILINE)
    assert len(locked) > 50
    assert hashes == {(name, version): rest.count("--hash=") for name, version, rest in locked}
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.6")
    assert sbom["metadata"]["component"] == {
        "bom-ref": "root-component",
        "type": "application",
        "name": "vivarium",
        "version": __version__,
    }


def test_the_pythons_and_the_django_that_are_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [each.rpartition(" :: ")[2] for each in project["classifiers"] if ":: Python" in each]
    [django] = [each.rpartition(" :: ")[2] for each in project["classifiers"] if ":: Django" in each]
    chapter = PAGE.partition("\n## Python and Django\n")[2]

    assert re.findall(r"3\.\d+", chapter) == declared
    assert project["requires-python"] == f">={declared[0]}"
    assert f"Django {django}" in chapter
    assert f"\ndjango~={django}.0 " in (ROOT / "requirements.in").read_text()
    assert {version.rpartition(".")[0] for version in PYTHONS} == set(declared)
