"""Policies reach the database whole or not at all, and again and again; other people's stay as they are."""

import re
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from storage.supabase import policies
from storage.supabase.policies import PolicyError
from tests.storage.people import RULES
from tests.storage.project import GUIDE


def ours(connection: psycopg.Connection[Any]) -> list[policies.Policy]:
    return [policy for policy in policies.list_policies(connection) if policy.is_from_vivarium]


def test_applying_again_changes_nothing_and_leaves_others_alone(hosted):
    hosted.execute(GUIDE)
    others = policies.list_policies(hosted)

    reported = policies.apply(hosted, RULES)
    once = policies.list_policies(hosted)
    policies.apply(hosted, RULES)

    assert reported == others
    assert len(others) == 3
    assert policies.list_policies(hosted) == once
    assert [policy for policy in once if not policy.is_from_vivarium] == others
    assert len(ours(hosted)) == 11
    assert all(policy.name.startswith("vivarium_") for policy in ours(hosted))


def test_a_policy_that_only_looks_like_one_of_ours_is_somebody_elses(hosted):
    hosted.execute("create policy vivarium_old on storage.objects using (true)")

    reported = policies.apply(hosted, RULES)

    assert "vivarium_old" in [policy.name for policy in reported]


def test_other_rules_replace_the_old_ones(hosted):
    policies.apply(hosted, replace(RULES, staff_roles=["admin"], direct_uploads=True))
    others = ours(hosted)

    policies.apply(hosted, RULES)
    after = ours(hosted)

    assert [policy.name for policy in after] == [policy.name for policy in others]
    assert after != others


def test_the_role_of_a_hosted_project_can_do_no_more_than_ours_need(hosted):
    for refused in (
        "alter table storage.objects add column note text",
        "create index on storage.objects (owner_id)",
        "create function storage.mine() returns int language sql as 'select 1'",
        "drop function storage.filename(text)",
        "comment on table storage.objects is 'mine'",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), hosted.transaction():
            hosted.execute(refused)


def test_a_url_will_do(committed: str):
    assert policies.apply(committed, RULES) == []

    with psycopg.connect(committed) as connection:
        assert len(ours(connection)) == 11


def test_what_is_printed_is_what_is_applied(committed: str):
    policies.apply(committed, RULES)
    with psycopg.connect(committed) as connection:
        applied = policies.list_policies(connection)
        connection.execute("drop policy vivarium_select_limit on storage.objects")
    printed = policies.render(RULES)

    with psycopg.connect(committed, autocommit=True) as connection:
        connection.execute(printed)
        connection.execute(printed)

        assert policies.list_policies(connection) == applied
    assert re.match(r"begin;\nset local lock_timeout = '5s';\n", printed)
    assert printed.endswith("\ncommit;\n")


def test_all_or_nothing_and_nobody_waits_long(committed: str):
    policies.apply(committed, replace(RULES, staff_roles=["old"]))
    with psycopg.connect(committed) as busy:
        before = ours(busy)
        busy.execute("lock table storage.objects in access share mode")

        with pytest.raises(PolicyError, match="in use: nothing was changed"):
            policies.apply(committed, RULES, lock_timeout="20ms")

    with psycopg.connect(committed) as connection:
        assert ours(connection) == before


def test_a_policy_that_fails_takes_the_others_back(committed: str):
    policies.apply(committed, RULES)
    with psycopg.connect(committed) as connection:
        before = ours(connection)

    with pytest.raises(PolicyError, match="The database reported an error"):
        policies.apply(committed, replace(RULES, staff_roles=["\0"]))  # no text in PostgreSQL holds one

    with psycopg.connect(committed) as connection:
        assert ours(connection) == before


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://postgres:hunter2@127.0.0.1:1/postgres", "Cannot connect"),
        ("postgresql://postgres:hunter2%zz@127.0.0.1/postgres", "is invalid"),
        ("hunter2", "is invalid"),
    ],
)
def test_a_bad_url_is_told_without_its_password(url: str, told: str):
    with pytest.raises(PolicyError, match=told) as refused:
        policies.apply(url, RULES)

    assert "hunter2" not in str(refused.value)


def test_another_database_is_told(supabase_database: str):
    with pytest.raises(PolicyError, match="not the database of a Supabase project"):
        policies.apply(make_conninfo(supabase_database, dbname="postgres"), RULES)


def test_a_role_that_may_not_is_told(hosted):
    hosted.execute("set local role authenticated")

    with pytest.raises(PolicyError, match="Permission denied"):
        policies.apply(hosted, RULES)
