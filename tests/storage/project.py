"""The database of a Supabase project, as far as policies see it: made for the tests, and dropped."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests.storage.people import RULES

SCHEMA = Path(__file__).parent / "data" / "supabase.sql"
HOSTED = "vivarium_hosted_postgres"
LOCK = 6176291  # roles belong to the whole cluster: one process at a time makes or drops them
MINE = "made by the tests of Vivarium"

THEIRS = """
create policy "members do as they like" on storage.objects for all to authenticated
using (bucket_id = 'theirs') with check (bucket_id = 'theirs')
"""
WEBHOOK_URL = "https://api.zoo.example.org/api/v1/webhooks/storage/"
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # the example of the specification
GUIDE = """
create policy "Authenticated users can view documents" on storage.objects for select to authenticated
using (bucket_id = 'documents' and auth.role() = 'authenticated');
create policy "Users can access own documents" on storage.objects for all
using (bucket_id = 'documents' and auth.uid()::text = (storage.foldername(name))[1])
"""


def server_url() -> str:
    """Where a PostgreSQL is that we may make databases and roles on."""
    url = os.environ.get("TEST_DATABASE_URL", "")
    return url if url.startswith("postgres") else "postgresql://127.0.0.1:5432/postgres"


def skip_without_postgresql() -> None:
    """One clear line where there is none; in continuous integration there has to be one."""
    if os.environ.get("CI"):
        return
    try:
        with psycopg.connect(server_url(), connect_timeout=3) as server:
            mine = server.execute("select rolsuper from pg_roles where rolname = current_user")
            if mine.fetchone() != (True,):
                pytest.skip("the PostgreSQL that answers does not let this user make roles")
    except psycopg.OperationalError:
        pytest.skip("no PostgreSQL answers, at TEST_DATABASE_URL or else on 127.0.0.1:5432")


@contextmanager
def empty_database() -> Iterator[str]:
    """The name of an empty database, dropped again."""
    name = f"vivarium_{uuid4().hex[:12]}"
    with psycopg.connect(server_url(), autocommit=True) as server:
        server.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        yield name
        _drop(server, name)


@contextmanager
def project_database() -> Iterator[str]:
    """The URL of a new database with the schemas `storage` and `auth`; connects as its superuser."""
    name = f"vivarium_policies_{os.getpid()}"
    url = make_conninfo(server_url(), dbname=name)
    with psycopg.connect(server_url(), autocommit=True) as server:
        with _alone(server):
            _drop(server, name)
            server.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
            with psycopg.connect(url) as connection:
                connection.execute(SCHEMA.read_bytes())
        try:
            yield url
        finally:
            with _alone(server):
                _drop(server, name)
                _drop_roles(server)


def as_hosted(url: str) -> str:
    """The same database, as the role that a hosted project gives."""
    return make_conninfo(url, options=f"-c role={HOSTED}")


@contextmanager
def _alone(server: psycopg.Connection[Any]) -> Iterator[None]:
    server.execute("select pg_advisory_lock(%s)", [LOCK])
    try:
        yield
    finally:
        server.execute("select pg_advisory_unlock(%s)", [LOCK])


def _drop(server: psycopg.Connection[Any], name: str) -> None:
    server.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _drop_roles(server: psycopg.Connection[Any]) -> None:
    """Those that we made and that no other database, of a process beside us, still needs."""
    made = server.execute(
        "select rolname from pg_roles where shobj_description(oid, 'pg_authid') = %s", [MINE]
    ).fetchall()
    for (role,) in made:
        try:
            server.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))
        except psycopg.errors.DependentObjectsStillExist:
            pass


def put(connection: psycopg.Connection[Any], bucket: str, key: str) -> None:
    """An object, as the server's own key makes it: by ticket, so without an owner."""
    connection.execute(
        "insert into storage.buckets (id, name, public) values (%s, %s, %s) on conflict do nothing",
        [bucket, bucket, RULES.buckets.get(bucket, False)],
    )
    connection.execute("insert into storage.objects (bucket_id, name) values (%s, %s)", [bucket, key])
