"""The example app, as people use it: built, on another origin than the API, in a real Chromium."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.example_app import SPA, example_app
from tests.support.npm import install
from tests.support.server import CLIENTS, Server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def example(npm: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    with example_app(tmp_path_factory.mktemp("example")) as running:
        yield running


def seen_by(script: str, chromium: str, app: str, folder: Path, *arguments: Any) -> dict[str, Any]:
    """What the script prints. It leaves a picture of every page in the folder."""
    done = subprocess.run(
        ["node", script, chromium, app, folder / "pages", *map(str, arguments)],
        cwd=CLIENTS,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def test_its_types_agree_with_the_schema(npm: None):
    install(SPA)

    done = subprocess.run(["npm", "run", "check"], cwd=SPA, capture_output=True, text=True, timeout=180)

    assert done.returncode == 0, done.stdout
