"""Whether the key opens the project, and whether the project has the buckets that it should have."""

from collections.abc import Iterator

from django.conf import settings

from storage import buckets
from storage.buckets import Bucket
from storage.errors import StorageMisconfigured, StorageUnavailable
from storage.findings import Finding, ok, problem, warning
from storage.supabase import api_keys, configuration
from storage.supabase.buckets import described, differences, existing, namesake
from storage.supabase.client import load_sdk
from storage.supabase.doctor import http
from storage.supabase.doctor.http import Stopwatch
from storage.supabase.setup import case_matters, obstacles

SET_UP = "Run `manage.py setup_supabase`."


def key() -> Iterator[Finding]:
    """By its looks first, then by asking for the buckets, which nobody but the service key may see."""
    found = [each for each in obstacles() if each.name == "key"]
    yield from found or configuration.secret_key()
    yield from configuration.publishable_key()
    if found:
        return
    load_sdk()  # loading it takes time that is not Storage's
    watch = Stopwatch()
    try:
        there = existing()
    except StorageMisconfigured:
        yield problem(
            "key", "Storage refuses SUPABASE_SECRET_KEY: it is not a key of this project.", _other_key()
        )
    except StorageUnavailable as error:
        yield problem("key", f"The list of buckets could not be had: {error}.", "Run this again in a while.")
    else:
        yield _accepted(there, watch.ms)


def signing() -> Iterator[Finding]:
    found = list(configuration.signing())
    by = "Storage" if settings.SUPABASE_SIGNING == "server" else "SUPABASE_JWT_SECRET"
    yield from found or [ok("signing", f"URLs are signed by {by}.")]


def buckets_there() -> Iterator[Finding]:
    """One finding or more for each bucket, named after it."""
    there = existing()
    for wanted in buckets.declared().values():
        yield from _bucket(wanted, there)


def _bucket(wanted: Bucket, there: dict[str, Bucket]) -> Iterator[Finding]:
    found = there.get(wanted.name)
    name = f"bucket.{wanted.name}"
    if found is not None:
        yield from list(_wrong(name, found, wanted)) or [ok(name, f"{described(found)}.")]
    elif other := namesake(wanted.name, there):
        yield case_matters(wanted.name, other)
    else:
        yield problem(name, f"bucket {wanted.name!r} not found.", SET_UP)


def _accepted(there: dict[str, Bucket], ms: float) -> Finding:
    if not there:
        cure = f"If the dashboard shows some, it is not the service key: {configuration.COPY} Else: {SET_UP}"
        return warning("key", "SUPABASE_SECRET_KEY is accepted, and sees no bucket.", cure, ms=ms)
    legacy = api_keys.read(settings.SUPABASE_SECRET_KEY).kind == "service_role"
    if legacy and configuration.ref_of(settings.SUPABASE_URL):
        what = "SUPABASE_SECRET_KEY is accepted; it is a legacy key, and these go away late in 2026."
        return warning("key", what, configuration.COPY, ms=ms)
    return http.timed("key", "SUPABASE_SECRET_KEY is accepted.", ms)


def _other_key() -> str:
    is_new = api_keys.read(settings.SUPABASE_SECRET_KEY).kind == "secret"
    if is_new and not configuration.ref_of(settings.SUPABASE_URL):
        return "Set the key of this stack; where no gateway knows sb_secret_… keys, its service_role JWT."
    return configuration.COPY


def _wrong(name: str, there: Bucket, wanted: Bucket) -> Iterator[Finding]:
    for each in differences(there, wanted):
        what = f"bucket {wanted.name!r}: {each.field} is {each.there}, and should be {each.wanted}."
        yield problem(name, what, SET_UP) if each.grave else warning(name, what, SET_UP)
