"""What the README promises: its commands are run as they stand there."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.server import ROOT, Server

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(not (shutil.which("bash") and shutil.which("curl")), reason="bash and curl are needed")
def test_the_main_job_with_curl(server: Server, tmp_path: Path):
    [script] = [block for block in blocks("bash") if "curl" in block]

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace("PORT=8000", f"PORT={server.port}")],
        cwd=ROOT,
        env=server.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("the same bytes\n")
    assert '"state":"completed"' in done.stdout


def test_every_make_target_exists():
    named = set(re.findall(r"\bmake ([a-z-]+)", README))
    makefile = (ROOT / "Makefile").read_text()

    assert {"run", "test", "test-all", "check", "schema", "install"} <= named
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_ci_runs_the_commands_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text()

    for command in ("make check", "make test", "make test-all"):
        assert re.search(rf"^{command}$", script, re.MULTILINE)


@pytest.mark.parametrize("link", re.findall(r"\]\(((?!http)[^)]+)\)", README))
def test_links_lead_somewhere(link: str):
    assert (ROOT / link).exists()


def test_settings_that_are_named_exist():
    example = (ROOT / ".env.example").read_text()
    known = set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE)) | {
        "WEB_CONCURRENCY",
        "STORAGES",
        "GUNICORN_CMD_ARGS",
        "FORWARDED_ALLOW_IPS",
    }

    assert set(re.findall(r"`([A-Z]+_[A-Z_]+)`", README)) <= known
