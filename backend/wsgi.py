"""The WSGI application for gunicorn. ASGI is not supported: chunked bodies are read from `wsgi.input`."""

import os
import time
from importlib import import_module
from typing import Any

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.db import connection
from django.urls import get_resolver
from django.utils.http import parse_header_parameters

POOL_TIMEOUT = 3  # seconds for which a request waits for a database connection
WARM_UP = 1  # seconds for which a process waits for its first connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backend.settings")


def use_pool(database: dict[str, Any]) -> None:
    """Let all threads share DATABASE_POOL_SIZE connections to PostgreSQL. Commands have one thread, and one.

    At most half of the threads wait for a connection, so that a database that does not answer leaves threads
    for requests that do not need it. `backend.postgresql` looks at each connection before it is used.
    """
    if settings.DATABASE_POOL_SIZE and database["ENGINE"].endswith("postgresql"):
        waiting = settings.THREADS // 2
        database["CONN_MAX_AGE"] = 0
        database["CONN_HEALTH_CHECKS"] = False
        database["OPTIONS"]["pool"] = {
            # Open at any time, so that no more than `waiting` must wait if all threads ask at once.
            "min_size": min(settings.DATABASE_POOL_SIZE, settings.THREADS - waiting),
            "max_size": settings.DATABASE_POOL_SIZE,
            "max_waiting": waiting,
            "timeout": POOL_TIMEOUT,
            # Later the next request tries again. By itself the pool would wait longer each time.
            "reconnect_timeout": POOL_TIMEOUT,
        }


def open_pool() -> None:
    """Open the connections of this process before requests come, so that none waits for them."""
    pool = getattr(connection, "pool", None)
    if pool is None:
        return
    pool.open()
    get_resolver().url_patterns  # noqa: B018  (the views are loaded while the connections are made)
    until = time.monotonic() + WARM_UP
    while pool.get_stats()["pool_available"] < pool.min_size and time.monotonic() < until:
        time.sleep(0.01)


use_pool(settings.DATABASES["default"])
django.setup(set_prefix=False)
if settings.TRACES:
    import_module("backend.tracing").start()  # its packages are optional


class Request(WSGIRequest):
    """A request that ignores the charset of `Content-Type`: all bodies are UTF-8.

    Django looks the charset up before any middleware runs, and a hostile one such as `base64` would raise.
    """

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        try:
            self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))
        except (ValueError, LookupError):
            self.content_type, self.content_params = "", {}
            meta["CONTENT_TYPE"] = ""  # DRF parses it again and would raise too


class Application(WSGIHandler):
    request_class = Request


application = Application()
