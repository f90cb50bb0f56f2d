"""A database that does not work at the moment is 503; a mistake in a query is 500, and is logged."""

import sqlite3
from typing import Any

import psycopg
import psycopg_pool
import pytest
from django.db import (
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
)
from psycopg import errors

from api.database_outages import is_outage
from tests.support.cast import Caller


def wrapped(kind: type[Exception], cause: Exception) -> Exception:
    error = kind(str(cause))
    error.__cause__ = cause
    return error


def of_sqlite(code: int) -> sqlite3.OperationalError:
    error: Any = sqlite3.OperationalError("x")
    error.sqlite_errorcode = code
    return error


OUTAGES = [
    wrapped(OperationalError, psycopg.OperationalError("connection refused")),
    wrapped(OperationalError, psycopg_pool.PoolTimeout("couldn't get a connection")),
    wrapped(OperationalError, psycopg_pool.TooManyRequests("too many")),
    wrapped(OperationalError, errors.AdminShutdown("terminating connection")),
    wrapped(OperationalError, errors.TooManyConnections("sorry, too many clients already")),
    wrapped(OperationalError, errors.DeadlockDetected("deadlock detected")),
    wrapped(OperationalError, errors.LockNotAvailable("lock timeout")),
    wrapped(OperationalError, errors.DiskFull("no space left")),
    wrapped(InternalError, errors.ReadOnlySqlTransaction("cannot execute INSERT")),
    wrapped(InterfaceError, psycopg.InterfaceError("the connection is closed")),
    wrapped(OperationalError, of_sqlite(sqlite3.SQLITE_BUSY)),
    wrapped(OperationalError, of_sqlite(sqlite3.SQLITE_IOERR | 0x1800)),
    OperationalError("The server has closed all connections of the pool."),
]
MISTAKES = [
    wrapped(OperationalError, of_sqlite(sqlite3.SQLITE_ERROR)),  # no such table, no such column, bad syntax
    wrapped(OperationalError, errors.StatementTooComplex("stack depth limit exceeded")),
    wrapped(ProgrammingError, errors.UndefinedTable("relation does not exist")),
    wrapped(ProgrammingError, psycopg.ProgrammingError("the query has 2 placeholders")),
    wrapped(InternalError, psycopg.InternalError("something odd")),
    wrapped(IntegrityError, errors.UniqueViolation("duplicate key")),
    wrapped(DataError, errors.StringDataRightTruncation("too long")),
    ValueError("x"),
]


@pytest.mark.parametrize("error", OUTAGES, ids=lambda error: str(error.__cause__ or error)[:30])
def test_what_may_succeed_later_is_an_outage(error: Exception):
    assert is_outage(error)


@pytest.mark.parametrize("error", MISTAKES, ids=lambda error: str(error.__cause__ or error)[:30])
def test_a_mistake_is_none(error: Exception):
    assert not is_outage(error)


@pytest.mark.parametrize(
    ("error", "answer"), [(OUTAGES[0], (503, "not_ready")), (MISTAKES[0], (500, "internal"))]
)
def test_the_api_says_which(alice: Caller, monkeypatch, error: Exception, answer: tuple[int, str]):
    def fail(*args: Any) -> None:
        raise error

    monkeypatch.setattr("api.compiled_queries.CompiledQuery.count", fail)
    response = alice.get("documents/")

    assert (response.status_code, response.json()["code"]) == answer
    assert response.headers.get("Retry-After") == ("5" if answer[0] == 503 else None)
