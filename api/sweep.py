"""The steps of the sweep: they finish in storage and in the database what requests have begun or forgotten.

Every step can be repeated after a crash. Any number of sweeps may run at once: tickets and removals are
claimed in the database, and all other work can be done twice without harm. Each task has the time for storage
calls of one request, so that a storage that does not answer cannot stop the sweep.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import chain, islice
from typing import Any

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import Q, QuerySet
from django.utils import timezone

from api import database_outages
from api.admin_site.login_limits import AttemptCount
from api.catalog import qr_codes
from api.catalog.models import Species
from api.exceptions import Refused, ScannerUnavailable
from api.idempotency import IdempotencyKey
from api.pictures.models import PictureModel, picture_models
from api.uploads import lifecycle, removals, renditions
from api.uploads.models import Removal, Upload, WebhookMessage
from storage.base import ObjectInfo, incoming_store
from storage.budget import request_budget
from storage.errors import StorageError
from storage.sweep import LEFTOVERS, Options, Result, Step, Task, leftover_steps, run_steps

BATCH_SIZE = 200  # objects whose tickets are read with one query
#: The action for each state in which a ticket is after it was handled; none for the others.
ACTIONS_OF_STATES = {
    Upload.State.COMPLETED: "completed",
    Upload.State.REJECTED: "rejected",
    Upload.State.CANCELLED: "rejected",
    Upload.State.EXPIRED: "expired",
}

State = Upload.State


def sweep(options: Options) -> Iterator[Result]:
    """Run all steps, and yield what was done. A step that fails does not keep the others from running."""
    limits = partial(request_budget, settings.STORAGE_TIMEOUT)
    steps = chain(map(Step, STEPS), leftover_steps())
    return run_steps(steps, replace(options, is_outage=is_outage, limits=limits))


def is_outage(error: Exception) -> bool:
    """Return True if a service does not work, so that the next sweep may do what failed."""
    is_service = isinstance(error, StorageError | ScannerUnavailable)
    return is_service or database_outages.is_outage(error)


# --- Tickets ------------------------------------------------------------------------------------------


def finish_tickets(options: Options) -> Iterator[Task]:
    """Complete the tickets whose verification a crash, or a failure of the storage, has interrupted.

    A ticket that was completed before its file arrived looks the same, and is tried again.
    """
    interrupted = Upload.objects.filter(state=State.PENDING).exclude(final_key="", earlier_keys=[])
    tickets = interrupted | Upload.objects.with_expired_lease(timezone.now())
    for upload in tickets.order_by("updated_at")[: options.limit]:
        yield Task("completed", str(upload.pk), partial(_complete, upload))


def complete_arrivals(options: Options) -> Iterator[Task]:
    """Complete the tickets whose file has arrived and whose client has not called back.

    Deletes from the bucket of incoming uploads what no unsettled ticket names: a file that was sent again
    with a used token, or with the token of a ticket that was deleted.
    """
    store = incoming_store()
    objects = store.walk()
    while batch := list(islice(objects, BATCH_SIZE)):
        tickets = _tickets_of([found.key for found in batch])
        for found in batch:
            upload = tickets.get(found.key)
            if upload and upload.path == found.key and upload.state in (State.PENDING, State.EXPIRED):
                yield Task("completed", str(upload.pk), partial(_complete, upload))
            elif _is_unwanted(found, upload):
                yield Task("discarded", f"{store.bucket}/{found.key}", partial(_discard, found.key))


def _tickets_of(keys: list[str]) -> dict[str, Upload]:
    """Return the tickets whose files arrive, or are held, under these keys of the incoming bucket."""
    tickets = Upload.objects.filter(Q(path__in=keys) | Q(held_key__in=keys))
    return {key: upload for upload in tickets for key in (upload.path, upload.held_key)}


def _is_unwanted(found: ObjectInfo, upload: Upload | None) -> bool:
    """Return True for an object that cannot be recorded. `upload` is the ticket that names it."""
    if upload is None:
        return timezone.now() - found.created_at > timedelta(seconds=settings.UPLOAD_URL_TTL)
    return upload.is_settled or (upload.state == State.HELD and found.key == upload.path)


def expire_tickets(options: Options) -> Iterator[Task]:
    """Mark the tickets that have expired without a file, and delete what they left in storage."""
    tickets = Upload.objects.filter(state=State.PENDING, expires_at__lt=timezone.now())
    for upload in tickets.order_by("updated_at")[: options.limit]:
        yield Task("expired", str(upload.pk), partial(_handle, lifecycle.expire, upload))


def purge_tickets(options: Options) -> Iterator[Task]:
    """Delete the tickets that were settled, or marked as expired, TICKET_RETENTION_DAYS ago. 0 keeps all."""
    if settings.TICKET_RETENTION_DAYS:
        before = timezone.now() - timedelta(days=settings.TICKET_RETENTION_DAYS)
        old = Upload.objects.purgeable().filter(updated_at__lt=before).order_by("updated_at")
        for upload in old[: options.limit]:
            yield Task("purged", f"ticket {upload.pk}", partial(_purge, upload))


def purge_expired(options: Options) -> Iterator[Task]:
    """Delete what is only kept for some time: keys of requests, ids of messages, counts and sessions."""
    expired: tuple[QuerySet[Any], ...] = (
        IdempotencyKey.objects.expired(),
        WebhookMessage.objects.expired(),
        AttemptCount.objects.expired(),
        Session.objects.filter(expire_date__lt=timezone.now()),
    )
    for rows in expired:
        if number := rows.count():
            yield Task("purged", str(rows.model._meta.verbose_name_plural), partial(_delete, rows), number)


def _complete(upload: Upload) -> str | None:
    return _handle(partial(lifecycle.complete, wait=False), upload)


def _handle(act: Callable[[Upload], Upload], upload: Upload) -> str | None:
    """Return the action for the state in which the ticket is afterwards, None if it is still open.

    Raises StorageUnavailable, ScannerUnavailable.
    """
    try:
        upload = act(upload)
    except Refused:
        upload.refresh_from_db()
    except Upload.DoesNotExist:  # deleted meanwhile, with its member
        return None
    return ACTIONS_OF_STATES.get(State(upload.state))


def _discard(key: str) -> str:
    incoming_store().delete_if_exists(key)
    return "discarded"


def _delete(rows: QuerySet[Any]) -> str:
    rows.delete()
    return "purged"


def _purge(upload: Upload) -> str | None:
    deleted, _ = Upload.objects.purgeable().filter(pk=upload.pk, updated_at=upload.updated_at).delete()
    return "purged" if deleted else None


# --- Objects ------------------------------------------------------------------------------------------


def carry_out_removals(options: Options) -> Iterator[Task]:
    """Delete the objects whose removal is due."""
    find = removals.find_due if options.dry_run else removals.claim_due
    for removal in find(options.limit, retry_all=options.retry_all):
        yield Task("removed", str(removal), partial(_remove, removal))


def make_renditions(options: Options) -> Iterator[Task]:
    """Make the renditions of pictures that the request could not make."""
    for model in picture_models():
        due = model._base_manager.filter(renditions_due_at__lte=timezone.now())
        for picture in due.order_by("renditions_due_at")[: options.limit]:
            yield Task("renditions", f"{model._meta.label} {picture.pk}", partial(_make_renditions, picture))


def make_qr_codes(options: Options) -> Iterator[Task]:
    """Make the QR codes that could not be stored when their species were created."""
    for species in Species.objects.filter(qr_code="").order_by("pk")[: options.limit]:
        yield Task("qr_codes", species.slug, partial(_make_qr_code, species))


def _remove(removal: Removal) -> str:
    removals.carry_out_one(removal)
    return "removed"


def _make_renditions(picture: PictureModel) -> str | None:
    return "renditions" if renditions.make_due(picture) else None


def _make_qr_code(species: Species) -> str | None:
    try:
        qr_codes.make(species, only_missing=True)
    except (Species.DoesNotExist, qr_codes.CodeExists):  # deleted, or made, meanwhile
        return None
    return "qr_codes"


#: Removals come after the tickets, which may schedule some. Leftovers are deleted at the end.
STEPS: tuple[Callable[[Options], Iterable[Task]], ...] = (
    finish_tickets,
    complete_arrivals,
    expire_tickets,
    carry_out_removals,
    make_renditions,
    make_qr_codes,
    purge_tickets,
    purge_expired,
)
#: The actions of a Result, which are the figures of the log. `docs/operations.md` explains each.
ACTIONS = (
    "completed",
    "rejected",
    "discarded",
    "expired",
    "removed",
    LEFTOVERS,
    "renditions",
    "qr_codes",
    "purged",
)
