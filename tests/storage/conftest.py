"""Fixtures of the tests of storage."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from storage.policies import in_place
from tests.storage.project import HOSTED, THEIRS, as_hosted, project_database, skip_without_postgresql


@pytest.fixture(scope="session")
def supabase_database() -> Iterator[str]:
    """The URL of a Supabase project's database that all tests share: leave it as it was."""
    skip_without_postgresql()
    with project_database() as url:
        yield url


@pytest.fixture
def hosted(supabase_database: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection as a hosted project's role, with a policy for a bucket of others. Rolled back."""
    connection = psycopg.connect(
        supabase_database, prepare_threshold=None
    )  # as through a pooler; and faster here
    with connection, connection.transaction(force_rollback=True):
        connection.execute(f"set local role {HOSTED}")
        connection.execute(THEIRS)
        yield connection


@pytest.fixture
def committed(supabase_database: str) -> Iterator[str]:
    """The URL of the same role, for tests that commit. Their policies are dropped."""
    yield as_hosted(supabase_database)
    with psycopg.connect(supabase_database) as connection:
        for policy in in_place(connection):
            name, table = sql.Identifier(policy.name), sql.Identifier("storage", policy.table)
            connection.execute(sql.SQL("drop policy {} on {}").format(name, table))
