"""Removes objects from storage: what must be deleted is a row first, and the row stays until it is gone.

Whatever frees an object calls `schedule` in its transaction, and `carry_out` after the commit. If the storage
fails or the process dies, `manage.py sweep` carries the removal out. An object that is created before the row
that names it has a reservation: see `reserve`. Keys are random and never used again, so an object with a
scheduled removal can be deleted at any time, by several processes at once.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from api.uploads.models import Removal, RemovalQuerySet
from storage.base import SignedStorage, signed_stores
from storage.errors import StorageError, StorageMisconfigured, StorageUnavailable
from storage.keys import InvalidKey

#: How long a request that nobody waits for any more may still be carried out by the storage.
MAX_DELAY = timedelta(minutes=5)
CLAIMED_FOR = timedelta(minutes=1)  # for which one sweep leaves the removals of another alone
BACK_OFF = (timedelta(seconds=10), timedelta(hours=1))  # between two attempts: at first, and at most

logger = structlog.get_logger("api.removals")


# --- Writing ------------------------------------------------------------------------------------------


def schedule(
    objects: Iterable[tuple[SignedStorage, str]], resource_id: UUID, *, may_appear: bool = False
) -> list[Removal]:
    """Record that these objects must be deleted. Call it in the transaction that frees them.

    `resource_id`: the row that the objects belonged to. `may_appear`: a delayed request may still create one
    of the objects, so they are deleted once more later; the bucket of incoming uploads is listed by the sweep
    anyway. Empty keys are ignored. Returns the removals.
    """
    now = timezone.now()
    return _write(
        [
            Removal(
                bucket=store.bucket,
                key=key,
                resource_id=resource_id,
                due_at=now,
                check_until=now + MAX_DELAY if may_appear and not store.incoming else None,
            )
            for store, key in objects
            if key
        ]
    )


@contextmanager
def reserve(
    store: SignedStorage, key: str, resource_id: UUID, duration: timedelta | None = None
) -> Iterator[None]:
    """Reserve the key for an object that this block creates and records on the row.

    `duration`: how long the block may take, by default the time of one storage call.

    The block must call `confirm` in the transaction that records the key. Otherwise the object is removed: at
    once if the block raises an exception, and by the sweep if the process dies.
    """
    duration = duration or timedelta(seconds=settings.STORAGE_TIMEOUT + 2)  # one that takes longer has failed
    due_at = timezone.now() + duration
    [reservation] = _write(
        [Removal(bucket=store.bucket, key=key, resource_id=resource_id, due_at=due_at, is_reservation=True)]
    )
    try:
        yield
    except BaseException:
        carry_out(_end_reservations(Removal.objects.filter(pk=reservation.pk)))
        raise


def confirm(*objects: tuple[SignedStorage, str]) -> None:
    """End the reservations, because the keys are recorded. Call it in the transaction that records them.

    Raises StorageUnavailable if the storage was so slow that the sweep has removed an object meanwhile.
    """
    for store, key in objects:
        reservation = Removal.objects.filter(bucket=store.bucket, key=key, is_reservation=True)
        if not reservation.delete()[0]:
            raise StorageUnavailable(
                "The storage was too slow: a new object was removed before it was recorded"
            )


def _end_reservations(reservations: RemovalQuerySet) -> RemovalQuerySet:
    """Turn those that are not confirmed into removals. A delayed request may still create the object."""
    now = timezone.now()
    reservations.filter(is_reservation=True).update(
        is_reservation=False, due_at=now, check_until=now + MAX_DELAY
    )
    return reservations.filter(is_reservation=False)


def _write(removals: list[Removal]) -> list[Removal]:
    """Insert the rows, or update those that exist for the same objects of the same row.

    They are sorted, so that concurrent transactions lock them in the same order and cannot deadlock. An
    existing `check_until` stays: it says that a delayed request may still create the object.
    """
    changed = ["is_reservation", "due_at"]
    if any(removal.check_until for removal in removals):
        changed.append("check_until")
    unique = {(removal.bucket, removal.key): removal for removal in removals}
    return Removal.objects.bulk_create(
        [unique[location] for location in sorted(unique)],
        update_conflicts=True,
        unique_fields=["bucket", "key", "resource_id"],
        update_fields=changed,
    )


# --- Carrying out -------------------------------------------------------------------------------------


def carry_out(removals: Iterable[Removal]) -> bool:
    """Delete the objects. Returns True if all are gone. A failure is recorded on its row, not raised."""
    results = [_is_gone(removal) for removal in removals]
    return all(results)


def carry_out_one(removal: Removal) -> bool:
    """Delete the object and the row. Returns False if there was no such object. Raises StorageError.

    After a failure the row stays, and the sweep tries again.
    """
    try:
        existed = _store(removal.bucket).delete_if_exists(removal.key)
    except InvalidKey:  # no object can have this key
        existed = False
    except StorageError as error:
        _record_failure(removal, error)
        raise
    # Not a row that was scheduled again meanwhile, because the object may appear later.
    row = Removal.objects.filter(pk=removal.pk, is_reservation=False, check_until=removal.check_until)
    if removal.check_until and removal.check_until > timezone.now():
        row.update(due_at=removal.check_until, resource_id=None, attempts=0, last_error="")
    else:
        row.delete()
    return existed


def claim_due(limit: int, *, retry_all: bool = False) -> list[Removal]:
    """Claim up to `limit` removals that are due, so that other sweeps leave them alone for CLAIMED_FOR.

    `retry_all`: also those that wait because the storage has failed.
    """
    now = timezone.now()
    with transaction.atomic():
        # Not those that are being confirmed: two transactions that lock several could deadlock.
        ended = _lock_free(Removal.objects.filter(is_reservation=True, due_at__lte=now))
        _end_reservations(Removal.objects.filter(pk__in=[removal.pk for removal in ended]))
    now = timezone.now()
    with transaction.atomic():
        rows = Removal.objects.due(now, retry_all=retry_all).filter(is_reservation=False)
        claimed = _lock_free(rows[:limit])
        Removal.objects.filter(pk__in=[removal.pk for removal in claimed]).update(due_at=now + CLAIMED_FOR)
    return claimed


def _lock_free(rows: RemovalQuerySet) -> list[Removal]:
    """Lock the rows, without those that another transaction has locked."""
    skip_locked = connection.features.has_select_for_update_skip_locked
    return list(rows.select_for_update(skip_locked=skip_locked))


def find_due(limit: int, *, retry_all: bool = False) -> list[Removal]:
    """Return what `claim_due` would, without a change."""
    return list(Removal.objects.due(timezone.now(), retry_all=retry_all)[:limit])


def back_off(retries: int) -> timedelta:
    """Return the time to wait after so many retries. Each time it is doubled, up to an hour."""
    first, longest = BACK_OFF
    return min(first * 2 ** min(retries, 20), longest)


def _is_gone(removal: Removal) -> bool:
    try:
        carry_out_one(removal)
    except StorageError:
        return not Removal.objects.filter(pk=removal.pk).exists()  # another process was faster
    return True


def _record_failure(removal: Removal, error: StorageError) -> None:
    """The first retry is due at once; then the time between two attempts is doubled."""
    wait = back_off(removal.attempts - 1) if removal.attempts else timedelta(0)
    message = f"{type(error).__name__}: {error}"[:1000]
    Removal.objects.filter(pk=removal.pk).update(
        attempts=F("attempts") + 1, due_at=timezone.now() + wait, last_error=message
    )
    attempts = removal.attempts + 1
    logger.warning("object_not_deleted", object=str(removal), attempts=attempts, error=message)


def _store(bucket: str) -> SignedStorage:
    for store in signed_stores():
        if store.bucket == bucket:
            return store
    raise StorageMisconfigured(f"STORAGES has no entry for the bucket {bucket!r}")
