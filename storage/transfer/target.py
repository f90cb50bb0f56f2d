"""Checks of the target project before the first file is sent."""

import secrets
import time
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeVar

from storage.buckets import Bucket
from storage.errors import ObjectMissing, StorageMisconfigured, StorageUnavailable
from storage.keys import InvalidKey
from storage.supabase import SupabaseStorage
from storage.supabase.buckets import list_buckets
from storage.transfer.local_files import OutsideMediaRoot, locate, media_root
from storage.transfer.references import Reference

Result = TypeVar("Result")

MAX_PAUSE = 120  # seconds, also when Retry-After asks for more
SAMPLE_SIZE = 20  # references that are tried until one has a file
MTIME_TOLERANCE = 0.01  # seconds


def required_buckets(names: Iterable[str]) -> dict[str, Bucket]:
    """Return these buckets of the project. Raises StorageMisconfigured if one is missing."""
    existing = _retry_after(list_buckets)
    required = sorted(set(names))
    missing = [name for name in required if name not in existing]
    if missing:
        raise StorageMisconfigured(
            f"The project has no bucket {', no bucket '.join(missing)}: run `manage.py setup_supabase` for "
            "Vivarium's buckets, create others in the dashboard."
        )
    return {name: existing[name] for name in required}


def _retry_after(call: Callable[[], Result]) -> Result:
    """Call again once, after the time that the project's Retry-After asks for."""
    try:
        return call()
    except StorageUnavailable as error:
        if not error.retry_after:
            raise
        time.sleep(min(error.retry_after, MAX_PAUSE))
    return call()


def is_same_store(references: Iterable[Reference]) -> bool:
    """Return True if the target is a local store in this same MEDIA_ROOT: a purge would delete everything.

    Its objects then have the modification times of the local files. A sent object has the time of its upload,
    which may be the same by chance, so a probe file is written to the bucket's folder and requested too.
    """
    for reference in islice(references, SAMPLE_SIZE):
        try:
            local = locate(reference.column, reference.name).path.stat()
        except (OutsideMediaRoot, OSError):
            continue
        try:
            remote = SupabaseStorage(reference.column.bucket).describe(reference.name)
        except InvalidKey:
            continue
        except ObjectMissing:
            return False
        same_time = abs(remote.last_modified.timestamp() - local.st_mtime) < MTIME_TOLERANCE
        return same_time and remote.size == local.st_size and _serves_probe(reference.column.bucket)
    return False


def _serves_probe(bucket: str) -> bool:
    """Return True if the target has an object for a probe file in the local folder of the bucket."""
    probe = media_root() / bucket / f".probe-{secrets.token_hex(16)}"
    try:
        probe.touch()
    except OSError:  # the folder does not exist or is not writable
        return False
    try:
        return SupabaseStorage(bucket).has_object(probe.name)
    finally:
        probe.unlink()
