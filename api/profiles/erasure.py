"""Erases a member: documents, their objects, tickets, avatar and profile.

An erasure that stops at any point is finished by the next call. Therefore objects are deleted before the row
that names them, and the tickets of a resource before the resource, by which they are found. Rows are deleted
by compare-and-swap, so that a file that is recorded meanwhile is deleted too. No storage call is made inside
a transaction.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, models, transaction

from api.documents.models import Document
from api.exceptions import Refused
from api.idempotency import IdempotencyKey
from api.profiles.models import Profile
from api.uploads import lifecycle
from api.uploads.attachments import keys_in, objects_of
from api.uploads.models import Upload
from storage.base import SignedStorage
from storage.fields import StoredFile, stored_file, stored_files


@dataclass(frozen=True, slots=True)
class Deletion:
    """Something that was deleted. `kind` is document, object, ticket or profile.

    `name` is the id of a row, or `<bucket>/<key>` of an object.
    """

    kind: str
    name: str


def erase(member: UUID) -> Iterator[Deletion]:
    """Delete all data of this member, and yield each deletion. Idempotent, also for concurrent callers.

    A generator: nothing is deleted until it is iterated. Raises StorageUnavailable, and Refused while a file
    of the member is being verified; then the next call deletes what is left.
    """
    while True:
        for document in Document.objects.filter(owner_id=member):
            yield from _delete_resource(document)
        yield from _delete_tickets(Upload.objects.filter(owner=member))
        yield from _delete_unnamed_objects(member)
        IdempotencyKey.objects.filter(owner=member).delete()
        try:
            yield from _delete_resource(Profile.objects.filter(pk=member).first() or Profile(pk=member))
        except IntegrityError:
            continue  # the member created another document meanwhile
        return


def summary(deletions: Iterable[Deletion]) -> dict[str, int]:
    """Return how many were deleted, as `{documents, objects, tickets}`."""
    kinds = Counter(deletion.kind for deletion in deletions)
    return {f"{kind}s": kinds[kind] for kind in ("document", "object", "ticket")}


def _delete_resource(resource: models.Model) -> Iterator[Deletion]:
    """Delete all tickets for the row, its files, and then the row."""
    while True:
        yield from _delete_tickets(Upload.objects.for_resource(resource))
        files = stored_files(resource)
        for file in files:
            if file.key:
                yield from _delete_object(file.storage, file.key)
        if _delete_row(resource, files):
            yield Deletion(resource._meta.model_name or "", str(resource.pk))
            return
        try:
            resource.refresh_from_db()  # a file was recorded, or a ticket issued, meanwhile
        except ObjectDoesNotExist:
            return


def _delete_row(resource: models.Model, files: list[StoredFile]) -> bool:
    """Delete the row unless its files have changed or it has a ticket. Returns True if it was deleted."""
    as_read = {name: value for file in files for name, value in file.as_read().items()}
    with transaction.atomic(durable=True):
        # Locked, because Django deletes a row that other tables refer to with several queries.
        row = type(resource)._base_manager.select_for_update().filter(pk=resource.pk, **as_read).first()
        if row is None or Upload.objects.for_resource(resource).exists():
            return False
        row.delete()
    return True


def _delete_tickets(tickets: models.QuerySet[Upload]) -> Iterator[Deletion]:
    for upload in list(tickets):
        try:
            yield from _delete_ticket(upload)
        except Upload.DoesNotExist:
            continue  # deleted by a concurrent erasure


def _delete_ticket(upload: Upload) -> Iterator[Deletion]:
    """Delete the ticket and its objects, except one that is in use, such as an image that staff uploaded."""
    existing = [(store, key) for store, key in objects_of(upload) if store.exists(key)]
    if not upload.is_settled:
        _cancel_unless_completed(upload)
        upload.refresh_from_db()
    in_use = _recorded_key(upload)  # read after the ticket is settled: no other key of it can be recorded now
    for store, key in objects_of(upload):
        if key == in_use:
            continue
        store.delete(key)
        if (store, key) in existing:
            yield Deletion("object", f"{store.bucket}/{key}")
    deleted, _ = Upload.objects.filter(pk=upload.pk).delete()
    if deleted:
        yield Deletion("ticket", str(upload.pk))


def _cancel_unless_completed(upload: Upload) -> None:
    try:
        lifecycle.cancel(upload)
    except Refused as refused:
        if refused.code != "ticket_completed":
            raise


def _recorded_key(upload: Upload) -> str:
    """Return the key of the file that the resource of this ticket has now, "" if it has none."""
    resource = upload.model()._base_manager.filter(pk=upload.object_id).first()
    return stored_file(resource, upload.field_name).key if resource else ""


def _delete_unnamed_objects(member: UUID) -> Iterator[Deletion]:
    """Delete the objects in the member's folders that no row names, such as copies made before a crash."""
    resources: list[models.Model] = [
        Profile(pk=member),
        *(Document(owner_id=member, visibility=each) for each in Document.Visibility),
    ]
    for resource in resources:
        for file in stored_files(resource):
            for key in keys_in(file.storage, file.field.folder(resource)):
                yield from _delete_object(file.storage, key)


def _delete_object(store: SignedStorage, key: str) -> Iterator[Deletion]:
    existed = store.exists(key)
    store.delete(key)
    if existed:
        yield Deletion("object", f"{store.bucket}/{key}")
