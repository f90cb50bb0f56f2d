"""Schemathesis finds no difference between schema.yml and a running server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import ROOT, Server


@pytest.mark.slow
@pytest.mark.parametrize("role", ["", "staff"])
def test_the_server_does_what_the_schema_says(role: str, tmp_path: Path):
    with Server(tmp_path / "server", THROTTLE_TICKETS="9999/sec", THROTTLE_COMPLETE="9999/sec") as server:
        token = server.token("somebody@example.org", role)
        done = subprocess.run(
            [
                *(str(Path(sys.executable).with_name("schemathesis")), "--no-color"),
                *("--config-file", str(ROOT / "tests" / "schemathesis.toml")),
                *("run", str(ROOT / "schema.yml"), "--url", server.url),
                *("--header", f"Authorization: Bearer {token}", "--checks", "all"),
                *("--phases", "examples,coverage,fuzzing", "--max-examples", "5"),
                *("--seed", "3", "--generation-database", "none"),
            ],
            cwd=tmp_path,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            timeout=300,
        )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tested: 71" in done.stdout
