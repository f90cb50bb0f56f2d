"""Compares the policies in a project's database with Vivarium's, and rates the effect of all others."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import scalar_row

from storage.supabase.policies import Policy, PolicyOptions, connect, list_policies, statements

COMMANDS = {
    "objects": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "buckets": {"INSERT", "UPDATE", "DELETE"},  # no SELECT: the list of buckets is no secret
}
ALL_COMMANDS = COMMANDS["objects"]

#: `bucket_id = '…'` (`id` on buckets), alone or as the first term of an AND, as PostgreSQL prints it.
ONE_BUCKET = re.compile(
    r"\((?:bucket_)?id = '((?:[^']|'')*)'::text\)|\(\((?:bucket_)?id = '((?:[^']|'')*)'::text\) AND .*\)",
    re.DOTALL,
)


class Effect(StrEnum):
    """The effect of another policy on Vivarium's buckets."""

    NONE = "none"  # its expression is limited to another bucket
    BLOCKED = "blocked"  # it grants more access, but Vivarium's restrictive policies deny it
    WIDENS = "widens access"  # it may grant more access: Vivarium's restrictive policy is missing or changed
    NARROWS = "narrows access"  # it may deny access that the API grants


@dataclass(frozen=True, slots=True)
class AuditResult:
    """`is_enforced`: row-level security is enabled on both tables. `missing`, `changed`: names of Vivarium's
    policies. `others`: all other policies, each with its effect.
    """

    is_enforced: bool
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    others: tuple[tuple[Policy, Effect], ...]

    @property
    def is_sound(self) -> bool:
        """True if the policies give the same access as the API."""
        harmful = {Effect.WIDENS, Effect.NARROWS}
        return self.is_enforced and not (
            self.missing or self.changed or any(effect in harmful for _, effect in self.others)
        )


def audit(database: psycopg.Connection[Any] | str, options: PolicyOptions) -> AuditResult:
    """Compare the policies in the database with those that `options` give. Changes nothing.

    `database`: an open connection, or a URL. Raises PolicyError.
    """
    with connect(database) as connection, connection.transaction(force_rollback=True):
        expected = {(policy.table, policy.name): policy for policy in _expected(connection, options)}
        found = {(policy.table, policy.name): policy for policy in list_policies(connection)}
        is_enforced = _is_enforced(connection)
    sound = [policy for name, policy in expected.items() if found.get(name) == policy]
    limited = {(policy.table, policy.command) for policy in sound if is_enforced and not policy.permissive}
    others = [policy for name, policy in found.items() if name not in expected]
    return AuditResult(
        is_enforced=is_enforced,
        missing=tuple(policy.name for name, policy in expected.items() if name not in found),
        changed=tuple(
            policy.name for name, policy in expected.items() if name in found and policy not in sound
        ),
        others=tuple((policy, _effect(policy, options.buckets, limited)) for policy in others),
    )


def _expected(connection: psycopg.Connection[Any], options: PolicyOptions) -> list[Policy]:
    """Return Vivarium's policies as PostgreSQL prints them: it rewrites the expressions of a policy.

    They are created on temporary tables that have the columns which the policies use. The caller rolls the
    transaction back.
    """
    connection.execute(
        "create temporary table objects (bucket_id text, path_tokens text[]) on commit drop;"
        "create temporary table buckets (id text) on commit drop"
    )
    connection.execute(statements(options, "pg_temp"))
    return list_policies(connection, _value(connection, "pg_my_temp_schema()::regnamespace::text"))


def _is_enforced(connection: psycopg.Connection[Any]) -> bool:
    tables = "('storage.objects'::regclass, 'storage.buckets'::regclass)"
    return bool(_value(connection, f"bool_and(relrowsecurity) from pg_class where oid in {tables}"))


def _value(connection: psycopg.Connection[Any], expression: LiteralString) -> Any:
    """Select one value, whatever the row factory of the connection."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(sql.SQL("select ") + sql.SQL(expression)).fetchone()


def _effect(policy: Policy, buckets: Iterable[str], limited: set[tuple[str, str]]) -> Effect:
    """`limited`: each table and command for which Vivarium's restrictive policy is in place, unchanged."""
    expressions = [text for text in (policy.using, policy.with_check) if text is not None]
    if expressions and all(_bucket_of(text) not in (None, *buckets) for text in expressions):
        return Effect.NONE
    commands = COMMANDS[policy.table] & ({policy.command} if policy.command != "ALL" else ALL_COMMANDS)
    if not commands:
        return Effect.NONE
    if not policy.permissive:
        return Effect.NARROWS
    is_blocked = all((policy.table, command) in limited for command in commands)
    return Effect.BLOCKED if is_blocked else Effect.WIDENS


def _bucket_of(expression: str) -> str | None:
    """Return the one bucket that the expression is limited to, or None if it is not of that form."""
    match = ONE_BUCKET.fullmatch(expression)
    return (match[1] or match[2] or "").replace("''", "'") if match else None
