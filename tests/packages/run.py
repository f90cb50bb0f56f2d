"""Runs every scenario on one storage: `python -m tests.packages.run OUTPUT`.

The environment has what settings.py reads. Django is imported when it is set up.

OUTPUT gets a JSON object: the notes of each scenario, a list of pairs of a label and a value. The last note
of a scenario that failed has the label `failed`.
"""

import json
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import django
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.test.utils import setup_test_environment

SCENARIOS = sorted(path.stem for path in (Path(__file__).parent / "scenarios").glob("[a-z]*.py"))


class QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(url: str) -> Iterator[None]:
    """Serve this project at its URL."""
    from django.core.wsgi import get_wsgi_application

    server = ThreadedWSGIServer(("127.0.0.1", urlsplit(url).port), QuietHandler)
    server.daemon_threads = True
    server.set_app(get_wsgi_application())
    Thread(target=server.serve_forever, daemon=True).start()
    yield
    server.shutdown()
    server.server_close()


def notes_of(scenario: Callable) -> list:
    from tests.packages.record import Record

    record = Record()
    try:
        scenario(record)
    except Exception:
        record.notes.append(["failed", traceback.format_exc()])
    return record.notes


def clear() -> None:
    """Delete the files of the scenario before, and forget what packages have cached."""
    from django.core.cache import cache
    from django.core.files.storage import storages

    from tests.packages.record import names

    for alias in ("default", "private", "compressor", "dbbackup"):
        for name in list(names(storages[alias])):
            storages[alias].delete(name)
    cache.clear()


def main(output: str) -> None:
    warnings.simplefilter("ignore")
    logging.disable()
    django.setup()
    setup_test_environment()
    from django.conf import settings
    from django.contrib.auth.models import User

    for folder in ("media", "private", "compressed", "backups"):
        os.makedirs(f"{settings.FOLDER}/{folder}", exist_ok=True)
    User.objects.create_superuser("keeper", "keeper@example.org", "otter")
    found = {}
    with serving(settings.URL), redirect_stdout(sys.stderr):
        for name in SCENARIOS:
            found[name] = notes_of(import_module(f"tests.packages.scenarios.{name}").run)
            clear()
    Path(output).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
