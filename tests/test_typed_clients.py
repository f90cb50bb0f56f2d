"""Clients that generators make from schema.yml are typed exactly, and work on a real server."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.support.server import CLIENTS, ROOT, Server

pytestmark = pytest.mark.slow

#: A virtualenv with what tests/clients/requirements.txt pins. `make clients` makes it.
PYTHON = ROOT / os.environ.get("CLIENTS_VENV", ".venv-clients") / "bin" / "python"


def run(*command: str | Path, folder: Path) -> str:
    """Return what the command prints. It must succeed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def add_species(server: Server) -> str:
    """Publish a species, and return its slug."""
    staff = server.client("typed-curator@example.org", role="staff")
    fields = {"common_name": "Typed penguin", "scientific_name": "Spheniscus demersus", "published": True}
    answer = staff.post("/api/v1/species/", json=fields)
    assert answer.status_code == 201, answer.text
    slug: str = answer.json()["slug"]
    return slug


@pytest.fixture
def slug(server: Server):
    slug = add_species(server)
    yield slug
    server.client("typed-curator@example.org", role="staff").delete(f"/api/v1/species/{slug}/")


def test_openapi_typescript_types_every_answer_exactly(npm, server: Server, slug: str, tmp_path: Path):
    for name in ("typed.ts", "tsconfig.json", "package.json"):
        shutil.copy(CLIENTS / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(CLIENTS / "node_modules")
    tools = CLIENTS / "node_modules" / ".bin"

    run(tools / "openapi-typescript", ROOT / "schema.yml", "--output", "schema.d.ts", folder=tmp_path)
    run(tools / "tsc", folder=tmp_path)
    token = server.token("typed@example.org")
    printed = run("node", "typed.js", server.url, token, folder=tmp_path).splitlines()

    assert f"Typed penguin {slug} 1 " in printed
    assert printed[-3:] == [
        "wrong invalid #/title",
        "early object_missing object_missing",
        "done completed application/pdf",
    ]


def test_openapi_python_client_makes_a_client_that_works(server: Server, slug: str, tmp_path: Path):
    if not PYTHON.exists():
        missing("make clients installs what generates the Python client")
    generator = [PYTHON, "-m", "openapi_python_client", "generate", "--path", ROOT / "schema.yml"]
    said = run(*generator, "--meta", "none", "--output-path", "vivarium", folder=tmp_path)
    shutil.copy(CLIENTS / "typed.py", tmp_path)

    token = server.token("typed-python@example.org")
    printed = run(PYTHON, "typed.py", server.url, token, folder=tmp_path).splitlines()

    assert "Unable" not in said
    assert f"Typed penguin {slug}" in printed
    assert printed[-3:] == ["wrong #/title", "early object_missing", "done completed application/pdf"]
