"""The doctor on row-level security: what is missing, changed, or widened by policies of others."""

from io import StringIO

import psycopg
import pytest
from django.core.management import call_command

from storage.findings import Finding
from storage.supabase import policies
from storage.supabase.doctor.row_level_security import check_policies
from storage.supabase.policies import from_settings
from tests.storage.project import GUIDE
from tests.support.project import Project


def found(database: str) -> list[tuple[str, str]]:
    return [(finding.level, finding.what) for finding in check_policies(database)]


def test_a_database_without_policies_of_ours(committed: str):
    [problem] = check_policies(committed)

    assert (problem.level, problem.name) == ("problem", "policies")
    assert problem.what.startswith("Missing: vivarium_bucket_delete_limit, ")
    assert "setup_supabase --database" in problem.cure


def test_all_is_in_place(committed: str):
    policies.apply(committed, from_settings())

    assert found(committed) == [("ok", f"All {len(policies.NAMES)} policies are in place.")]


def test_policies_of_a_guide_widen_nothing_until_one_of_ours_is_dropped(committed: str):
    policies.apply(committed, from_settings())
    with psycopg.connect(committed) as connection:
        connection.execute(GUIDE)
    held = found(committed)
    with psycopg.connect(committed) as connection:
        connection.execute("drop policy vivarium_select_limit on storage.objects")

    widened = found(committed)

    assert {level for level, _ in held} == {"ok"}
    assert any("Vivarium's policies block it" in what for _, what in held)
    assert ("problem", "Missing: vivarium_select_limit.") in widened
    assert any(level == "problem" and "may grant access" in what for level, what in widened)


def test_a_policy_that_somebody_changed(committed: str):
    policies.apply(committed, from_settings())
    with psycopg.connect(committed) as connection:
        connection.execute("alter policy vivarium_select_limit on storage.objects using (true)")

    assert ("problem", "Changed: vivarium_select_limit.") in found(committed)


def test_a_policy_that_refuses_more_than_ours(committed: str):
    policies.apply(committed, from_settings())
    with psycopg.connect(committed) as connection:
        connection.execute("create policy closed on storage.objects as restrictive using (false)")

    [warning] = [finding for finding in check_policies(committed) if finding.level == "warning"]

    assert "'closed' on objects" in warning.what
    assert "may deny access" in warning.what


@pytest.mark.parametrize("url", ["postgresql://postgres:hush@127.0.0.1:1/postgres", "hush"])
def test_a_database_that_cannot_be_had(url: str):
    [problem] = check_policies(url)

    assert isinstance(problem, Finding)
    assert problem.level == "problem"
    assert "hush" not in problem.what + problem.cure


def test_the_command_looks_at_them_when_it_is_given_a_database(project: Project, settings, committed: str):
    settings.STORAGE, settings.SUPABASE_JWKS_URL = "supabase", ""
    printed = StringIO()

    with pytest.raises(SystemExit):
        call_command("check_supabase", "--database", committed, stdout=printed)

    assert "problem  policies: Missing: " in printed.getvalue()
