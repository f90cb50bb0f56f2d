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
#: Loads what a worker of gunicorn loads before it answers, and what it loads later, but puremagic is broken.
#: Prints the modules of both moments, what is logged, how many objects the garbage collector leaves out,
#: whether it runs, and how many collections of the youngest generation come before one of the next.
WORKER = """
import gc, json, runpy, sys, types
logged = []
log = types.SimpleNamespace(exception=lambda text, *values: logged.append(text % values))
configuration = runpy.run_path("gunicorn.conf.py")
import backend.wsgi
configuration["post_worker_init"](types.SimpleNamespace(age=2, log=log))
gc_state = gc.get_freeze_count(), gc.isenabled(), gc.get_threshold()[1]
before = sorted(sys.modules)
sys.modules["puremagic"] = None
configuration["load_libraries"](log)
print(json.dumps([before, [name for name in sys.modules if sys.modules[name]], logged, *gc_state]))
"""
#: Runs `manage.py check` in this process, and prints the loaded modules, and whether they are frozen.
CHECK = """
import atexit, gc, json, runpy, sys
atexit.register(lambda: print(json.dumps([sorted(sys.modules), gc.get_freeze_count(), gc.isenabled()])))
sys.argv = ["manage.py", "check"]
runpy.run_path("manage.py", run_name="__main__")
"""


def printed(program: str, folder: Path, **settings: str) -> Any:
    """What the program prints, with these settings."""
    environment = {
        "PATH": os.environ["PATH"],
        "ENV_FILE": os.devnull,
        "DEBUG": "true",
        "SUPABASE_URL": "http://127.0.0.1:9",
        "SUPABASE_SECRET_KEY": "sb_secret_" + "Ab3_".join("xyzuvwklm"),
        "CACHE_URL": "redis://127.0.0.1:9/0",
        "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
        **settings,
    }
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"STORAGE": "local", "CACHE_URL": "locmemcache://"}, {"segno"}),
        ({"STORAGE": "local", "SUPABASE_JWKS_URL": "http://127.0.0.1:9/"}, {"segno", "redis", "httpx"}),
        ({"STORAGE": "supabase"}, {"segno", "redis", "httpx", "stamina", "pydantic", "storage3"}),
        ({"STORAGE": "supabase", "SUPABASE_SIGNING": "secret"}, {"segno", "redis", "httpx", "stamina"}),
    ],
)
def test_a_worker_loads_libraries_while_it_answers(
    tmp_path: Path, variables: dict[str, str], expected: set[str]
):
    """One that cannot be loaded is logged, and the others are loaded."""
    before, after, logged, frozen, is_enabled, threshold = printed(WORKER, tmp_path, **variables)

    assert not {*ON_FIRST_USE, "puremagic"} & set(before)
    assert (ON_FIRST_USE & set(after)) - {"rich"} == expected  # httpx loads rich where click is installed
    assert logged == ["Cannot load puremagic: requests that need it will fail."]
    assert frozen > 100_000, "what was loaded is not left out of the garbage collection"
    assert is_enabled
    assert threshold == 5


@pytest.mark.parametrize("store", ["local", "supabase"])
def test_a_check_loads_no_library_that_it_does_not_use(tmp_path: Path, store: str):
    modules, frozen, is_enabled = printed(CHECK, tmp_path, STORAGE=store)

    assert not ON_FIRST_USE & set(modules)
    assert frozen > 100_000, "what was loaded is not left out of the garbage collection"
    assert is_enabled
