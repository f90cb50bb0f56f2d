"""Updates and deletes rows that have files, together with the objects of these files.

Rows change by compare-and-swap. No storage call is made inside a transaction. An object that a change frees
is deleted after the commit: see `api.uploads.removals`.
"""

from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import models, transaction
from django.utils import timezone

from api.base_models import Resource
from api.exceptions import PreconditionFailed
from api.pictures.models import PictureModel
from api.uploads import quotas, removals
from api.uploads.models import Removal, Upload
from storage.base import SignedStorage, incoming_store
from storage.errors import ObjectMissing, StorageUnavailable
from storage.fields import (
    FileFacts,
    StoredFile,
    all_as_read,
    stored_file,
    stored_files,
    upload_fields_of,
)


class RowChanged(Exception):
    """The row is not as it was read: read it again."""


def update_row(row: Resource, field_name: str, changes: dict[str, Any], *, new_key: bool = False) -> None:
    """Save these changes. If the file then belongs in another folder, copy it to a new key there.

    `new_key`: copy it to a new key in any case. The old object is deleted, so URLs that were signed for the
    old key stop working. Raises ObjectMissing, StorageUnavailable, PreconditionFailed, and the model's
    DoesNotExist if the row is deleted meanwhile; then nothing has changed. Raises StorageUnavailable as well
    if the changes are saved but an old object of this row is not deleted yet; the next call tries again.
    """
    is_moved = False
    while True:
        file = stored_file(row, field_name)
        as_read = {**file.as_read(), **row.version()}
        for name, value in changes.items():
            setattr(row, name, value)
        needs_copy = new_key or (bool(file.key) and not file.is_in_place)
        is_moved |= needs_copy
        try:
            if needs_copy:
                _swap_copy(file, as_read, changes)
            elif not _swap(file, file.key, as_read, changes):
                raise RowChanged
        except (RowChanged, ObjectMissing, StorageUnavailable) as error:
            row.refresh_from_db()
            if isinstance(error, RowChanged) and row.unchanged_since:
                raise PreconditionFailed from None
            if not isinstance(error, RowChanged) and stored_file(row, field_name).key == file.key:
                raise
            continue  # the file was replaced, or the row changed, meanwhile
        row.refresh_from_db()
        break
    if is_moved or not changes.keys().isdisjoint(file.field.placed_by):
        _require_removals(row)


def revoke_urls(row: Resource, field_name: str) -> None:
    """Copy the file to a new key, so that every URL that was signed before stops working.

    Raises as `update_row` does. If an earlier call could not delete the old object, it is deleted first.
    """
    _require_removals(row)
    update_row(row, field_name, {}, new_key=True)


def _require_removals(row: models.Model) -> None:
    """Delete the objects that changes of this row have freed. Raises StorageUnavailable."""
    if not removals.carry_out(Removal.objects.for_resource(row.pk)):
        raise StorageUnavailable("An object under an old key could not be deleted: its URLs still work.")


def _swap(file: StoredFile, key: str, as_read: dict[str, Any], changes: dict[str, Any]) -> bool:
    with transaction.atomic():  # a savepoint: an outer transaction stays usable after an IntegrityError
        return file.swap(key, as_read=as_read, **changes)


def _swap_copy(file: StoredFile, as_read: dict[str, Any], changes: dict[str, Any]) -> None:
    """Copy the object to the folder where it belongs now, and record the copy's key and the changes.

    Raises RowChanged, ObjectMissing, StorageUnavailable.
    """
    if not file.key or file.facts is None:
        raise ObjectMissing("No file is recorded")
    store, resource_id = file.storage, file.instance.pk
    new_key = file.new_key(file.facts["content_type"], file.facts["name"])
    with removals.reserve(store, new_key, resource_id):
        store.copy(file.key, store, new_key)
        with transaction.atomic():
            if not file.swap(new_key, as_read=as_read, **changes):
                raise RowChanged
            removals.confirm((store, new_key))
            removals.schedule([(store, file.key)], resource_id)


def record(file: StoredFile, key: str, facts: FileFacts) -> list[tuple[SignedStorage, str]]:
    """Record a verified file on its row, in the current transaction. A new row is inserted.

    Returns the objects that this frees. Raises RowChanged if the row is not as it was read, and Refused if
    there is no room for a new row.
    """
    row, changes = file.instance, {}
    if isinstance(row, PictureModel):
        row.before_publishing()
        changes = row.awaiting_renditions()
    if row._state.adding:
        for name, value in {file.field.name: key, **file.field.facts_values(facts), **changes}.items():
            setattr(row, name, value)
        row.insert()  # type: ignore[attr-defined]  # only rows with this method are new
        return []
    freed = files_beside(file)
    as_read = all_as_read([file, *freed])
    if not file.swap(key, facts=facts, as_read=as_read, **changes):
        raise RowChanged
    return [(each.storage, each.key) for each in (file, *freed)]


