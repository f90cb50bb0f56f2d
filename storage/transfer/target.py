"""The project that files are moved to, asked before the first one."""

import secrets
import time
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeVar

from storage.buckets import Bucket
from storage.errors import ObjectMissing, StorageMisconfigured, StorageUnavailable
from storage.keys import InvalidKey
from storage.supabase import SupabaseStorage
from storage.supabase.client import call
from storage.transfer.local_files import Outside, find, media_root
from storage.transfer.references import Reference

Result = TypeVar("Result")

LONGEST_PAUSE = 120  # seconds, also when the project asks for more
SAMPLE = 20  # references, of which one should have its file
SAME_TIME = 0.01  # seconds


def buckets_of(names: Iterable[str]) -> dict[str, Bucket]:
    """The named buckets as they are there. Raises StorageMisconfigured with the cure, StorageUnavailable."""

    rows = _once_more(lambda: call(lambda sdk: sdk.list_buckets(), "the list of buckets"))
    there = {
        row.id: Bucket(row.id, row.public, row.file_size_limit, tuple(row.allowed_mime_types or ()))
        for row in rows
    }
    wanted = sorted(set(names))
    missing = [name for name in wanted if name not in there]
    if missing:
        raise StorageMisconfigured(
            f"The project has no bucket {', no bucket '.join(missing)}: run `manage.py setup_supabase` for "
            "Vivarium's own, make others in the dashboard."
        )
    return {name: there[name] for name in wanted}


def _once_more(act: Callable[[], Result]) -> Result:
    """Where the project says when to ask again, it is asked then."""
    try:
        return act()
    except StorageUnavailable as error:
        if not error.retry_after:
            raise
        time.sleep(min(error.retry_after, LONGEST_PAUSE))
    return act()


def is_same_store(references: Iterable[Reference]) -> bool:
    """Whether the target is a local store on this very MEDIA_ROOT: to clear up would be to lose everything.

    Its objects then have the times of the files here; an object that was brought has that of its arrival,
    which may be the same by chance. So it is asked for a file that is laid into the bucket's folder by hand.
    """
    for reference in islice(references, SAMPLE):
        try:
            here = find(reference.column, reference.name).path.stat()
        except (Outside, OSError):
            continue
        try:
            there = SupabaseStorage(reference.column.bucket).describe(reference.name)
        except InvalidKey:
            continue
        except ObjectMissing:
            return False
        same_time = abs(there.last_modified.timestamp() - here.st_mtime) < SAME_TIME
        return same_time and there.size == here.st_size and _has_what_is_laid_here(reference.column.bucket)
    return False


def _has_what_is_laid_here(bucket: str) -> bool:
    probe = media_root() / bucket / f".probe-{secrets.token_hex(16)}"
    try:
        probe.touch()
    except OSError:  # no such folder, or nothing can be written, or deleted, here
        return False
    try:
        return SupabaseStorage(bucket).exists(probe.name)
    finally:
        probe.unlink()
