"""Erases a member: documents and other rows with an owner, their objects, tickets, avatar and profile.

The fields of these rows name their owner: see `owner_field` of UploadField.

The transaction that deletes a row schedules the removal of its objects. So an erasure that stops at any point
leaves no row without its file, and the next call finishes it. Rows are deleted by compare-and-swap, so that a
file that is recorded meanwhile is removed too. No storage call is made inside a transaction.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Any
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, models, transaction

from api.base_models import owned_models
from api.exceptions import Refused
from api.idempotency import IdempotencyKey
from api.profiles.models import Profile
from api.uploads import lifecycle, removals
from api.uploads.attachments import keys_in, objects_of
from api.uploads.models import Removal, Upload
from storage.base import SignedStorage
from storage.errors import StorageError
from storage.fields import all_as_read, stored_files, upload_fields_of


@dataclass(frozen=True, slots=True)
class Deletion:
    """Something that was deleted. `kind` is object, ticket, profile, or another name of a model.

    `name` is the id of a row, or `<bucket>/<key>` of an object.
    """

    kind: str
    name: str


def erase(member: UUID) -> Iterator[Deletion]:
    """Delete all data of this member, and yield each deletion. Idempotent, also for concurrent callers.

    A generator: nothing is deleted until it is iterated. Raises StorageUnavailable before anything is
    deleted, and Refused while a file of the member is being verified; then the next call deletes what is
    left. If the storage fails to delete an object, the sweep deletes it: see `is_pending`. Raises
    IntegrityError if a row that is not one of `owned_models` protects the profile.
    """
    found = _objects_in_folders(member)  # also objects that no row names
    while True:
        for rows in _rows_of(member):
            for row in rows:
                yield from _delete_resource(row, member)
        yield from _delete_tickets(Upload.objects.filter(owner=member), member)
        IdempotencyKey.objects.filter(owner=member).delete()
        try:
            profile = Profile.objects.filter(pk=member).first() or Profile(pk=member)
            yield from _delete_resource(profile, member)
        except IntegrityError:
            if not any(rows.exists() for rows in _rows_of(member)):
                raise  # a row without a file, which only its own app can delete, refers to the profile
            continue  # the member created another row meanwhile
        break
    # Those of requests that were in progress. Later ones find no profile.
    yield from _delete_tickets(Upload.objects.filter(owner=member), member)
    IdempotencyKey.objects.filter(owner=member).delete()
    removals.schedule(found, member)
    yield from _remove_objects(member)


def is_pending(member: UUID) -> bool:
    """Return True if an object of this erased member is not deleted yet.

    The storage has failed, or another request is just storing a rendition, which it will not record.
    """
    return Removal.objects.filter(resource_id=member).exists()


def kinds_of_summary() -> list[str]:
    """Return the keys of `summary`: `documents`, those of other owned models, `objects` and `tickets`."""
    return [f"{kind}s" for kind in (*(_kind(model) for model in owned_models()), "object", "ticket")]


def summary(deletions: Iterable[Deletion]) -> dict[str, int]:
    """Return how many were deleted, by kind."""
    numbers = Counter(f"{deletion.kind}s" for deletion in deletions)
    return {kind: numbers[kind] for kind in kinds_of_summary()}


def _kind(model: type[models.Model]) -> str:
    return model._meta.model_name or ""


def _rows_of(member: UUID) -> list[models.QuerySet[Any]]:
    return [model._base_manager.filter(**{owner: member}) for model, owner in owned_models().items()]


def _delete_resource(resource: models.Model, member: UUID) -> Iterator[Deletion]:
    """Delete all tickets for the row, and then the row. Schedules the removal of their objects."""
    while True:
        yield from _delete_tickets(Upload.objects.for_resource(resource), member)
        if _delete_row(resource, member):
            yield Deletion(_kind(type(resource)), str(resource.pk))
            return
        try:
            resource.refresh_from_db()  # a file was recorded, or a ticket issued, meanwhile
        except ObjectDoesNotExist:
            return


def _delete_row(resource: models.Model, member: UUID) -> bool:
    """Delete the row unless its files have changed or it has a ticket. Returns True if it was deleted."""
    files = stored_files(resource)
    as_read = all_as_read(files)
    with transaction.atomic(durable=True):
        # Locked, because Django deletes a row that other tables refer to with several queries.
        row = type(resource)._base_manager.select_for_update().filter(pk=resource.pk, **as_read).first()
        if row is not None and not Upload.objects.for_resource(resource).exists():
            row.delete()
            removals.schedule([(file.storage, file.key) for file in files], member)
            return True
    return False


def _delete_tickets(tickets: models.QuerySet[Upload], member: UUID) -> Iterator[Deletion]:
    for upload in list(tickets):
        try:
            if _delete_ticket(upload, member):
                yield Deletion("ticket", str(upload.pk))
        except Upload.DoesNotExist:
            continue  # deleted by a concurrent erasure


def _delete_ticket(upload: Upload, member: UUID) -> bool:
    """Delete the ticket and schedule the removal of its objects. Returns True if it was deleted.

    An object that is in use, such as an image that staff uploaded, stays.
    """
    if not upload.is_settled:
        _cancel_unless_completed(upload)
        upload.refresh_from_db()
    in_use = _recorded_keys(upload)  # read after the ticket is settled: no other key can be recorded now
    with transaction.atomic(durable=True):
        deleted, _ = Upload.objects.filter(pk=upload.pk).delete()
        if deleted:
            sent = [(store, key) for store, key in objects_of(upload) if key not in in_use]
            removals.schedule(sent, member, may_appear=True)
    return bool(deleted)


def _cancel_unless_completed(upload: Upload) -> None:
    try:
        lifecycle.cancel(upload, keep_resource=True)  # the rows are deleted one by one
    except Refused as refused:
        if refused.code != "ticket_completed":
            raise


def _recorded_keys(upload: Upload) -> set[str]:
    """Return the keys of this ticket that a row names."""
    field = upload.field()
    rows = field.model._base_manager.filter(**{f"{field.name}__in": upload.chosen_keys()})
    return set(rows.values_list(field.name, flat=True))


def _objects_in_folders(member: UUID) -> list[tuple[SignedStorage, str]]:
    """Return all objects in the member's folders, also those that no row names. Raises StorageUnavailable."""
    resources = [
        Profile(pk=member),
        *(row for model, owner in owned_models().items() for row in _possible_rows(model, owner, member)),
    ]
    return [
        (store, key)
        for store, folder in dict.fromkeys(
            (file.storage, file.field.folder(resource))
            for resource in resources
            for file in stored_files(resource)
        )
        for key in keys_in(store, folder)
    ]


def _possible_rows(model: Any, owner: str, member: UUID) -> Iterator[models.Model]:
    """Yield a row, which is not saved, for every folder where the files of this member may be."""
    names = sorted({name for field in upload_fields_of(model) for name in field.placed_by})
    for values in product(*(_possible_values(model._meta.get_field(name)) for name in names)):
        yield model(**{owner: member}, **dict(zip(names, values, strict=True)))


def _possible_values(field: Any) -> list[Any]:
    if isinstance(field, models.BooleanField):
        return [False, True]
    return [value for value, _label in field.flatchoices] or [field.get_default()]


def _remove_objects(member: UUID) -> Iterator[Deletion]:
    """Delete the objects of the erased member, and yield those that existed."""
    for removal in Removal.objects.for_resource(member):
        with suppress(StorageError):
            if removals.carry_out_one(removal):
                yield Deletion("object", str(removal))
