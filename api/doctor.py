"""Everything that `check_supabase` looks at, in the order in which a person would; and the keys of tokens."""

from collections.abc import Iterator
from functools import partial

from api.auth import doctor as auth
from storage.base import incoming_store
from storage.findings import Finding
from storage.supabase.doctor import address, project
from storage.supabase.doctor.cors import cors
from storage.supabase.doctor.round_trip import round_trip
from storage.supabase.doctor.row_level_security import row_level_security
from storage.supabase.doctor.steps import Step, examine


def look_at_everything(database: str = "") -> Iterator[Finding]:
    """`database`: the URL of the project's, if its policies are to be looked at too."""
    return examine(_steps(database))


def _steps(database: str) -> Iterator[Step]:
    yield Step("store", address.store)
    yield Step("url", address.url)
    yield Step("reachable", address.reachable, needs=("url",))
    yield Step("key", project.key, needs=("url", "reachable", "storage"))
    yield Step("clock", address.clock, needs=("url", "reachable"))
    yield Step("buckets", project.buckets_there, needs=("reachable", "storage", "key"))
    yield Step("jwks", auth.jwks)
    yield Step("issuer", auth.issuer)
    yield Step("signing", project.signing)
    arrivals = f"bucket.{incoming_store().bucket}"
    yield Step(
        "round_trip", round_trip, needs=("reachable", "storage", "key", "buckets", arrivals, "signing")
    )
    if database:
        yield Step("policies", partial(row_level_security, database))
    yield Step("cors", cors, needs=("url", "reachable", "storage"))
