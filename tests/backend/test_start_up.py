"""What a command and a worker load when they start, and what the garbage collector looks at then."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import ROOT

#: Libraries that are large, and that most processes never use. They are loaded on first use.
ON_FIRST_USE = {
    "PIL",
    "httpx",
    "iso4217",
    "opentelemetry",
    "pydantic",
    "redis",
    "rich",
    "segno",
    "stamina",
    "storage3",
    "supabase",
    "api.management.commands.sweep",
    "storage.transfer",
    "storage.supabase.doctor",
}
#: Loads what a worker of gunicorn loads before it answers, and at its first pause. Prints the modules of both
#: moments, how many objects the garbage collector leaves out, whether it runs, and its thresholds.
WORKER = """
import gc, json, runpy, sys, types
configuration = runpy.run_path("gunicorn.conf.py")
import backend.wsgi
configuration["post_worker_init"](types.SimpleNamespace(age=2))
before = sorted(sys.modules)
from backend.worker import at_first_pause
for act in at_first_pause:
    act()
print(json.dumps([before, sorted(sys.modules), gc.get_freeze_count(), gc.isenabled(), gc.get_threshold()]))
"""
#: Runs `manage.py check` in this process, and prints the loaded modules, and whether they are frozen.
CHECK = """
import atexit, gc, json, runpy, sys
atexit.register(lambda: print(json.dumps([sorted(sys.modules), gc.get_freeze_count(), gc.isenabled()])))
sys.argv = ["manage.py", "check"]
runpy.run_path("manage.py", run_name="__main__")
"""


def printed(program: str, folder: Path, store: str, cache: str = "redis://127.0.0.1:9/0") -> Any:
    """What the program prints, with a project that stores its files and caches there."""
    environment = {
        "PATH": os.environ["PATH"],
        "ENV_FILE": os.devnull,
        "DEBUG": "true",
        "STORAGE": store,
        "SUPABASE_URL": "http://127.0.0.1:9",
        "SUPABASE_SECRET_KEY": "sb_secret_" + "Ab3_".join("xyzuvwklm"),
        "CACHE_URL": cache,
        "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
    }
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("store", "cache", "expected"),
    [
        ("local", "redis://127.0.0.1:9/0", {"puremagic", "segno", "redis"}),
        ("supabase", "locmemcache://", {"puremagic", "segno", "httpx", "stamina", "pydantic", "storage3"}),
    ],
)
def test_a_worker_loads_libraries_at_its_first_pause(
    tmp_path: Path, store: str, cache: str, expected: set[str]
):
    before, after, frozen, is_enabled, threshold = printed(WORKER, tmp_path, store, cache)

    assert not {*ON_FIRST_USE, "puremagic"} & set(before)
    loaded = {*ON_FIRST_USE, "puremagic"} & set(after)
    assert loaded - {"rich"} == expected  # httpx loads rich where click is installed
    assert frozen > 100_000, "what was loaded is not left out of the garbage collection"
    assert is_enabled
    assert threshold == [700, 5, 1]


@pytest.mark.parametrize("store", ["local", "supabase"])
def test_a_check_loads_no_library_that_it_does_not_use(tmp_path: Path, store: str):
    modules, frozen, is_enabled = printed(CHECK, tmp_path, store)

    assert not ON_FIRST_USE & set(modules)
    assert frozen > 100_000, "what was loaded is not left out of the garbage collection"
    assert is_enabled
