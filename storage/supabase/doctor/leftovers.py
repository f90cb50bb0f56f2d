"""Checks whether interrupted uploads have left objects in the buckets that STORAGES declares."""

from collections.abc import Iterator
from itertools import islice

from django.utils import timezone

from storage import buckets
from storage.contract import LEFTOVER_AGE, ObjectInfo
from storage.errors import StorageUnavailable
from storage.findings import Finding, ok, warning
from storage.supabase import SupabaseStorage
from storage.supabase.backend import STAGING_FOLDER
from storage.supabase.buckets import list_buckets

MAX_LISTED = 1000  # objects of each bucket: one page of the list


def check_leftovers() -> Iterator[Finding]:
    """Look at the first MAX_LISTED objects in the staging folder of each bucket, and at no others."""
    existing, is_well, young = list_buckets(), True, 0
    for name in buckets.declared():
        if name not in existing:
            continue
        try:
            objects = list(islice(SupabaseStorage(name).walk(f"{STAGING_FOLDER}/"), MAX_LISTED))
        except StorageUnavailable as error:
            is_well = False
            what = f"The staging folder of {name} could not be listed: {error}."
            yield warning("leftovers", what, "Try again later.")
            continue
        latest = timezone.now() - LEFTOVER_AGE
        if old := [each for each in objects if each.last_modified <= latest]:
            is_well = False
            yield _leftovers(name, old)
        young += len(objects) - len(old)
    if is_well:
        arriving = f" Younger, and perhaps still arriving: {young}." if young else ""
        yield ok("leftovers", f"Interrupted uploads have left nothing that is older than a day.{arriving}")


def _leftovers(bucket: str, objects: list[ObjectInfo]) -> Finding:
    number = f"{len(objects)} or more" if len(objects) == MAX_LISTED else str(len(objects))
    oldest = min(each.last_modified for each in objects)
    what = f"Leftovers of interrupted uploads in {bucket}: {number}, the oldest of {oldest:%Y-%m-%d}."
    return warning("leftovers", what, "Run `manage.py sweep` once a day: it deletes them.")
