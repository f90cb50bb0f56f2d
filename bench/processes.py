"""What the measurements of whole servers share: an empty database, and what processes use."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from bench.requests import database

MIB = 1024**2


@contextmanager
def empty_database(name: str) -> Iterator[str]:
    """Yield the address of a new database, in whose schema `public` tables are made.

    A Storage server that uses the same PostgreSQL may have given the role another search_path.
    """
    with database(name) as address:
        with psycopg.connect(address, autocommit=True) as connection:
            here = sql.Identifier(connection.info.dbname)
            connection.execute(
                sql.SQL("ALTER ROLE CURRENT_USER IN DATABASE {} SET search_path = public").format(here)
            )
        yield address


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process uses: memory in MiB, and numbers of open files and of threads.

    Pages that processes share are in the `resident` memory of each. They are divided among these in
    `proportional` (PSS), and are not in `unique` (USS).
    """

    resident: float
    proportional: float
    unique: float
    files: int
    threads: int


def usage(pid: int) -> Usage:
    """Raise OSError if the process has ended."""
    sizes = {"Rss": 0.0, "Pss": 0.0, "Private_Clean": 0.0, "Private_Dirty": 0.0}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in sizes:
            sizes[name] = int(rest.split()[0]) / 1024
    return Usage(
        resident=sizes["Rss"],
        proportional=sizes["Pss"],
        unique=sizes["Private_Clean"] + sizes["Private_Dirty"],
        files=len(os.listdir(f"/proc/{pid}/fd")),
        threads=len(os.listdir(f"/proc/{pid}/task")),
    )


def children(pid: int) -> list[int]:
    """Return the ids of the processes that the threads of this one have started and that run."""
    lists = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for each in lists for child in each.split()]


def command(pid: int) -> str:
    """Return the command line of the process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
