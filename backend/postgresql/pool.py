"""The pool of database connections that the threads of a process share."""

import time
from typing import Any

from django.conf import settings
from django.db import connection

TIMEOUT = 3  # seconds for which a request waits for a connection
WARM_UP = 1  # seconds for which a process waits for its first connections


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
            "timeout": TIMEOUT,
            # Later the next request tries again. By itself the pool would wait longer each time.
            "reconnect_timeout": TIMEOUT,
        }


def open_pool() -> None:
    """Begin to open the connections of this process, in threads.

    With TRACES it does nothing: only connections that are made after tracing has started are traced.
    """
    use_pool(settings.DATABASES["default"])
    pool = getattr(connection, "pool", None)
    if pool is not None and not settings.TRACES:
        pool.open()


def wait_for_pool() -> None:
    """Wait for the first connections of this process, so that no request waits for them."""
    pool = getattr(connection, "pool", None)
    if pool is None:
        return
    pool.open()  # if it is not open yet
    until = time.monotonic() + WARM_UP
    while pool.get_stats()["pool_available"] < pool.min_size and time.monotonic() < until:
        time.sleep(0.005)
