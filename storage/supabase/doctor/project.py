"""Checks that the project accepts the secret key, and that its buckets are as STORAGES declares them."""

from collections.abc import Iterator
from itertools import takewhile

from django.conf import settings

from storage import buckets
from storage.buckets import Bucket
from storage.errors import StorageMisconfigured, StorageUnavailable
from storage.findings import Finding, ok, problem, warning
from storage.supabase import api_keys, configuration
from storage.supabase.buckets import (
    describe,
    differences,
    exceeds_global_limit,
    find_other_case,
    list_buckets,
)
from storage.supabase.client import load_sdk
from storage.supabase.doctor import http
from storage.supabase.doctor.http import Stopwatch
from storage.supabase.setup import above_global_limit, blocking_problems, case_mismatch


def check_key() -> Iterator[Finding]:
    """Check the format of the keys, then list the buckets, which only the secret key may do."""
    found = [each for each in blocking_problems() if each.name == "key"]
    yield from found or configuration.check_secret_key()
    yield from configuration.check_publishable_key()
    if found:
        return
    load_sdk()  # loaded now, so that the time of the import is not measured
    watch = Stopwatch()
    try:
        existing = list_buckets()
    except StorageMisconfigured:
        yield problem(
            "key",
            "Storage refuses SUPABASE_SECRET_KEY: it is not a key of this project.",
            _refused_key_cure(),
        )
    except StorageUnavailable as error:
        yield problem("key", f"The buckets could not be listed: {error}.", "Try again later.")
    else:
        yield _accepted(existing, watch.ms)


def check_signing() -> Iterator[Finding]:
    found = list(configuration.check_signing())
    signer = "Storage" if settings.SUPABASE_SIGNING == "server" else "this API, with SUPABASE_JWT_SECRET"
    yield from found or [ok("signing", f"URLs are signed by {signer}.")]


def check_buckets() -> Iterator[Finding]:
    """Yield one finding or more for each declared bucket, named `bucket.<name>`."""
    existing = list_buckets()
    declared = buckets.declared().values()
    limits = {bucket.file_size_limit for bucket in declared if bucket.file_size_limit}
    refused: set[int] = set()
    try:
        refused.update(takewhile(exceeds_global_limit, sorted(limits, reverse=True)))
    except StorageUnavailable as error:
        what = f"The project's global file size limit could not be checked: {error}."
        yield warning("buckets", what, "Try again later.")
    for wanted in declared:
        yield from _check_bucket(wanted, existing, is_too_large=wanted.file_size_limit in refused)


def _check_bucket(wanted: Bucket, existing: dict[str, Bucket], *, is_too_large: bool) -> Iterator[Finding]:
    """`is_too_large`: its limit is above the global limit of the project."""
    found = existing.get(wanted.name)
    name = f"bucket.{wanted.name}"
    problems = [above_global_limit(wanted)] if is_too_large else []
    if found is not None:
        yield from [*_differences(name, found, wanted), *problems] or [ok(name, f"{describe(found)}.")]
        return
    yield from problems
    if other := find_other_case(wanted.name, existing):
        yield case_mismatch(wanted.name, other)
    else:
        yield problem(name, f"bucket {wanted.name!r} not found.", _setup_cure())


def _accepted(existing: dict[str, Bucket], ms: float) -> Finding:
    if not existing:
        cure = (
            "If the dashboard shows buckets, this is not the secret key: "
            f"{configuration.COPY_SECRET_KEY} Otherwise create them, as said below."
        )
        return warning("key", "SUPABASE_SECRET_KEY is accepted, but it lists no buckets.", cure, ms=ms)
    is_legacy = api_keys.parse(settings.SUPABASE_SECRET_KEY).kind == "service_role"
    if is_legacy and configuration.project_ref(settings.SUPABASE_URL):
        what = "SUPABASE_SECRET_KEY is accepted; it is a legacy key, and Supabase removes these late in 2026."
        return warning("key", what, configuration.COPY_SECRET_KEY, ms=ms)
    return http.ok_or_slow("key", "SUPABASE_SECRET_KEY is accepted.", ms)


def _setup_cure() -> str:
    """Return how to create and correct buckets. `setup_supabase` knows those of Vivarium only."""
    is_vivarium = hasattr(settings, "STORAGE")
    return "Run `manage.py setup_supabase`." if is_vivarium else "Create it, or correct it, in the dashboard."


def _refused_key_cure() -> str:
    is_new = api_keys.parse(settings.SUPABASE_SECRET_KEY).kind == "secret"
    if is_new and not configuration.project_ref(settings.SUPABASE_URL):
        return (
            "Set the secret key of this stack; if its gateway does not support sb_secret_… keys, set its "
            "service_role JWT."
        )
    return configuration.COPY_SECRET_KEY


def _differences(name: str, found: Bucket, wanted: Bucket) -> Iterator[Finding]:
    for each in differences(found, wanted):
        what = f"bucket {wanted.name!r}: {each.field} is {each.current}, and should be {each.wanted}."
        yield problem(name, what, _setup_cure()) if each.is_problem else warning(name, what, _setup_cure())
