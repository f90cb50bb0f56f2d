"""The project that files are moved to, asked before the first one."""

from collections.abc import Iterable

from storage.base import StorageMisconfigured
from storage.buckets import Bucket
from storage.supabase_client import ours, retried, sdk


def buckets_of(names: Iterable[str]) -> dict[str, Bucket]:
    """The named buckets as they are there. Raises StorageMisconfigured with the cure, StorageUnavailable."""

    rows = retried(lambda: ours(sdk().list_buckets, "the list of buckets"))
    there = {
        row.id: Bucket(row.id, row.public, row.file_size_limit, tuple(row.allowed_mime_types or ()))
        for row in rows
    }
    wanted = sorted(set(names))
    missing = [name for name in wanted if name not in there]
    if missing:
        raise StorageMisconfigured(
            f"The project has no bucket {' and no bucket '.join(missing)}: run `manage.py setup_supabase`."
        )
    return {name: there[name] for name in wanted}