def delete_file(row: Resource, field_name: str) -> bool:
    """Delete the file of the row, which stays. Open tickets stay as well.

    Returns True if the objects are gone, False if the storage failed and the sweep deletes them. Raises
    ObjectMissing if there is no file, PreconditionFailed, and the model's DoesNotExist.
    """
    while True:
        file = stored_file(row, field_name)
        files = [file, *files_beside(file)]
        if not any(each.key for each in files):
            raise ObjectMissing("No file is recorded")
        changes = row.without_renditions() if isinstance(row, PictureModel) else {}
        as_read = {**all_as_read(files), **row.version()}
        with transaction.atomic(durable=True):
            is_removed = file.swap("", as_read=as_read, **file.field.no_facts(), **changes)
            if is_removed:
                removals.schedule([(each.storage, each.key) for each in files], row.pk)
        row.refresh_from_db()
        if not is_removed and row.unchanged_since:
            raise PreconditionFailed
        if is_removed:
            return removals.carry_out(Removal.objects.for_resource(row.pk))


def delete_row(row: Resource) -> bool:
    """Delete the row, the rows that belong to it, and their objects; cancel its open tickets.

    Settled tickets stay as a record. Returns True if the objects are gone, also those of earlier changes, and
    False if the storage failed and the sweep deletes them. Raises PreconditionFailed, and the model's
    DoesNotExist.
    """
    with transaction.atomic(durable=True):
        locked = type(row)._base_manager.select_for_update().get(pk=row.pk)
        row.check_version(locked)
        cancelled = list(Upload.objects.for_resource(row).cancellable().select_for_update())
        Upload.objects.filter(pk__in=[upload.pk for upload in cancelled]).update(
            state=Upload.State.CANCELLED, problem=Upload.RESOURCE_GONE, updated_at=timezone.now()
        )
        rows = with_parts(locked)
        ids = [each.pk for each in rows]
        recorded = [(file.storage, file.key) for each in rows for file in stored_files(each)]
        sent = [each for upload in cancelled for each in objects_of(upload)]
        locked.delete()
        removals.schedule([*recorded, *sent], row.pk, may_appear=bool(sent))
    return removals.carry_out(Removal.objects.for_resources(ids))


def lock_unused(upload: Upload) -> models.Model | None:
    """Lock the resource that was created with this ticket. Returns it if it never had a file.

    Returns None also if another of its tickets may still bring a file, even one that has expired. While it is
    locked, no file of it is recorded and no ticket for it is issued. Call it before the transaction locks the
    ticket.
    """
    file = upload.read_file() if upload.creates_resource else None
    if file is None:  # not `not file`, which is also true of a file that is not there yet
        return None
    try:
        quotas.lock(file)
    except ObjectDoesNotExist:  # deleted meanwhile
        return None
    row = upload.read_resource()
    others = Upload.objects.for_resource(file.instance).exclude(pk=upload.pk)
    with_file = others.exclude(state__in=[Upload.State.REJECTED, Upload.State.CANCELLED])
    if row is None or any(each.key for each in stored_files(row)) or with_file.exists():
        return None
    return row


def with_parts(row: models.Model) -> list[models.Model]:
    """Lock the rows that are deleted with this row, if they or their own parts have files.

    Returns the row and those rows.
    """
    rows = [row]
    for relation in _parts_with_files(type(row)):
        parts: Any = relation.related_model._base_manager
        for part in parts.select_for_update().filter(**{relation.field.name: row}):
            rows += with_parts(part)
    return rows


def _parts_with_files(model: Any, above: tuple[Any, ...] = ()) -> list[Any]:
    """Return the relations by which rows with files, or with such parts, are deleted with their row."""
    return [
        relation
        for relation in model._meta.related_objects
        if relation.on_delete is models.CASCADE and relation.related_model not in (model, *above)
        if upload_fields_of(relation.related_model)
        or _parts_with_files(relation.related_model, (model, *above))
    ]


def files_beside(file: StoredFile) -> list[StoredFile]:
    """Return the files of the row that are made from this one."""
    row = file.instance
    if isinstance(row, PictureModel) and file.field.name == row.picture_field:
        return row.rendition_files()
    return []


# --- Objects ------------------------------------------------------------------------------------------


def objects_of(upload: Upload) -> list[tuple[SignedStorage, str]]:
    """Return every storage and key where the object that was sent with this ticket may be."""
    arrived = [(incoming_store(), key) for key in (upload.path, upload.held_key) if key]
    return [*arrived, *((upload.field().storage, key) for key in upload.chosen_keys())]


def keys_in(store: SignedStorage, folder: str) -> list[str]:
    """Return the keys of all objects below this folder."""
    return [info.key for info in store.walk(f"{folder}/")]
