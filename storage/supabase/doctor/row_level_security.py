"""Checks that the row-level security policies in the project's database give the answers of the API."""

from collections.abc import Iterator

from storage.findings import Finding, ok, problem, warning
from storage.supabase import policies
from storage.supabase.policies import Policy, PolicyError
from storage.supabase.policy_audit import Effect, audit

RUN_SETUP = "Run `manage.py setup_supabase --database URL`."


def check_policies(database: str, *, direct_uploads: bool = False) -> Iterator[Finding]:
    """Compare the policies with Vivarium's. `database`: the URL of the database. It appears in no finding."""
    try:
        result = audit(database, policies.from_settings(direct_uploads=direct_uploads))
    except PolicyError as error:
        yield problem(
            "policies", f"The policies could not be read: {error}", "Correct the URL of --database."
        )
        return
    if not result.is_enforced:
        cure = "Run: alter table storage.objects enable row level security;"
        yield problem("policies", "Row-level security is disabled on the tables of Storage.", cure)
    for what, names in (("missing", result.missing), ("changed", result.changed)):
        if names:
            yield problem("policies", f"{what.capitalize()}: {', '.join(sorted(names))}.", RUN_SETUP)
    for policy, effect in result.others:
        yield from _other_policy(policy, effect)
    if result.is_enforced and not result.missing and not result.changed:
        yield ok("policies", f"All {len(policies.NAMES)} policies are in place.")


def _other_policy(policy: Policy, effect: Effect) -> Iterator[Finding]:
    """Yield a finding for a policy that is not Vivarium's, unless it has no effect on Vivarium's buckets."""
    name = f"The policy {policy.name!r} on {policy.table}, which is not Vivarium's,"
    match effect:
        case Effect.WIDENS:
            yield problem("policies", f"{name} may grant access that the API denies.", RUN_SETUP)
        case Effect.NARROWS:
            what = f"{name} may deny access that the API grants."
            yield warning("policies", what, "Drop it, or restrict it to other buckets.")
        case Effect.BLOCKED:
            yield ok("policies", f"{name} would grant more access, but Vivarium's policies block it.")
