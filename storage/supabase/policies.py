"""Row-level security of Supabase Storage: who reaches files with a token of their own, past the API.

The rules stand in `sql/`; here they get their values and reach the database. A hosted project lets its
role `postgres` create policies there and nothing else: no table changes, no functions.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import tuple_row

from storage.base import signed_stores

FOLDER = Path(__file__).parent / "sql"
UUID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
NAMES = frozenset(re.findall(r"create policy (vivarium_\w+)", (FOLDER / "policies.sql").read_text()))
LOCK_TIMEOUT = "5s"  # creating a policy waits for whoever uses the table, and everybody waits behind it
CONNECT_TIMEOUT = 10  # seconds


class PolicyError(Exception):
    """Nothing was read or changed; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """The values that the policies are filled with.

    `buckets` has every bucket of STORAGES by name, and whether it is public. `owned`, `shared` and `incoming`
    name those with these options: see `storage.base.SignedStorage`.
    """

    buckets: Mapping[str, bool]
    owned: Sequence[str] = ()
    shared: Sequence[str] = ()
    incoming: str = ""
    staff_roles: Sequence[str] = ()
    allow_anonymous: bool = False
    allow_oauth_clients: bool = False
    direct_uploads: bool = False

    def private(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if self.buckets.get(name) is False]


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy as PostgreSQL prints it back. `table` is objects or buckets, `command` may be ALL."""

    table: str
    name: str
    permissive: bool
    roles: tuple[str, ...]
    command: str
    using: str | None
    with_check: str | None

    @property
    def is_ours(self) -> bool:
        return self.name in NAMES


def from_settings(*, direct_uploads: bool = False) -> PolicyOptions:
    """The rules that the API goes by."""
    stores = {store.bucket: store for store in signed_stores()}
    return PolicyOptions(
        buckets={name: store.public for name, store in stores.items()},
        owned=[name for name, store in stores.items() if store.owned],
        shared=[name for name, store in stores.items() if store.shared],
        incoming=next((name for name, store in stores.items() if store.incoming), ""),
        staff_roles=settings.SUPABASE_STAFF_ROLES,
        allow_anonymous=settings.SUPABASE_ALLOW_ANONYMOUS,
        allow_oauth_clients=settings.SUPABASE_ALLOW_OAUTH_CLIENTS,
        direct_uploads=direct_uploads,
    )


def render(rules: PolicyOptions) -> str:
    """The whole script, for `psql` or the SQL editor: it may be run again and again."""
    script = sql.SQL("begin;\n{timeout};\n\n{policies}\n\ncommit;\n").format(
        timeout=_lock_timeout(LOCK_TIMEOUT), policies=statements(rules)
    )
    return script.as_string(None)


def apply(
    where: psycopg.Connection[Any] | str, rules: PolicyOptions, *, lock_timeout: str = LOCK_TIMEOUT
) -> list[Policy]:
    """Put ours in place, all or none, in one short transaction. Returns the policies of others, as they are.

    `where`: an open connection, or a URL. Raises PolicyError.
    """
    with connected(where) as connection, connection.transaction():
        connection.execute(_lock_timeout(lock_timeout))
        connection.execute(statements(rules))
        return [policy for policy in in_place(connection) if not policy.is_ours]


def statements(rules: PolicyOptions, schema: str = "storage") -> sql.Composed:
    """The policies themselves, on the tables of `schema`; every value is quoted as a literal."""
    values: dict[str, sql.Composable] = {
        "uuid": sql.Literal(UUID),
        "staff_roles": _array([json.dumps(role, ensure_ascii=False) for role in rules.staff_roles], "jsonb"),
        "allow_anonymous": sql.Literal(rules.allow_anonymous),
        "allow_oauth_clients": sql.Literal(rules.allow_oauth_clients),
        "direct_uploads": sql.Literal(rules.direct_uploads),
        "incoming": sql.Literal(rules.incoming),
        "ours": _array(rules.buckets),
        "public": _array(name for name, public in rules.buckets.items() if public),
        "owned": _array(rules.private(rules.owned)),
        "shared": _array(rules.private(rules.shared)),
        "objects": sql.Identifier(schema, "objects"),
        "buckets": sql.Identifier(schema, "buckets"),
    }
    for part in ("member", "staff", "reading", "creating", "changing"):
        values[part] = _filled(part, values, comments=False)  # they stand in many places
    return _filled("policies", values)


def in_place(connection: psycopg.Connection[Any], schema: str = "storage") -> list[Policy]:
    """Every policy on objects and buckets, whosever it is."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        cursor.execute(
            "select permissive = 'PERMISSIVE', roles::text[], tablename, policyname, cmd, qual, with_check"
            " from pg_policies where schemaname = %s and tablename in ('objects', 'buckets')"
            " order by tablename desc, policyname",
            [schema],
        )
        return [_policy(*row) for row in cursor]


@contextmanager
def connected(where: psycopg.Connection[Any] | str) -> Iterator[psycopg.Connection[Any]]:
    """A connection, with what the database refuses told in words that help."""
    try:
        if isinstance(where, psycopg.Connection):
            yield where
        else:
            with _open(where) as connection:
                yield connection
    except errors.LockNotAvailable:
        raise PolicyError("Storage is in use: nothing was changed. Run it again.") from None
    except errors.InsufficientPrivilege:
        raise PolicyError("This role may not do that: connect as the project's role `postgres`.") from None
    except (
        errors.UndefinedTable,
        errors.InvalidSchemaName,
        errors.UndefinedFunction,
        errors.UndefinedObject,
    ):
        raise PolicyError(
            "This is not the database of a Supabase project: `storage.objects`, `auth.jwt()`, `auth.uid()` "
            "and the role `authenticated` are needed."
        ) from None
    except psycopg.Error as error:
        raise PolicyError(f"The database refused: {error.diag.message_primary or error}") from None


def _open(url: str) -> psycopg.Connection[Any]:
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # whose message repeats the URL, and so the password
        raise PolicyError(
            "The database URL is not of the form it should have: postgresql://user:password@host:5432/name."
        ) from None
    try:
        # A transaction pooler gives each transaction another connection: prepare nothing.
        return psycopg.connect(url, connect_timeout=CONNECT_TIMEOUT, prepare_threshold=None)
    except psycopg.OperationalError as error:
        raise PolicyError(f"The database cannot be reached: {error}") from None


def _policy(permissive: bool, roles: list[str], table: str, name: str, *rest: Any) -> Policy:
    return Policy(table, name, permissive, tuple(roles), *rest)


def _lock_timeout(time: str) -> sql.Composed:
    return sql.SQL("set local lock_timeout = {}").format(time)


def _array(texts: Iterable[str], kind: str = "text") -> sql.Composed:
    listed = sql.SQL(", ").join(sql.Literal(text) for text in texts)
    return sql.SQL("array[{}]::{}[]").format(listed, sql.SQL(kind))


def _filled(part: str, values: Mapping[str, sql.Composable], *, comments: bool = True) -> sql.Composed:
    lines = (FOLDER / f"{part}.sql").read_text().splitlines()
    kept = [line for line in lines if comments or not line.lstrip().startswith("--")]
    return sql.SQL("\n".join(kept)).format(**values)
