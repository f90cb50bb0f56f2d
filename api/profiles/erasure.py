"""Erasing a member: documents, their objects, tickets, avatar and profile.

It may stop at any moment, and is completed by doing it again: an object goes before the row that
names it, and the tickets of a resource before the resource by which they are found. Rows go by
compare-and-swap, so that what others record meanwhile goes too. No storage call is made inside a
transaction.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError, models, transaction

from api.documents.models import Document
from api.exceptions import Refused
from api.profiles.models import Profile
from api.uploads import lifecycle
from api.uploads.attachments import files_in, objects_of
from api.uploads.models import Upload
from storage.base import SignedStorage
from storage.fields import StoredFile, stored_file, stored_files


@dataclass(frozen=True, slots=True)
class Removed:
    """`kind` is document, object, ticket or profile; `name` its id, or its bucket and key."""

    kind: str
    name: str


def erase(member: UUID) -> Iterator[Removed]:
    """Remove all that there is of this member, and say what. Safe to repeat, also at the same time.

    Raises StorageUnavailable, and Refused while a file of theirs is being verified; then what is left
    is removed by the next call. Nothing is removed before it is asked for: exhaust the iterator.
    """
    while True:
        for document in Document.objects.filter(owner_id=member):
            yield from _resource(document)
        yield from _tickets(Upload.objects.filter(owner=member))
        yield from _folders(member)
        try:
            yield from _resource(Profile.objects.filter(pk=member).first() or Profile(pk=member))
        except IntegrityError:
            continue  # they made another document meanwhile
        return


def summary(removed: Iterable[Removed]) -> dict[str, int]:
    """`{documents, objects, tickets}`, how many of each."""
    kinds = Counter(each.kind for each in removed)
    return {f"{kind}s": kinds[kind] for kind in ("document", "object", "ticket")}


def _resource(resource: models.Model) -> Iterator[Removed]:
    """The row with everybody's tickets for it and its files."""
    while True:
        yield from _tickets(Upload.objects.of(resource))
        files = stored_files(resource)
        for file in files:
            if file.key:
                yield from _object(file.storage, file.key)
        if _delete(resource, files):
            yield Removed(resource._meta.model_name or "", str(resource.pk))
            return
        try:
            resource.refresh_from_db()  # a file was recorded, or a ticket asked for, since
        except ObjectDoesNotExist:
            return


def _delete(resource: models.Model, files: list[StoredFile]) -> bool:
    """Whether the row is gone by this. It stays if it names another file by now, or a ticket names it."""
    as_read = {name: value for file in files for name, value in file.as_read().items()}
    with transaction.atomic(durable=True):
        # Locked, because Django deletes a row that others refer to in two steps.
        row = type(resource)._base_manager.select_for_update().filter(pk=resource.pk, **as_read).first()
        if row is None or Upload.objects.of(resource).exists():
            return False
        row.delete()
    return True


def _tickets(tickets: models.QuerySet[Upload]) -> Iterator[Removed]:
    for upload in list(tickets):
        try:
            yield from _ticket(upload)
        except Upload.DoesNotExist:
            continue  # somebody else erases too


def _ticket(upload: Upload) -> Iterator[Removed]:
    """The ticket, and its objects except a file that is in use: staff bring pictures that stay."""
    there = [(store, key) for store, key in objects_of(upload) if store.exists(key)]
    if not upload.is_settled:
        _settle(upload)
        upload.refresh_from_db()
    in_use = _recorded(upload)  # read after it is settled: from now on no key comes into use again
    for store, key in objects_of(upload):
        if key == in_use:
            continue
        store.delete(key)
        if (store, key) in there:
            yield Removed("object", f"{store.bucket}/{key}")
    gone, _ = Upload.objects.filter(pk=upload.pk).delete()
    if gone:
        yield Removed("ticket", str(upload.pk))


def _settle(upload: Upload) -> None:
    """Cancelled, or completed by whoever was faster."""
    try:
        lifecycle.cancel(upload)
    except Refused as refused:
        if refused.code != "ticket_completed":
            raise


def _recorded(upload: Upload) -> str:
    """The key of the file that the resource of this ticket has now."""
    resource = upload.model()._base_manager.filter(pk=upload.object_id).first()
    return stored_file(resource, upload.field_name).key if resource else ""


def _folders(member: UUID) -> Iterator[Removed]:
    """What lies in the member's folders and no row names: a copy, say, whose maker died."""
    owned: list[models.Model] = [
        Profile(pk=member),
        *(Document(owner_id=member, visibility=each) for each in Document.Visibility),
    ]
    for resource in owned:
        for file in stored_files(resource):
            for key in files_in(file.storage, file.field.folder(resource)):
                yield from _object(file.storage, key)


def _object(store: SignedStorage, key: str) -> Iterator[Removed]:
    there = store.exists(key)
    store.delete(key)
    if there:
        yield Removed("object", f"{store.bucket}/{key}")
