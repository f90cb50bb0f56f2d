"""What the doctor says of the policies in place: missing, changed, widened or narrowed by others."""

from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from storage.supabase import policies
from storage.supabase.policies import PolicyError
from storage.supabase.policy_audit import Effect, audit
from tests.storage.direct import allowed
from tests.storage.people import ALICE, BOB, PEOPLE, RULES
from tests.storage.project import GUIDE, put

LIMITED = "vivarium_select_limit"


def effects(connection: psycopg.Connection[Any]) -> dict[str, Effect]:
    return {policy.name: effect for policy, effect in audit(connection, RULES).others}


def test_before_anything_is_applied_all_is_missing(hosted):
    findings = audit(hosted, RULES)

    assert len(findings.missing) == 11
    assert all(name.startswith("vivarium_") for name in findings.missing)
    assert findings.is_enforced
    assert not findings.is_sound


def test_what_was_applied_is_sound(hosted):
    policies.apply(hosted, RULES)

    findings = audit(hosted, RULES)

    assert (findings.missing, findings.changed) == ((), ())
    assert effects(hosted) == {"members do as they like": Effect.NONE}
    assert findings.is_sound


@pytest.mark.parametrize(
    "other",
    [
        {"staff_roles": ["staff"]},
        {"staff_roles": ["admin", "o'brien"]},
        {"allow_anonymous": True},
        {"allow_oauth_clients": True},
        {"direct_uploads": True},
        {"buckets": {**RULES.buckets, "more": False}},
        {"buckets": {**RULES.buckets, "media": True}},
    ],
    ids=str,
)
def test_other_settings_than_those_applied_are_told(hosted, other: dict[str, Any]):
    policies.apply(hosted, RULES)

    findings = audit(hosted, replace(RULES, **other))

    assert findings.changed
    assert not findings.missing
    assert not findings.is_sound


def test_a_policy_that_is_gone_is_missing(hosted):
    policies.apply(hosted, RULES)
    hosted.execute(f"drop policy {LIMITED} on storage.objects")

    assert audit(hosted, RULES).missing == (LIMITED,)


@pytest.mark.parametrize(
    "change",
    [
        f"alter policy {LIMITED} on storage.objects using (true)",
        f"alter policy {LIMITED} on storage.objects to anon",
        "alter policy vivarium_update_limit on storage.objects with check (true)",
        f"drop policy {LIMITED} on storage.objects; create policy {LIMITED} on storage.objects using (true)",
    ],
)
def test_a_policy_that_somebody_changed_is_told(hosted, change: str):
    policies.apply(hosted, RULES)
    hosted.execute(change)

    findings = audit(hosted, RULES)

    assert len(findings.changed) == 1
    assert findings.missing == ()
    assert not findings.is_sound


def test_what_guides_say_is_held_back_as_long_as_the_limits_stand(hosted):
    policies.apply(hosted, RULES)
    hosted.execute(GUIDE)
    view, own = "Authenticated users can view documents", "Users can access own documents"

    assert effects(hosted) == {
        view: Effect.BLOCKED,
        own: Effect.BLOCKED,
        "members do as they like": Effect.NONE,
    }
    assert audit(hosted, RULES).is_sound

    hosted.execute("drop policy vivarium_delete_limit on storage.objects")
    assert effects(hosted)[view] == Effect.BLOCKED
    assert effects(hosted)[own] == Effect.WIDENS  # it is for every command

    hosted.execute(f"alter policy {LIMITED} on storage.objects using (true)")
    assert effects(hosted)[view] == Effect.WIDENS
    put(hosted, "documents", f"{ALICE}/plan.pdf")
    assert "get" in allowed(hosted, PEOPLE["stranger"], "documents", f"{ALICE}/plan.pdf")


def test_policies_on_buckets_are_looked_at_too(hosted):
    policies.apply(hosted, RULES)
    hosted.execute("create policy look on storage.buckets for select using (true)")
    hosted.execute("create policy careless on storage.buckets for update using (true)")
    hosted.execute("create policy own on storage.buckets for update using (id = 'theirs')")

    found = effects(hosted)
    assert (found["look"], found["careless"], found["own"]) == (Effect.NONE, Effect.BLOCKED, Effect.NONE)

    hosted.execute("drop policy vivarium_bucket_update_limit on storage.buckets")
    assert effects(hosted)["careless"] == Effect.WIDENS


def test_what_somebody_elses_restrictive_policy_refuses_is_told(hosted):
    policies.apply(hosted, RULES)
    hosted.execute("create policy office_hours on storage.objects as restrictive using (false)")

    findings = audit(hosted, RULES)

    assert effects(hosted)["office_hours"] == Effect.NARROWS
    assert not findings.is_sound
    put(hosted, "documents", f"{BOB}/plan.pdf")
    assert allowed(hosted, PEOPLE["stranger"], "documents", f"{BOB}/plan.pdf") == set()


@pytest.mark.parametrize(
    ("expression", "effect"),
    [
        ("bucket_id = 'theirs'", Effect.NONE),
        ("bucket_id = 'it''s theirs' and owner = auth.uid()", Effect.NONE),
        ("bucket_id = 'theirs' and (name = 'a' or bucket_id = 'documents')", Effect.NONE),
        ("bucket_id = 'documents'", Effect.BLOCKED),
        ("bucket_id = 'theirs' or name = 'a'", Effect.BLOCKED),
        ("(bucket_id = 'theirs' and name = 'a') or (name = 'b')", Effect.BLOCKED),
        ("bucket_id = 'theirs' or (bucket_id = 'theirs' and name = 'a')", Effect.BLOCKED),
        ("bucket_id <> 'theirs'", Effect.BLOCKED),
        ("bucket_id = 'theirs' is not true", Effect.BLOCKED),
        ("not (bucket_id = 'theirs' and name = 'a')", Effect.BLOCKED),
        ("true", Effect.BLOCKED),
        ("owner = auth.uid()", Effect.BLOCKED),
    ],
)
def test_only_a_policy_that_plainly_is_about_another_bucket_is_no_concern(hosted, expression, effect):
    policies.apply(hosted, RULES)
    hosted.execute(f"create policy odd on storage.objects for select using ({expression})")

    assert effects(hosted)["odd"] == effect


def test_a_policy_that_lets_objects_in_from_elsewhere_is_a_concern(hosted):
    policies.apply(hosted, RULES)
    hosted.execute(
        "create policy odd on storage.objects for update using (bucket_id = 'theirs') with check (true)"
    )

    assert effects(hosted)["odd"] == Effect.BLOCKED


def test_a_table_that_heeds_no_policies_is_told(supabase_database: str):
    with psycopg.connect(supabase_database) as connection, connection.transaction(force_rollback=True):
        policies.apply(connection, RULES)
        connection.execute("alter table storage.objects disable row level security")

        findings = audit(connection, RULES)

    assert not findings.is_enforced
    assert (findings.missing, findings.changed) == ((), ())
    assert not findings.is_sound


def test_looking_leaves_nothing_behind(committed: str):
    policies.apply(committed, RULES)

    assert audit(committed, RULES).is_sound
    with psycopg.connect(committed, row_factory=dict_row) as connection:
        before = policies.list_policies(connection)
        for _ in range(2):
            assert audit(connection, RULES).is_sound
        assert policies.list_policies(connection) == before
        others = connection.execute("select * from pg_policies where schemaname <> 'storage'")
        assert others.fetchall() == []


def test_another_database_is_told(supabase_database: str):
    with pytest.raises(PolicyError, match="not the database of a Supabase project"):
        audit(make_conninfo(supabase_database, dbname="postgres"), RULES)
