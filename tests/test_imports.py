"""The import contracts of `pyproject.toml` are enforced: an import against the arrow fails `make check`."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import ROOT

#: Contract, module and an import that it forbids.
BREACHES = [
    ("The direction of imports", "storage/findings.py", "import api.exceptions"),
    ("The packages of the API", "api/auth/jwks.py", "import api.errors"),
    ("In each package of the API", "api/uploads/models.py", "import api.uploads.views"),
    (
        "The packages of storage: neither store imports the other",
        "storage/local/disk.py",
        "import storage.supabase",
    ),
    ("In the local store", "storage/local/metadata.py", "import storage.local.objects"),
    ("In the Supabase store", "storage/supabase/transport.py", "import storage.supabase.backend"),
    ("In the migration", "storage/transfer/references.py", "import storage.transfer.run"),
]


@pytest.mark.slow
def test_an_import_in_the_wrong_direction_breaks_its_contract(tmp_path: Path):
    for package in ("api", "backend", "storage"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for _, module, statement in BREACHES:
        with (tmp_path / module).open("a") as file:
            file.write(f"\n{statement}\n")

    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 1
    for contract, *_ in BREACHES:
        assert f"{contract} BROKEN" in done.stdout
