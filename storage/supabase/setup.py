"""Makes a Supabase project have the buckets that STORAGES and the model fields declare. Safe to repeat.

It creates and updates, and never deletes; buckets that are not declared are not touched.
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
from storage.supabase.buckets import Difference, described, differences, existing, namesake, size
from storage.supabase.client import call

Did = Literal["unchanged", "created", "updated", "refused"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one bucket, or would. `problem`: why it was refused, with the cure."""

    bucket: str
    did: Did
    differences: tuple[Difference, ...] = ()
    problem: Finding | None = None


def obstacles() -> Iterator[Finding]:
    """What is wrong with the settings, so that there is no use in asking."""
    if not settings.SUPABASE_SECRET_KEY:
        yield problem("key", "SUPABASE_SECRET_KEY is not set.", configuration.COPY)
    for rule in (configuration.url, configuration.secret_key):
        yield from (found for found in rule() if found.level == "problem")


def set_up_buckets(*, dry_run: bool = False) -> Iterator[Outcome]:
    """One at a time, so that what was done is known when one fails. Raises StorageError."""
    there = existing()
    for wanted in buckets.declared().values():
        yield _settle(wanted, there, dry_run)


def _settle(wanted: Bucket, there: dict[str, Bucket], dry_run: bool) -> Outcome:
    found = there.get(wanted.name)
    if found is None and (other := namesake(wanted.name, there)):
        return Outcome(wanted.name, "refused", problem=case_matters(wanted.name, other))
    changes = tuple(differences(found, wanted) if found else _all_of(wanted))
    if not changes:
        return Outcome(wanted.name, "unchanged")
    try:
        if not dry_run:
            _update(found, wanted) if found else _create(wanted)
    except ObjectRefused as error:
        return Outcome(wanted.name, "refused", changes, _refused(wanted, error))
    return Outcome(wanted.name, "updated" if found else "created", changes)


def case_matters(name: str, other: str) -> Finding:
    return problem(
        f"bucket.{name}",
        f"bucket {name!r} not found, there is {other!r}: names are case-sensitive.",
        f"Move the files of {other!r} and delete it in the dashboard, then run setup_supabase; if something "
        f"else needs it, make {name!r} there by hand. A default bucket is named by SUPABASE_STORAGE_BUCKET.",
    )


def _all_of(wanted: Bucket) -> list[Difference]:
    return [Difference("bucket", "missing", described(wanted))]


def _create(wanted: Bucket) -> None:
    try:
        _ask("create_bucket", wanted.name, None, _columns(wanted))
    except ObjectExists:  # made by somebody else meanwhile, or by us: the answer got lost
        _ask("update_bucket", wanted.name, _columns(wanted))


def _update(found: Bucket, wanted: Bucket) -> None:
    """All columns at once; limits that no field sets stay as they are."""
    _ask("update_bucket", wanted.name, {**_columns(found), **_limits(wanted), "public": wanted.public})


def _columns(bucket: Bucket) -> dict[str, Any]:
    none = {"file_size_limit": None, "allowed_mime_types": None}
    return {"public": bucket.public, **none, **_limits(bucket)}


def _limits(bucket: Bucket) -> dict[str, Any]:
    limits = {
        "file_size_limit": bucket.file_size_limit,
        "allowed_mime_types": list(bucket.allowed_mime_types or ()),
    }
    return {column: value for column, value in limits.items() if value}


def _ask(verb: str, name: str, *options: Any) -> None:
    call(lambda sdk: getattr(sdk, verb)(name, *options), name)


def _refused(wanted: Bucket, error: ObjectRefused) -> Finding:
    name = f"bucket.{wanted.name}"
    if "InvalidMimeType" in str(error):
        what = f"bucket {wanted.name!r}: Storage does not know one of the content types."
        return problem(name, what, "Look at DOCUMENT_TYPES: a type reads application/pdf.")
    return problem(
        name,
        f"bucket {wanted.name!r}: its limit, {size(wanted)}, is above the global limit of the project.",
        "Raise the global file size limit in the dashboard's Storage Settings (the free plan ends at 50 MB), "
        "or lower DOCUMENT_MAX_BYTES, IMAGE_MAX_BYTES or AVATAR_MAX_BYTES.",
    )
