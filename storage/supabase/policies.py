"""Row-level security for Supabase Storage: which objects a user's token can access without the API.

The policies are templates in `sql/`; this module fills them in and applies them. On the tables of Storage
the role `postgres` of a hosted project can create policies and nothing else: no table changes, no functions.
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

SQL_FOLDER = Path(__file__).parent / "sql"
UUID_PATTERN = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
NAMES = frozenset(re.findall(r"create policy (vivarium_\w+)", (SQL_FOLDER / "policies.sql").read_text()))
LOCK_TIMEOUT = "5s"  # `create policy` waits for queries that use the table, and later queries wait for it
CONNECT_TIMEOUT = 10  # seconds


class PolicyError(Exception):
    """Nothing was read or changed. The message names the reason, and what to do."""


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """The values for the policy templates.

    `buckets` maps the name of each bucket in STORAGES to whether it is public. `owned`, `shared` and
    `incoming` are the names of the buckets with these options: see `storage.base.SignedStorage`.
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
        """Return those of `names` that are private buckets."""
        return [name for name in names if self.buckets.get(name) is False]


@dataclass(frozen=True, slots=True)
class Policy:
    """One row of pg_policies. `table` is objects or buckets; `command` may be ALL."""

    table: str
    name: str
    permissive: bool
    roles: tuple[str, ...]
    command: str
    using: str | None
    with_check: str | None

    @property
    def is_from_vivarium(self) -> bool:
        """True if Vivarium ships a policy of this name."""
        return self.name in NAMES


def from_settings(*, direct_uploads: bool = False) -> PolicyOptions:
    """Return the options that give the same access as the API."""
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


def render(options: PolicyOptions) -> str:
    """Return the whole script, for `psql` or the SQL editor. It is safe to run again."""
    script = sql.SQL("begin;\n{timeout};\n\n{policies}\n\ncommit;\n").format(
        timeout=_lock_timeout(LOCK_TIMEOUT), policies=statements(options)
    )
    return script.as_string(None)


def apply(
    database: psycopg.Connection[Any] | str, options: PolicyOptions, *, lock_timeout: str = LOCK_TIMEOUT
) -> list[Policy]:
    """Create or replace Vivarium's policies in one short transaction. Return the other policies, unchanged.

    `database`: an open connection, or a URL. Raises PolicyError.
    """
    with connect(database) as connection, connection.transaction():
        connection.execute(_lock_timeout(lock_timeout))
        connection.execute(statements(options))
        return [policy for policy in list_policies(connection) if not policy.is_from_vivarium]


def statements(options: PolicyOptions, schema: str = "storage") -> sql.Composed:
    """Return the SQL of the policies on the tables of `schema`. Every value is quoted as a literal."""
    values: dict[str, sql.Composable] = {
        "uuid": sql.Literal(UUID_PATTERN),
        "staff_roles": _array(
            [json.dumps(role, ensure_ascii=False) for role in options.staff_roles], "jsonb"
        ),
        "allow_anonymous": sql.Literal(options.allow_anonymous),
        "allow_oauth_clients": sql.Literal(options.allow_oauth_clients),
        "direct_uploads": sql.Literal(options.direct_uploads),
        "incoming": sql.Literal(options.incoming),
        "vivarium_buckets": _array(options.buckets),
        "public": _array(name for name, public in options.buckets.items() if public),
        "owned": _array(options.private(options.owned)),
        "shared": _array(options.private(options.shared)),
        "objects": sql.Identifier(schema, "objects"),
        "buckets": sql.Identifier(schema, "buckets"),
    }
    for name in ("member", "staff", "reading", "creating", "changing"):
        values[name] = _fill_template(name, values, comments=False)  # each is inserted in several places
    return _fill_template("policies", values)


def list_policies(connection: psycopg.Connection[Any], schema: str = "storage") -> list[Policy]:
    """Return every policy on the tables objects and buckets, Vivarium's and all others."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        cursor.execute(
            "select permissive = 'PERMISSIVE', roles::text[], tablename, policyname, cmd, qual, with_check"
            " from pg_policies where schemaname = %s and tablename in ('objects', 'buckets')"
            " order by tablename desc, policyname",
            [schema],
        )
        return [_policy(*row) for row in cursor]


@contextmanager
def connect(database: psycopg.Connection[Any] | str) -> Iterator[psycopg.Connection[Any]]:
    """Yield a connection, and raise PolicyError for errors of the database.

    `database`: an open connection, which stays open, or a URL.
    """
    try:
        if isinstance(database, psycopg.Connection):
            yield database
        else:
            with _open_connection(database) as connection:
                yield connection
    except errors.LockNotAvailable:
        raise PolicyError("The tables of Storage are in use: nothing was changed. Try again.") from None
    except errors.InsufficientPrivilege:
        raise PolicyError("Permission denied: connect as the project's role `postgres`.") from None
    except (
        errors.UndefinedTable,
        errors.InvalidSchemaName,
        errors.UndefinedFunction,
        errors.UndefinedObject,
    ):
        raise PolicyError(
            "This is not the database of a Supabase project: it needs `storage.objects`, `auth.jwt()`, "
            "`auth.uid()` and the role `authenticated`."
        ) from None
    except psycopg.Error as error:
        raise PolicyError(f"The database reported an error: {error.diag.message_primary or error}") from None


def _open_connection(url: str) -> psycopg.Connection[Any]:
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # its message repeats the URL with the password
        raise PolicyError(
            "The database URL is invalid: use the form postgresql://user:password@host:5432/name."
        ) from None
    try:
        # A transaction pooler may use another connection for each transaction: no prepared statements.
        return psycopg.connect(url, connect_timeout=CONNECT_TIMEOUT, prepare_threshold=None)
    except psycopg.OperationalError as error:
        raise PolicyError(f"Cannot connect to the database: {error}") from None


def _policy(permissive: bool, roles: list[str], table: str, name: str, *rest: Any) -> Policy:
    return Policy(table, name, permissive, tuple(roles), *rest)


def _lock_timeout(duration: str) -> sql.Composed:
    return sql.SQL("set local lock_timeout = {}").format(duration)


def _array(texts: Iterable[str], element_type: str = "text") -> sql.Composed:
    literals = sql.SQL(", ").join(sql.Literal(text) for text in texts)
    return sql.SQL("array[{}]::{}[]").format(literals, sql.SQL(element_type))


def _fill_template(name: str, values: Mapping[str, sql.Composable], *, comments: bool = True) -> sql.Composed:
    """Return sql/<name>.sql with its placeholders replaced, and without its comments unless `comments`."""
    lines = (SQL_FOLDER / f"{name}.sql").read_text().splitlines()
    kept = [line for line in lines if comments or not line.lstrip().startswith("--")]
    return sql.SQL("\n".join(kept)).format(**values)
