"""The buckets that a Supabase project has, held against those that it should have."""

from collections.abc import Iterable
from dataclasses import dataclass

from storage.buckets import Bucket
from storage.supabase.client import ours, retry, sdk

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Difference:
    """In words: `field` is a column. `grave`: files are refused or hidden by it, or shown to everybody."""

    field: str
    there: str
    wanted: str
    grave: bool = False


def existing() -> dict[str, Bucket]:
    """By name. Raises StorageUnavailable, StorageMisconfigured; a key that may see none gets none."""

    rows = retry(lambda: ours(sdk().list_buckets, "the list of buckets"))
    return {
        row.id: Bucket(
            row.id, row.public, row.file_size_limit or None, tuple(sorted(row.allowed_mime_types or ()))
        )
        for row in rows
    }


def namesake(name: str, names: Iterable[str]) -> str:
    """The one that is written in other case, "" if none is."""
    return next((each for each in sorted(names) if each.casefold() == name.casefold() and each != name), "")


def differences(there: Bucket, wanted: Bucket) -> list[Difference]:
    """What must change. A limit that no field sets is the project's own to set."""
    found = []
    if there.public != wanted.public:
        found.append(Difference("public", _yes_or_no(there.public), _yes_or_no(wanted.public), True))
    if wanted.file_size_limit and there.file_size_limit != wanted.file_size_limit:
        narrow = (there.file_size_limit or wanted.file_size_limit) < wanted.file_size_limit
        found.append(Difference("file_size_limit", size(there), size(wanted), narrow))
    if wanted.allowed_mime_types and {*(there.allowed_mime_types or ())} != {*wanted.allowed_mime_types}:
        narrow = not all(map(there.allows, wanted.allowed_mime_types))
        found.append(Difference("allowed_mime_types", types(there), types(wanted), narrow))
    return found


def size(bucket: Bucket) -> str:
    limit = bucket.file_size_limit
    if limit is None:
        return "no limit"
    return f"{limit // MIB} MiB" if limit % MIB == 0 else f"{limit} bytes"


def types(bucket: Bucket) -> str:
    return ", ".join(bucket.allowed_mime_types or ["any type"])


def described(bucket: Bucket) -> str:
    return f"{'public' if bucket.public else 'private'}, {size(bucket)}, {types(bucket)}"


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"
