"""The checks of `check_supabase` in their order: those of Supabase Storage and those of access tokens."""

from collections.abc import Iterator
from functools import partial

from api.auth import doctor as auth
from storage.base import incoming_store
from storage.findings import Finding
from storage.supabase.doctor import address
from storage.supabase.doctor.checks import storage_steps
from storage.supabase.doctor.cors import check_cors
from storage.supabase.doctor.round_trip import check_round_trip
from storage.supabase.doctor.row_level_security import check_policies
from storage.supabase.doctor.steps import Step, run_steps
from storage.supabase.doctor.webhook import check_webhook


def run_checks(database: str = "") -> Iterator[Finding]:
    """Yield the findings of all checks. `database`: the URL of the project's database, to check its policies
    and its webhook too.
    """
    return run_steps(_steps(database))


def _steps(database: str) -> Iterator[Step]:
    yield Step("store", address.check_store)
    yield from storage_steps()
    yield Step("jwks", auth.check_jwks)
    yield Step("issuer", auth.check_issuer)
    incoming = f"bucket.{incoming_store().bucket}"
    yield Step(
        "round_trip", check_round_trip, needs=("reachable", "storage", "key", "buckets", incoming, "signing")
    )
    if database:
        yield Step("policies", partial(check_policies, database))
        yield Step("webhook", partial(check_webhook, database))
    yield Step("cors", check_cors, needs=("url", "reachable", "storage"))
