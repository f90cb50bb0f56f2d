"""PostgreSQL as Supabase gives it: a schema of our own, and a pooler that changes connections under us."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql

from tests.backend.test_settings import refusal
from tests.storage.project import empty_database, server_url, skip_without_postgresql
from tests.support.cast import PDF, announcement
from tests.support.ports import free_port
from tests.support.server import Server

TABLES = "select schemaname, tablename from pg_tables where schemaname !~ '^pg_|^information_schema$'"


@pytest.fixture
def database() -> Iterator[str]:
    """The name of an empty database."""
    skip_without_postgresql()
    with empty_database() as name:
        yield name


def carry_a_ticket(server: Server, email: str) -> Any:
    """What the document says of its file in the end."""
    alice = server.client(email)
    document = alice.post("/api/v1/documents/", json={"title": email}).json()
    path = f"/api/v1/documents/{document['id']}/"
    ticket = alice.post(f"{path}upload-url/", json=announcement()).json()
    assert httpx.put(ticket["url"], content=PDF, headers=ticket["headers"]).status_code == 200
    assert alice.post(ticket["complete_url"]).status_code == 200
    return alice.get(path).json()["file"]


@pytest.mark.slow
def test_every_table_is_in_the_schema_of_the_settings(database: str, tmp_path: Path):
    url = f"postgres://root@127.0.0.1:5432/{database}"

    with Server(tmp_path, DATABASE_URL=url, DATABASE_SCHEMA="vivarium") as server:
        server.manage("migrate", "-v0")  # once more, now that the schema is there
        assert carry_a_ticket(server, "alice@example.org")["size"] == len(PDF)

    with psycopg.connect(server_url(), dbname=database) as connection:
        assert {schema for schema, _ in connection.execute(TABLES)} == {"vivarium"}


@pytest.mark.parametrize("name", ["public -c log_statement=all", "a,b", 'a"b', "Ä", "1a", "x" * 64])
def test_a_schema_that_is_no_plain_name_is_refused(name: str):
    assert "DATABASE_SCHEMA" in refusal(DEBUG="true", DATABASE_SCHEMA=name)


@contextmanager
def pooler(folder: Path, database: str) -> Iterator[int]:
    """A pgbouncer that gives each transaction whichever of two connections is free; its port."""
    port = free_port()
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n{database} = host=127.0.0.1 port=5432 dbname={database} user=root\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        "auth_type = any\npool_mode = transaction\ndefault_pool_size = 2\nserver_round_robin = 1\n"
    )
    as_whom = ["-u", "nobody"] if os.getuid() == 0 else []
    command = ["pgbouncer", "-q", *as_whom, "pgbouncer.ini"]
    running = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, running)
        yield port
    finally:
        running.terminate()
        running.wait(timeout=10)


def _wait_for(port: int, running: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert running.poll() is None, "pgbouncer did not start"
        time.sleep(0.05)
    raise AssertionError("pgbouncer does not listen")


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which("pgbouncer") and not os.environ.get("CI"), reason="pgbouncer is needed as the pooler"
)
def test_a_transaction_pooler_finds_nothing_left_on_its_connections(database: str, tmp_path: Path):
    """Two connections for eight callers: what one leaves behind, another would trip over."""
    with psycopg.connect(server_url(), dbname=database) as connection:
        connection.execute("create schema vivarium")
        here = sql.Identifier(database)
        connection.execute(sql.SQL("alter role root in database {} set search_path = vivarium").format(here))
    with pooler(tmp_path, database) as port:
        url = f"postgres://root@127.0.0.1:{port}/{database}"
        with Server(tmp_path, DATABASE_URL=url) as server, ThreadPoolExecutor(8) as callers:
            carried = callers.map(lambda n: carry_a_ticket(server, f"caller{n}@example.org"), range(8))
            assert [file["size"] for file in carried] == [len(PDF)] * 8
