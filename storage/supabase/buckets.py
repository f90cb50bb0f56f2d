"""The buckets of a Supabase project, and how they differ from the buckets that STORAGES declares."""

from collections.abc import Iterable
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from storage.buckets import Bucket
from storage.errors import ObjectRefused, StorageMisconfigured
from storage.supabase.client import call, request, retry, translate_errors

MIB = 1024 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class Difference:
    """A column of a bucket that differs. `current` and `wanted` are texts for people.

    `is_problem`: uploads are refused, or objects are hidden, or shown to everybody, because of it.
    """

    field: str
    current: str
    wanted: str
    is_problem: bool = False


def list_buckets() -> dict[str, Bucket]:
    """Return the project's buckets by name, with their limits as the project has them.

    Empty for a key that may not see any. Raises StorageUnavailable, StorageMisconfigured.
    """
    what = "the list of buckets"

    def get() -> dict[str, Bucket]:
        response = request("GET", "bucket", what=what)
        with translate_errors(what):
            return {row["id"]: _parse(row) for row in response.json()}

    return retry(get)


def _parse(row: dict[str, Any]) -> Bucket:
    types = tuple(row.get("allowed_mime_types") or ())
    return Bucket(row["id"], row["public"], row.get("file_size_limit"), types)


def exceeds_global_limit(size: int) -> bool:
    """Return True if the project accepts no bucket with a limit of `size` bytes. Changes nothing.

    It is asked to update a bucket that does not exist: Storage checks the limit first, then the name.
    Raises StorageUnavailable.
    """
    name = f"check-{token_hex(16)}"
    try:
        call(lambda sdk: sdk.update_bucket(name, {"file_size_limit": size}), name)
    except ObjectRefused:
        return True
    except StorageMisconfigured:  # no such bucket
        pass
    return False


def find_other_case(name: str, names: Iterable[str]) -> str:
    """Return the first of `names` that differs from `name` in case only, or "" if there is none."""
    return next((each for each in sorted(names) if each.casefold() == name.casefold() and each != name), "")


def differences(found: Bucket, wanted: Bucket) -> list[Difference]:
    """Return what must change in the bucket `found`. A limit that `wanted` does not set is not compared."""
    result = []
    if found.public != wanted.public:
        result.append(Difference("public", _yes_or_no(found.public), _yes_or_no(wanted.public), True))
    if wanted.file_size_limit and found.file_size_limit != wanted.file_size_limit:
        is_narrower = (found.file_size_limit or wanted.file_size_limit) < wanted.file_size_limit
        result.append(
            Difference("file_size_limit", format_size_limit(found), format_size_limit(wanted), is_narrower)
        )
    if wanted.allowed_mime_types and {*(found.allowed_mime_types or ())} != {*wanted.allowed_mime_types}:
        is_narrower = not all(map(found.allows, wanted.allowed_mime_types))
        result.append(
            Difference("allowed_mime_types", format_types(found), format_types(wanted), is_narrower)
        )
    return result


def format_size_limit(bucket: Bucket) -> str:
    limit = bucket.file_size_limit
    if not limit:
        return "no limit"
    return f"{limit // MIB} MiB" if limit % MIB == 0 else f"{limit} bytes"


def format_types(bucket: Bucket) -> str:
    return ", ".join(sorted(bucket.allowed_mime_types or ["any type"]))


def describe(bucket: Bucket) -> str:
    visibility = "public" if bucket.public else "private"
    return f"{visibility}, {format_size_limit(bucket)}, {format_types(bucket)}"


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"
