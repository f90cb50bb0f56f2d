"""Whether the policies of the project's database give the answers of the API."""

from collections.abc import Iterator

from storage.findings import Finding, ok, problem, warning
from storage.supabase import policies
from storage.supabase.policies import Policy, PolicyError
from storage.supabase.policy_audit import Effect, inspect

SET_UP = "Run `manage.py setup_supabase --database URL`."


def row_level_security(database: str, *, direct_uploads: bool = False) -> Iterator[Finding]:
    """`database`: the URL of the project's database, which is in no finding."""
    try:
        found = inspect(database, policies.from_settings(direct_uploads=direct_uploads))
    except PolicyError as error:
        yield problem("policies", f"The policies could not be read: {error}", "Mend the URL of --database.")
        return
    if not found.enforced:
        cure = "alter table storage.objects enable row level security;"
        yield problem("policies", "The tables of Storage heed no policies.", cure)
    for what, names in (("missing", found.missing), ("changed", found.changed)):
        if names:
            yield problem("policies", f"{what.capitalize()}: {', '.join(sorted(names))}.", SET_UP)
    for policy, effect in found.others:
        yield from _others(policy, effect)
    if found.enforced and not found.missing and not found.changed:
        yield ok("policies", f"All {len(policies.NAMES)} are in place.")


def _others(policy: Policy, effect: Effect) -> Iterator[Finding]:
    name = f"The policy {policy.name!r} on {policy.table}, which is not ours,"
    match effect:
        case Effect.WIDENS:
            yield problem("policies", f"{name} may let more people in.", SET_UP)
        case Effect.NARROWS:
            yield warning(
                "policies", f"{name} may refuse what the API allows.", "Drop it, or narrow it down."
            )
        case Effect.HELD:
            yield ok("policies", f"{name} would let more people in; ours hold it back.")
