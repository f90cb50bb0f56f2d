"""Another kind of store needs a class of its own and no change elsewhere."""

import os
import subprocess
import sys

import pytest

from tests.support.server import ROOT


@pytest.mark.slow
def test_the_main_job_runs_on_a_store_that_is_not_part_of_vivarium():
    done = subprocess.run(
        [sys.executable, "manage.py", "test", "tests.another_store.tests"],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.another_store.settings"},
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    assert "Ran 4 tests" in done.stderr
