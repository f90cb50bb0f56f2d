"""The virtualenv of `make`: installed once, and made anew instead of failing again."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import ROOT


def install(
    folder: Path, *names: str, venv: str = ".venv", **environment: str
) -> subprocess.CompletedProcess:
    """Run it in this folder with these requirement files, without the network."""
    path = os.pathsep.join(filter(None, [environment.pop("PYTHONPATH", ""), str(ROOT)]))
    return subprocess.run(
        [sys.executable, "-m", "backend.virtualenv", venv, *(names or ["requirements.txt"])],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PIP_NO_INDEX": "1", **environment, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder, with a space in its name, that asks for no packages."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    for name in ("requirements.txt", "requirements-dev.txt"):
        (folder / name).write_text("# none\n")
    return folder


def works(checkout: Path) -> bool:
    program = checkout / ".venv" / "bin" / "pip"  # names its Python in its first line
    return subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_what_failed_starts_anew_and_what_is_installed_is_installed_once(checkout: Path):
    (checkout / "requirements.txt").write_text("no-such-package==1\n")
    failed = install(checkout)
    assert failed.returncode != 0
    assert "no-such-package" in failed.stderr
    assert "Traceback" not in failed.stderr
    (checkout / ".venv" / "half").touch()
    (checkout / "requirements.txt").write_text("# none\n")

    done = install(checkout)

    assert done.returncode == 0, done.stderr
    assert "it is made anew" in done.stdout
    assert not (checkout / ".venv" / "half").exists()
    assert works(checkout)
    assert install(checkout).stdout == ""

    (checkout / ".venv" / "kept").touch()
    both = ("requirements.txt", "requirements-dev.txt")
    assert install(checkout, *both).stdout.startswith("Installing requirements-dev.txt into .venv\n")
    (checkout / "requirements.txt").write_text("# none any more\n")
    assert install(checkout).stdout.startswith("Installing requirements.txt into .venv\n")
    assert install(checkout, *both).stdout == ""
    assert (checkout / ".venv" / "kept").exists()


def move(checkout: Path) -> Path:
    return checkout.rename(checkout.with_name("moved"))


def change_the_python(checkout: Path) -> Path:
    """As if another Python had made it, which is gone now."""
    stamp = checkout / ".venv" / ".installed"
    stamp.write_text(stamp.read_text().replace(sys.version.split()[0], "3.11.0", 1))
    python = checkout / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nonexistent/python3.11")
    return checkout


def empty(checkout: Path) -> Path:
    """As a process leaves it that was killed at its beginning."""
    shutil.rmtree(checkout / ".venv")
    (checkout / ".venv" / "bin").mkdir(parents=True)
    return checkout


@pytest.mark.slow
def test_what_cannot_be_used_is_made_anew(checkout: Path):
    install(checkout)

    for spoil in (move, change_the_python, empty):
        checkout = spoil(checkout)
        done = install(checkout)

        assert done.returncode == 0, done.stderr
        assert "it is made anew" in done.stdout
        assert works(checkout), spoil


def test_a_python_without_venv_is_told_with_the_command_that_brings_it(checkout: Path, tmp_path: Path):
    (tmp_path / "ensurepip.py").write_text("raise ModuleNotFoundError(name='ensurepip')")

    done = install(checkout, PYTHONPATH=str(tmp_path))

    assert done.returncode != 0
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith("apt install python3-venv\n")
    assert not (checkout / ".venv").exists()


def test_a_folder_of_other_things_is_left_alone(checkout: Path):
    (checkout / "home").mkdir()
    (checkout / "home" / "letter").touch()

    done = install(checkout, venv="home")

    assert done.returncode != 0
    assert "home is no virtualenv" in done.stderr
    assert (checkout / "home" / "letter").exists()


def test_what_a_link_leads_to_is_not_emptied(checkout: Path, tmp_path: Path):
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "pyvenv.cfg").write_text("of another Python")
    (checkout / ".venv").symlink_to(shared)

    done = install(checkout)

    assert done.returncode != 0
    assert done.stderr.strip().endswith("delete the link.")
    assert (shared / "pyvenv.cfg").exists()
