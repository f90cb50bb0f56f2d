"""`manage.py sweep` and `check_supabase` in a project that has installed `storage` and nothing more."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.core.management import call_command
from django.core.management.base import CommandError

from storage.base import SignedStorage
from storage.local import LocalStorage, resumable_uploads
from storage.local.metadata import digest
from storage.management.commands.sweep import Command
from storage.supabase import SupabaseStorage
from storage.supabase.backend import STAGING_FOLDER
from tests.support.proxy import Handling, Passing, Proxy
from tests.support.server import ROOT, Server
from tests.support.site import Site

OLD, YOUNG = timedelta(hours=25), timedelta(hours=23)
MIB = 1024 * 1024


@pytest.fixture
def leave(settings, request) -> Callable[[SignedStorage, str, timedelta], str]:
    """Leaves what an interrupted upload leaves, of this age. Returns what a sweep calls it."""

    def make(store: SignedStorage, name: str, age: timedelta) -> str:
        if isinstance(store, LocalStorage):
            facts = {"content_type": "a/b", "cache_control": "", "metadata": {}, "upload_metadata": ""}
            resumable_uploads.create(store.bucket, name, length=10, **facts)
            parts = Path(settings.MEDIA_ROOT) / ".objects" / "parts" / digest(store.bucket, name)
            [file], key = parts.glob("*/bytes"), name
        else:
            key = f"{STAGING_FOLDER}/{name}"
            store.put(key, [b"otter"], content_type="a/b", cache_control="max-age=1")
            file = request.getfixturevalue("server").media / store.bucket / key
        os.utime(file, times=(time.time() - age.total_seconds(),) * 2)
        return f"{store.bucket}/{key}"

    return make


@pytest.fixture
def configure(settings) -> Callable[..., None]:
    """Sets STORAGES to these stores, and entries of other makes."""

    def write(*stores: SignedStorage, **others: dict[str, Any]) -> None:
        entries = {
            str(number): {
                "BACKEND": f"{type(store).__module__}.{type(store).__name__}",
                "OPTIONS": {"bucket": store.bucket, "public": store.public, "location": store.location},
            }
            for number, store in enumerate(stores)
        }
        settings.STORAGES = {**entries, **others}

    return write


class Subclass(SupabaseStorage):
    """As projects have one, for static files."""


def make_other() -> FileSystemStorage:
    """A BACKEND may be any function."""
    return FileSystemStorage()


def sweep(*arguments: str) -> tuple[list[str], list[str]]:
    """Sweep once, and return the lines of the output and of the errors."""
    printed, errors = StringIO(), StringIO()
    try:
        call_command(Command(), *arguments, stdout=printed, stderr=errors)
    except CommandError as error:
        errors.write(f"{error}\n")
    return printed.getvalue().splitlines(), errors.getvalue().splitlines()


def test_what_interrupted_uploads_left_is_deleted_after_a_day(store, other, leave, configure):
    store.save("plan.txt", ContentFile(b"otter"))
    named = [leave(store, "a", OLD), leave(store, "b", OLD), leave(other, "c", OLD)]
    leave(store, "young", YOUNG)
    configure(store, other)

    dry = sweep("--dry-run")
    done = sweep("--verbosity=2")

    lines = [f"leftovers {name}" for name in named]
    assert (sorted(dry[0]), dry[1]) == (sorted([*lines, "would be done: leftovers 3; failed 0"]), [])
    assert (sorted(done[0]), done[1]) == (sorted([*lines, "leftovers 3; failed 0"]), [])
    assert sweep() == (["nothing to do; failed 0"], [])
    assert len(list(store.delete_leftovers(timedelta(0), dry_run=True))) == 1, (
        "an upload may still be running"
    )
    assert store.exists("plan.txt")


def test_a_bucket_is_swept_as_a_whole_whatever_the_location(store, leave, configure):
    leave(store, "a", OLD)
    configure(type(store)(store.bucket, location="site"))

    assert sweep()[0] == ["leftovers 1; failed 0"]
    assert list(store.delete_leftovers(timedelta(0))) == []


def test_a_bucket_with_several_entries_is_swept_once(store, leave, configure):
    kind = Subclass if isinstance(store, SupabaseStorage) else LocalStorage
    named = leave(store, "a", OLD)
    configure(store, kind(store.bucket, location="site"))

    assert sweep("--dry-run")[0] == [f"leftovers {named}", "would be done: leftovers 1; failed 0"]


def test_stores_of_other_makes_are_ignored_or_have_nothing(store, leave, configure, settings):
    """Django's own store of static files cannot even be created without STATIC_URL."""
    settings.STATIC_URL = None
    leave(store, "a", OLD)
    configure(
        store,
        default={"BACKEND": "django.core.files.storage.FileSystemStorage"},
        staticfiles={"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
        memory={"BACKEND": "tests.another_store.backend.MemoryStorage"},
        function={"BACKEND": "tests.storage.test_sweep.make_other"},
    )

    assert sweep() == (["leftovers 1; failed 0"], [])


def test_a_bucket_that_is_missing_is_named_and_the_others_are_swept(bucket_of, leave, configure):
    first, last = bucket_of(), bucket_of()
    leave(first, "a", OLD), leave(last, "b", OLD)
    missing = [SupabaseStorage(f"missing-{number}") for number in range(4)]
    configure(first, *missing, last)

    said, errors = sweep()

    assert said == ["leftovers 2; failed 4"]
    assert [error.partition(":")[0] for error in errors[:-1]] == [
        f"failed   delete_leftovers {store.bucket}" for store in missing
    ]
    assert errors[-1] == "Something could not be done. The next run tries again."


def test_a_store_that_is_down_is_named_and_the_others_are_swept(
    bucket_of, leave, configure, settings, supabase
):
    store, well = bucket_of(), LocalStorage("media")
    leave(store, "a", OLD), leave(well, "b", OLD)
    settings.SUPABASE_URL = "http://127.0.0.1:9"
    configure(store, well)

    printed = StringIO()
    with pytest.raises(CommandError):
        call_command(Command(), "--json", stdout=printed)

    report = json.loads(printed.getvalue())
    [error] = report["errors"]
    assert (report["ok"], report["counts"]) == (False, {"leftovers": 1})
    assert (error["action"], error["name"]) == ("delete_leftovers", store.bucket)
    assert error["error"].startswith("StorageUnavailable: ")


def test_a_limit_bounds_what_is_deleted_in_each_bucket(store, other, leave, configure):
    for name in ("a", "b", "c"):
        leave(store, name, OLD)
    leave(other, "a", OLD)
    configure(store, other)

    assert sweep("--limit=2")[0] == ["leftovers 3; failed 0"]
    assert sweep("--limit=2")[0] == ["leftovers 1; failed 0"]


# --- In a process of its own ------------------------------------------------------------------------------

SAVE = """
import django
django.setup()
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
default_storage.save("plan.bin", ContentFile(bytes({size})))
"""


def run(site: Site, *arguments: str, url: str = "") -> subprocess.Popen:
    environment = site.environment(DJANGO_SETTINGS_MODULE="tests.foreign.switched")
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**environment, **({"FOREIGN_URL": url} if url else {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def manage(site: Site, *arguments: str) -> str:
    running = run(site, "-m", "django", *arguments)
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 0, said
    return said


def killing(running: list[subprocess.Popen]) -> Handling:
    """The client is killed, and nothing reaches the server."""

    def kill(passing: Passing, body: bytes) -> None:
        running[0].kill()
        running[0].wait()
        passing.slam()

    return kill


@pytest.mark.slow
@pytest.mark.parametrize("size", [3 * MIB, 7 * MIB], ids=["in one request", "in parts"])
def test_what_a_killed_save_leaves_is_named_and_deleted_after_a_day(site: Site, server: Server, size: int):
    running: list[subprocess.Popen] = []
    with Proxy(server.url) as proxy:
        proxy.fail(killing(running), on="POST /object/move")
        running.append(run(site, "-c", SAVE.format(size=size), url=proxy.url))
        running[0].communicate(timeout=60)
    [left] = site.target()
    assert left.startswith(f"{STAGING_FOLDER}/")

    assert "nothing to do; failed 0" in manage(site, "sweep")
    assert "Younger, and perhaps still arriving: 1." in manage(site, "check_supabase")
    file = server.media / site.bucket / left
    os.utime(file, times=(time.time() - OLD.total_seconds(),) * 2)
    said = manage(site, "check_supabase")
    assert f"warning  leftovers: Leftovers of interrupted uploads in {site.bucket}: 1, the oldest of" in said
    assert said.endswith("0 problems, 1 warnings\n")
    assert manage(site, "sweep") == "leftovers 1; failed 0\n"

    assert site.target() == {}
    assert "Interrupted uploads have left nothing" in manage(site, "check_supabase")
