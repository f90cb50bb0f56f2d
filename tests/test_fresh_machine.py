"""A newcomer's first minutes: the tracked files in an empty folder, and the README's commands."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.support.pages import README
from tests.support.ports import free_port
from tests.support.server import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What git tracks, without `.venv`, `.env`, database or files, in a folder with a space in its name."""
    folder = tmp_path / "a clone"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("this is no git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def environment() -> dict[str, str]:
    """The machine's own, without any setting of ours."""
    names = (ROOT / ".env.example").read_text()
    return {
        name: value
        for name, value in os.environ.items()
        if f"\n{name}=" not in names and name not in ("ENV_FILE", "DJANGO_SETTINGS_MODULE", "MAKEFLAGS")
    }


def python(minor: int) -> str:
    """The Python 3.`minor` of this machine."""
    name = f"python3.{minor}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(
        f"versions/3.{minor}.*/bin/{name}"
    )
    for found in filter(None, [shutil.which(name), *map(str, pyenv)]):
        if subprocess.run([found, "-c", ""], capture_output=True).returncode == 0:  # pyenv's may lead nowhere
            return found
    pytest.skip(f"there is no {name} here")


def make(clone: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = ["make", *arguments]
    return subprocess.run(command, cwd=clone, env=environment(), capture_output=True, text=True)


def old_database(clone: Path) -> None:
    """As an earlier version left it."""
    settings = {**environment(), "DEBUG": "true"}
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "-v0", "api", "0001"], cwd=clone, env=settings, check=True
    )


@pytest.mark.parametrize("minor", [None, 12, 13, 14])
def test_make_run_and_the_main_job(clone: Path, minor: int | None):
    """With the Python of the tests, and with each newer one that is here. Only what runs is installed."""
    chosen = sys.executable if minor is None else python(minor)
    port = str(free_port())
    (clone / ".env").write_text(
        (clone / ".env.example").read_text().replace("PORT=\n", f'PORT="{port}"\n', 1)
    )
    old_database(clone)
    log = clone / "run.log"
    with log.open("wb") as output:
        running = subprocess.Popen(
            ["make", "run", f"PYTHON={chosen}"],
            cwd=clone,
            env=environment(),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/readyz", running, log)
        started, banner = log.read_text().split("Booting worker", 1)
        assert "Collecting django" in started or "Processing" in started, "progress is shown"
        assert "Loaded demo data" in started
        assert "upload_completed" not in started
        assert f"http://127.0.0.1:{port}/api/docs/" in banner
        assert f"http://127.0.0.1:{port}/admin/ after .venv/bin/python manage.py createsuperuser" in banner
        assert httpx.get(f"http://127.0.0.1:{port}/api/docs/").status_code == 200

        accounts = [line for line in banner.splitlines() if "Sign in" in line]
        for email in ("alice@example.org", "bob@example.org", "curator@example.org"):
            assert email in accounts[0]
            signed_in = httpx.post(
                f"http://127.0.0.1:{port}/auth/v1/token?grant_type=password",
                json={"email": email, "password": accounts[0].rpartition(" ")[2]},
            )
            assert signed_in.status_code == 200, signed_in.text

        [command] = [line.split("A token")[1] for line in banner.splitlines() if "A token" in line]
        token = shell(clone, command).strip()
        documents = httpx.get(
            f"http://127.0.0.1:{port}/api/v1/documents/", headers={"Authorization": f"Bearer {token}"}
        ).json()
        assert documents["count"] >= 2
        assert all(document["file"] for document in documents["results"])
        [job] = README.code("bash", "The main job, with curl")
        assert shell(clone, job.replace("PORT=8000", f"PORT={port}")).endswith("the same bytes\n")
        again = make(clone, "run")
        assert again.returncode != 0
        assert again.stderr.startswith(f"Port {port} cannot be used: ")
    finally:
        os.killpg(running.pid, signal.SIGINT)  # Ctrl-C
        running.wait(timeout=30)
    assert "Traceback" not in log.read_text()
    shell(clone, ".venv/bin/python manage.py check")
    shell(clone, ".venv/bin/python manage.py test tests.test_supabase_storage")
    assert not (clone / ".venv" / "bin" / "pytest").exists(), "what runs must not need what tests need"


def shell(clone: Path, script: str) -> str:
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=clone, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("target", ["run", "install", "test"])
def test_without_a_python_the_package_is_named(clone: Path, target: str):
    done = make(clone, target, "PYTHON=python3.999")

    assert done.returncode != 0
    assert done.stderr.startswith("There is no python3.999. Python 3.11 or newer is needed")
    assert "apt install python3-venv" in done.stderr.splitlines()[0]


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
