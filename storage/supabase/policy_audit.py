"""What the policies of a project are worth as they stand: ours, and what those of others do to them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import scalar_row

from storage.supabase.policies import Policy, PolicyOptions, connected, in_place, statements

COMMANDS = {
    "objects": {"SELECT", "INSERT", "UPDATE", "DELETE"},
    "buckets": {"INSERT", "UPDATE", "DELETE"},  # which buckets there are is no secret
}
ALL = COMMANDS["objects"]

#: `bucket_id = '…'`, or `id` of a bucket: alone, or the first of conditions that must all hold, as printed.
ONE_BUCKET = re.compile(
    r"\((?:bucket_)?id = '((?:[^']|'')*)'::text\)|\(\((?:bucket_)?id = '((?:[^']|'')*)'::text\) AND .*\)",
    re.DOTALL,
)


class Effect(StrEnum):
    """What somebody else's policy does to our buckets."""

    NONE = "none"  # it says itself that it is about another bucket
    HELD = "held back"  # it would let more people in; ours do not let it
    WIDENS = "widens"  # it may let more people in: what would hold it back is missing or changed
    NARROWS = "narrows"  # it may refuse what the role table allows


@dataclass(frozen=True, slots=True)
class AuditResult:
    """`enforced`: whether the tables heed policies at all. Names of ours; policies of others."""

    enforced: bool
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    others: tuple[tuple[Policy, Effect], ...]

    @property
    def is_sound(self) -> bool:
        """Whether people get the answers of the role table."""
        harmful = {Effect.WIDENS, Effect.NARROWS}
        return self.enforced and not (
            self.missing or self.changed or any(effect in harmful for _, effect in self.others)
        )


def inspect(where: psycopg.Connection[Any] | str, rules: PolicyOptions) -> AuditResult:
    """Compare the policies in place with what `rules` give. Changes nothing. Raises PolicyError."""
    with connected(where) as connection, connection.transaction(force_rollback=True):
        expected = {(policy.table, policy.name): policy for policy in _expected(connection, rules)}
        found = {(policy.table, policy.name): policy for policy in in_place(connection)}
        enforced = _is_enforced(connection)
    sound = [policy for name, policy in expected.items() if found.get(name) == policy]
    limited = {(policy.table, policy.command) for policy in sound if enforced and not policy.permissive}
    others = [policy for name, policy in found.items() if name not in expected]
    return AuditResult(
        enforced=enforced,
        missing=tuple(policy.name for name, policy in expected.items() if name not in found),
        changed=tuple(
            policy.name for name, policy in expected.items() if name in found and policy not in sound
        ),
        others=tuple((policy, _effect(policy, rules.buckets, limited)) for policy in others),
    )


def _expected(connection: psycopg.Connection[Any], rules: PolicyOptions) -> list[Policy]:
    """Ours as PostgreSQL prints them: it rewrites expressions, so it is asked to rewrite both sides.

    On temporary tables with the columns that policies name, in a transaction that is rolled back.
    """
    connection.execute(
        "create temporary table objects (bucket_id text, path_tokens text[]) on commit drop;"
        "create temporary table buckets (id text) on commit drop"
    )
    connection.execute(statements(rules, "pg_temp"))
    return in_place(connection, _value(connection, "pg_my_temp_schema()::regnamespace::text"))


def _is_enforced(connection: psycopg.Connection[Any]) -> bool:
    tables = "('storage.objects'::regclass, 'storage.buckets'::regclass)"
    return bool(_value(connection, f"bool_and(relrowsecurity) from pg_class where oid in {tables}"))


def _value(connection: psycopg.Connection[Any], expression: LiteralString) -> Any:
    """Whatever kind of rows the caller's connection makes."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(sql.SQL("select ") + sql.SQL(expression)).fetchone()


def _effect(policy: Policy, ours: Iterable[str], limited: set[tuple[str, str]]) -> Effect:
    """`limited`: the commands, by table, for which our own limit is in place."""
    expressions = [text for text in (policy.using, policy.with_check) if text is not None]
    if expressions and all(_bucket_of(text) not in (None, *ours) for text in expressions):
        return Effect.NONE
    commands = COMMANDS[policy.table] & ({policy.command} if policy.command != "ALL" else ALL)
    if not commands:
        return Effect.NONE
    if not policy.permissive:
        return Effect.NARROWS
    held = all((policy.table, command) in limited for command in commands)
    return Effect.HELD if held else Effect.WIDENS


def _bucket_of(expression: str) -> str | None:
    """The only bucket that the expression can be true for, if it plainly says so."""
    said = ONE_BUCKET.fullmatch(expression)
    return (said[1] or said[2] or "").replace("''", "'") if said else None
