"""Thirteen packages do the same on our stores as on FileSystemStorage.

A process runs all scenarios of `scenarios/` on each storage, with the packages' virtualenv, which
`make test-packages` makes. Here their notes are compared.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.packages.run import SCENARIOS
from tests.support.ports import free_port
from tests.support.project import Project
from tests.support.server import ROOT, Server

pytestmark = pytest.mark.packages

PYTHON = ROOT / os.environ.get("PACKAGES_VENV", ".venv-packages") / "bin" / "python"
STORAGES = ("filesystem", "local", "supabase")
BUCKETS = {"media": False, "private": False, "compressed": True, "backups": False}
TAR = "10 bytes, f4e8dcab2cce"
#: What docs/django-storage.md says that differs: the value of a note with our stores.
DOCUMENTED = {
    ("filer", "file 3: answer", "local"): [200, "application/x-tar", TAR],
    ("filer", "file 3: answer", "supabase"): [200, "application/x-tar", TAR],
    ("versatileimagefield", "filter: answer", "supabase"): [400],
    ("wagtail", "w.tar.gz served by the view: answer", "local"): [200, "application/gzip", TAR],
    ("wagtail", "w.tar.gz served by the view: answer", "supabase"): [200, "application/gzip", TAR],
}
Notes = dict[str, list[list]]


def environment(folder: Path, storage: str, **more: str) -> dict[str, str]:
    port = free_port()
    return {
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "",
        "DJANGO_SETTINGS_MODULE": "tests.packages.settings",
        "PACKAGES_STORAGE": storage,
        "PACKAGES_FOLDER": str(folder),
        "PACKAGES_URL": f"http://127.0.0.1:{port}",
        **more,
    }


@pytest.fixture(scope="module")
def notes(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Notes]:
    """What the scenarios saw on each storage. They run at the same time, on copies of one database."""
    if not PYTHON.exists():
        missing("make test-packages installs the packages that these tests use")
    folders = {storage: tmp_path_factory.mktemp(storage) for storage in STORAGES}
    first = folders["filesystem"]
    migrate = [PYTHON, "-m", "django", "migrate", "--run-syncdb", "--skip-checks", "-v0"]
    subprocess.run(migrate, cwd=ROOT, env=environment(first, "filesystem"), check=True)
    project = Project(server.url)
    for name, is_public in BUCKETS.items():
        project.make(f"packages-{name}", public=is_public)
    running = {}
    for storage, folder in folders.items():
        if folder != first:
            shutil.copy(first / "db.sqlite3", folder)
        keys = {"PACKAGES_SUPABASE_URL": server.url, "PACKAGES_SUPABASE_KEY": server.service_key()}
        with (folder / "log").open("wb") as log:
            running[storage] = subprocess.Popen(
                [PYTHON, "-m", "tests.packages.run", folder / "notes.json"],
                cwd=ROOT,
                env=environment(folder, storage, **(keys if storage == "supabase" else {})),
                stdout=log,
                stderr=log,
            )
    try:
        for storage, process in running.items():
            assert process.wait(timeout=300) == 0, (folders[storage] / "log").read_text()
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    project.drop(*(f"packages-{name}" for name in BUCKETS))
    project.http.close()
    return {storage: json.loads((folder / "notes.json").read_text()) for storage, folder in folders.items()}


@pytest.mark.parametrize("package", SCENARIOS)
def test_the_measure_holds(notes: dict[str, Notes], package: str):
    """On FileSystemStorage nothing fails."""
    label, value = notes["filesystem"][package][-1]

    assert label != "failed", value


@pytest.mark.parametrize("storage", STORAGES[1:])
@pytest.mark.parametrize("package", SCENARIOS)
def test_a_package_does_the_same_as_on_the_file_system(notes: dict[str, Notes], package: str, storage: str):
    expected, found = notes["filesystem"][package], notes[storage][package]

    expected = [[label, DOCUMENTED.get((package, label, storage), value)] for label, value in expected]
    for one, other in zip(expected, found, strict=False):
        assert one == other
    assert len(expected) == len(found)
