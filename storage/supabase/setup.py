"""Creates and updates the buckets that STORAGES and the model fields declare. Safe to run again.

It never deletes a bucket, and does not touch buckets that are not declared.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from django.conf import settings

from storage import buckets
from storage.buckets import Bucket
from storage.errors import ObjectExists, ObjectRefused
from storage.findings import Finding, problem
from storage.supabase import configuration
from storage.supabase.buckets import (
    Difference,
    describe,
    differences,
    find_other_case,
    format_size_limit,
    list_buckets,
)
from storage.supabase.client import call

Result = Literal["unchanged", "created", "updated", "refused"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done to one bucket, or would be in a dry run. `problem`: why it was refused, with the cure."""

    bucket: str
    result: Result
    differences: tuple[Difference, ...] = ()
    problem: Finding | None = None


def blocking_problems() -> Iterator[Finding]:
    """Yield the problems in the settings that make any request to the project useless."""
    if not settings.SUPABASE_SECRET_KEY:
        yield problem("key", "SUPABASE_SECRET_KEY is not set.", configuration.COPY_SECRET_KEY)
    for check in (configuration.check_url, configuration.check_secret_key):
        yield from (found for found in check() if found.level == "problem")


def set_up_buckets(*, dry_run: bool = False) -> Iterator[Outcome]:
    """Yield the outcome of each bucket at once: the caller has it even if StorageError is raised later."""
    existing = list_buckets()
    for wanted in buckets.declared().values():
        yield _set_up(wanted, existing, dry_run)


def _set_up(wanted: Bucket, existing: dict[str, Bucket], dry_run: bool) -> Outcome:
    found = existing.get(wanted.name)
    if found is None and (other := find_other_case(wanted.name, existing)):
        return Outcome(wanted.name, "refused", problem=case_mismatch(wanted.name, other))
    changes = tuple(differences(found, wanted) if found else _missing(wanted))
    if not changes:
        return Outcome(wanted.name, "unchanged")
    try:
        if not dry_run:
            _update(found, wanted) if found else _create(wanted)
    except ObjectRefused as error:
        return Outcome(wanted.name, "refused", changes, _refusal(wanted, error))
    return Outcome(wanted.name, "updated" if found else "created", changes)


def case_mismatch(name: str, other: str) -> Finding:
    """Return a problem: the bucket `name` is missing, but there is one that differs in case only."""
    return problem(
        f"bucket.{name}",
        f"bucket {name!r} not found, but there is {other!r}: names are case-sensitive.",
        f"Move the files of {other!r} and delete it in the dashboard, then run setup_supabase; if something "
        f"else needs it, create {name!r} in the dashboard. SUPABASE_STORAGE_BUCKET names the default bucket.",
    )


def _missing(wanted: Bucket) -> list[Difference]:
    return [Difference("bucket", "missing", describe(wanted))]


def _create(wanted: Bucket) -> None:
    try:
        _call("create_bucket", wanted.name, None, _columns(wanted))
    except ObjectExists:  # created meanwhile by another client, or by an attempt whose response was lost
        _call("update_bucket", wanted.name, _columns(wanted))


def _update(found: Bucket, wanted: Bucket) -> None:
    """Send all columns; a limit that `wanted` does not set keeps its value."""
    _call("update_bucket", wanted.name, {**_columns(found), **_limits(wanted), "public": wanted.public})


def _columns(bucket: Bucket) -> dict[str, Any]:
    none = {"file_size_limit": None, "allowed_mime_types": None}
    return {"public": bucket.public, **none, **_limits(bucket)}


def _limits(bucket: Bucket) -> dict[str, Any]:
    """Return the columns of the limits that the bucket sets."""
    limits = {
        "file_size_limit": bucket.file_size_limit,
        "allowed_mime_types": list(bucket.allowed_mime_types or ()),
    }
    return {column: value for column, value in limits.items() if value}


def _call(method: str, name: str, *options: Any) -> None:
    """Call a method of the SDK for the bucket `name`, and retry it. Raises StorageError."""
    call(lambda sdk: getattr(sdk, method)(name, *options), name)


def above_global_limit(wanted: Bucket) -> Finding:
    """Return a problem: the project accepts no file of the size that the bucket should allow."""
    return problem(
        f"bucket.{wanted.name}",
        f"bucket {wanted.name!r}: its limit, {format_size_limit(wanted)}, is above the global limit of the "
        "project.",
        "Raise the global file size limit in the dashboard's Storage Settings (the free plan allows up to "
        "50 MB), or lower DOCUMENT_MAX_BYTES, IMAGE_MAX_BYTES or AVATAR_MAX_BYTES.",
    )


def _refusal(wanted: Bucket, error: ObjectRefused) -> Finding:
    """Return a problem: the project refused the limits of the bucket."""
    if "InvalidMimeType" in str(error):
        what = f"bucket {wanted.name!r}: Storage does not accept one of the content types."
        cure = "Correct DOCUMENT_TYPES: a content type looks like application/pdf."
        return problem(f"bucket.{wanted.name}", what, cure)
    return above_global_limit(wanted)
