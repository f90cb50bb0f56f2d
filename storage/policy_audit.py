"""What the policies on `storage.objects` are worth as they stand: ours, and what others do to them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import scalar_row

from storage.policies import Policy, Rules, connected, in_place, statements

COMMANDS = {"SELECT", "INSERT", "UPDATE", "DELETE"}
EXPECTED = "vivarium_expected"  # a temporary table that no commit ever sees

#: `bucket_id = '…'`, alone or the first of conditions that must all hold, as PostgreSQL prints it.
ONE_BUCKET = re.compile(
    r"\(bucket_id = '((?:[^']|'')*)'::text\)|\(\(bucket_id = '((?:[^']|'')*)'::text\) AND .*\)", re.DOTALL
)


class Effect(StrEnum):
    """What somebody else's policy does to our buckets."""

    NONE = "none"  # it says itself that it is about another bucket
    HELD = "held back"  # it would let more people in; ours do not let it
    WIDENS = "widens"  # it may let more people in: what would hold it back is missing or changed
    NARROWS = "narrows"  # it may refuse what the role table allows


@dataclass(frozen=True, slots=True)
class Findings:
    """`enforced`: whether the table heeds policies at all. Names of ours, policies of others."""

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


def inspect(where: psycopg.Connection[Any] | str, rules: Rules) -> Findings:
    """Compare the policies in place with what `rules` give. Changes nothing. Raises PolicyError."""
    with connected(where) as connection, connection.transaction(force_rollback=True):
        expected = {policy.name: policy for policy in _expected(connection, rules)}
        found = {policy.name: policy for policy in in_place(connection)}
        enforced = _is_enforced(connection)
    sound = [policy for name, policy in expected.items() if found.get(name) == policy]
    limited = {policy.command for policy in sound if not policy.permissive} if enforced else set()
    return Findings(
        enforced=enforced,
        missing=tuple(name for name in expected if name not in found),
        changed=tuple(name for name in expected if name in found and expected[name] not in sound),
        others=tuple(
            (policy, _effect(policy, rules.buckets, limited))
            for name, policy in found.items()
            if name not in expected
        ),
    )


def _expected(connection: psycopg.Connection[Any], rules: Rules) -> list[Policy]:
    """Ours as PostgreSQL prints them: it rewrites expressions, so it is asked to rewrite both sides."""
    connection.execute(
        sql.SQL("create temporary table {} (bucket_id text, path_tokens text[]) on commit drop").format(
            sql.Identifier(EXPECTED)
        )
    )
    connection.execute(statements(rules, sql.Identifier("pg_temp", EXPECTED)))
    return in_place(connection, _value(connection, "pg_my_temp_schema()::regnamespace::text"), EXPECTED)


def _is_enforced(connection: psycopg.Connection[Any]) -> bool:
    return bool(_value(connection, "relrowsecurity from pg_class where oid = 'storage.objects'::regclass"))


def _value(connection: psycopg.Connection[Any], expression: LiteralString) -> Any:
    """Whatever kind of rows the caller's connection makes."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(sql.SQL("select ") + sql.SQL(expression)).fetchone()


def _effect(policy: Policy, ours: Iterable[str], limited: set[str]) -> Effect:
    """`limited`: the commands for which our own limit is in place."""
    expressions = [text for text in (policy.using, policy.with_check) if text is not None]
    if expressions and all(_bucket_of(text) not in (None, *ours) for text in expressions):
        return Effect.NONE
    if not policy.permissive:
        return Effect.NARROWS
    commands = COMMANDS if policy.command == "ALL" else {policy.command}
    return Effect.HELD if commands <= limited else Effect.WIDENS


def _bucket_of(expression: str) -> str | None:
    """The only bucket that the expression can be true for, if it plainly says so."""
    said = ONE_BUCKET.fullmatch(expression)
    return (said[1] or said[2] or "").replace("''", "'") if said else None
