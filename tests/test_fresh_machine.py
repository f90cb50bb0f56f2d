"""A newcomer's first minutes: the tracked files in an empty folder, and the README's commands."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.support.server import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What git tracks, without `.venv`, `.env`, database or files."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("this is no git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tmp_path / name)
    return tmp_path


def environment() -> dict[str, str]:
    """The machine's own, without any setting of ours."""
    names = (ROOT / ".env.example").read_text()
    return {
        name: value
        for name, value in os.environ.items()
        if f"\n{name}=" not in names and name not in ("ENV_FILE", "DJANGO_SETTINGS_MODULE", "MAKEFLAGS")
    }


def test_make_run(clone: Path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    log = clone / "run.log"
    with log.open("wb") as output:
        running = subprocess.Popen(
            ["make", "run", f"PORT={port}", f"PYTHON={sys.executable}"],
            cwd=clone,
            env=environment(),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/readyz", running, log)
        printed = log.read_text()
        assert f"http://127.0.0.1:{port}/api/docs/" in printed
        assert f"http://127.0.0.1:{port}/admin/ after .venv/bin/python manage.py createsuperuser" in printed

        assert httpx.get(f"http://127.0.0.1:{port}/api/docs/").status_code == 200
        [command] = [line.split("A token")[1] for line in printed.splitlines() if "A token" in line]
        token = subprocess.run(
            ["sh", "-c", command], cwd=clone, env=environment(), capture_output=True, text=True, check=True
        ).stdout.strip()
        documents = httpx.get(
            f"http://127.0.0.1:{port}/api/v1/documents/", headers={"Authorization": f"Bearer {token}"}
        ).json()
        assert documents["count"] >= 2
        assert all(document["file"] for document in documents["results"])
    finally:
        os.killpg(running.pid, signal.SIGTERM)
        running.wait(timeout=30)
    assert not (clone / ".venv" / "bin" / "pytest").exists(), "what runs must not need what tests need"


def _wait_for(url: str, running: subprocess.Popen, log: Path) -> None:
    for _ in range(3000):
        try:
            httpx.get(url).raise_for_status()
            return
        except httpx.HTTPError:
            assert running.poll() is None, log.read_text()
            time.sleep(0.1)
    raise AssertionError(log.read_text())


def test_memory_stays_flat_whatever_the_size():
    """A quarter of the gibibyte that `make bench` carries; a server that holds a file would show it."""
    done = subprocess.run(
        [sys.executable, "bench/memory.py", "0.25"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )

    assert done.returncode == 0, done.stderr
    grown = [int(line.split("+")[1].split(" MiB")[0]) for line in done.stdout.splitlines() if "+" in line]
    assert len(grown) == 6, done.stdout
    assert max(grown) < 48, done.stdout


WITHOUT_PYTEST = """
import runpy, sys
sys.modules["pytest"] = None
sys.argv = ["manage.py", *sys.argv[1:]]
runpy.run_path("manage.py", run_name="__main__")
"""


@pytest.mark.parametrize("which", ["", ".SupabaseStorageTestCase.test_save_file_success"])
def test_django_runs_the_storage_test_case_without_settings_and_without_pytest(which: str):
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}

    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PYTEST, "test", f"tests.test_supabase_storage{which}"],
        cwd=ROOT,
        env={**environment, "ENV_FILE": os.devnull},
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    ran = int(done.stderr.split("Ran ")[1].split()[0])
    assert ran == 1 if which else ran > 10
    assert "\nOK" in done.stderr
