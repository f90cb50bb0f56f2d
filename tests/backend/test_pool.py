"""The connection pool gives no connection that the server has closed, and leaves room for other requests."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import OperationalError
from django.db.utils import ConnectionHandler

from backend.postgresql.base import is_closed_by_server
from backend.postgresql.pool import use_pool
from tests.backend.test_settings import read, refusal
from tests.storage.project import empty_database, server_url, skip_without_postgresql
from tests.support.server import Server
from tests.support.waiting import wait_until

#: The other connections to the same database.
OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@pytest.fixture
def database(settings, django_db_blocker) -> Iterator[Any]:
    """A connection of Django to an empty database, with a pool of three."""
    skip_without_postgresql()
    with empty_database() as name:
        [databases] = read("DATABASES", DEBUG="true", DATABASE_URL=f"postgres://root@127.0.0.1:5432/{name}")
        settings.DATABASE_POOL_SIZE, settings.THREADS = 3, 4
        use_pool(databases["default"])
        connection = ConnectionHandler(databases)["default"]
        with django_db_blocker.unblock():
            yield connection
            connection.close()
            connection.close_pool()


def query(connection: Any) -> int:
    """One request: a connection of the pool, a query, and back."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [process] = cursor.fetchone()
    connection.close()
    return int(process)


def terminate(connection: Any) -> None:
    """Close all other connections to the database, as a server does that starts again."""
    with psycopg.connect(server_url(), dbname=connection.settings_dict["NAME"], autocommit=True) as admin:
        while admin.execute(f"SELECT pg_terminate_backend(pid) {OTHERS}").fetchall():
            time.sleep(0.05)


def test_connections_that_the_server_has_closed_cost_no_request(database: Any):
    database.pool.open(wait=True)
    before = {query(database) for _ in range(6)}
    terminate(database)

    after = {query(database) for _ in range(6)}

    assert not before & after


def test_a_connection_that_waits_is_open_and_is_used_again(database: Any):
    database.pool.open(wait=True)
    processes = [query(database) for _ in range(9)]

    assert len(set(processes)) == 2


def test_a_notice_of_the_server_is_no_end(database: Any):
    with (
        psycopg.connect(server_url(), autocommit=True) as listening,
        psycopg.connect(server_url(), autocommit=True) as other,
    ):
        listening.execute("LISTEN news")
        assert not is_closed_by_server(listening)
        other.execute("NOTIFY news, 'hello'")
        other.execute("SELECT 1")
        assert not is_closed_by_server(listening)


def test_at_most_half_of_the_threads_wait_for_a_connection(database: Any):
    pool = database.pool
    pool.open(wait=True)
    held = [pool.getconn() for _ in range(3)]
    with ThreadPoolExecutor(4) as threads:
        failures = [each.exception() for each in [threads.submit(pool.getconn, 1) for _ in range(4)]]
    for connection in held:
        pool.putconn(connection)

    assert sorted(type(each).__name__ for each in failures) == [
        *("PoolTimeout", "PoolTimeout"),
        *("TooManyRequests", "TooManyRequests"),
    ]


def test_a_database_that_is_gone_is_an_operational_error(database: Any):
    database.settings_dict["PORT"] = 9
    with pytest.raises(OperationalError):
        query(database)


@pytest.mark.parametrize(("threads", "size"), [("16", "8"), ("16", "1"), ("2", "1")])
def test_a_pool_that_the_storage_could_empty_is_refused(threads: str, size: str):
    told = refusal(DEBUG="true", THREADS=threads, DATABASE_POOL_SIZE=size)

    assert told.startswith(f"DATABASE_POOL_SIZE must be above half of THREADS ({threads})")


def test_the_pool_has_as_many_connections_as_there_are_threads():
    assert read("DATABASE_POOL_SIZE", DEBUG="true", THREADS="5") == [5]
    assert read("DATABASE_POOL_SIZE", DEBUG="true", DATABASE_POOL_SIZE="0") == [0]


@pytest.mark.slow
def test_a_worker_opens_its_connections_before_requests_come(tmp_path: Path):
    skip_without_postgresql()
    with empty_database() as name:
        address = f"postgres://root@127.0.0.1:5432/{name}"
        server = Server(tmp_path, workers=1, DATABASE_URL=address, THREADS="8")
        server.migrate()
        server.ready_path = "/livez"  # it asks no database
        server.start()
        try:
            with psycopg.connect(server_url(), dbname=name, autocommit=True) as other:
                assert wait_until(lambda: _others(other) == 4)
        finally:
            server.stop()


def _others(connection: psycopg.Connection) -> int:
    return connection.execute(f"SELECT count(*) {OTHERS}").fetchone()[0]
