"""Updates and deletes rows that have files, together with the objects of these files.

Rows change by compare-and-swap. No storage call is made inside a transaction, and an object is deleted
only when no row refers to it any more.
"""

from typing import Any

import structlog
from django.db import models, transaction
from django.utils import timezone

from api.uploads.models import Upload
from storage.base import SignedStorage, incoming_store
from storage.errors import ObjectMissing, StorageError, StorageUnavailable
from storage.fields import StoredFile, stored_file, stored_files

logger = structlog.get_logger("api.uploads")


def update_row(row: models.Model, field_name: str, changes: dict[str, Any], *, new_key: bool = False) -> bool:
    """Save these changes. If the file then belongs in another folder, copy it to a new key there.

    `new_key`: copy it to a new key in any case. The old object is deleted, so URLs that were signed for the
    old key stop working. Returns False if it could not be deleted and these URLs still work. Raises
    ObjectMissing, StorageUnavailable, and the model's DoesNotExist if the row is deleted meanwhile; then
    nothing has changed.
    """
    while True:
        file = stored_file(row, field_name)
        as_read, old_key = file.as_read(), file.key
        for name, value in changes.items():
            setattr(row, name, value)
        try:
            key = _copy_to_new_key(file) if new_key or (old_key and not file.is_in_place) else old_key
        except ObjectMissing:
            row.refresh_from_db()
            if stored_file(row, field_name).key == old_key:
                raise
            continue  # the file was replaced meanwhile
        with transaction.atomic():  # a savepoint: an outer transaction stays usable after an IntegrityError
            done = file.swap(key, as_read=as_read, **changes)
        deleted = key == old_key or discard(file.storage, old_key if done else key)
        row.refresh_from_db()
        if done:
            return deleted


def revoke_urls(row: models.Model, field_name: str) -> None:
    """Copy the file to a new key, so that every URL that was signed before stops working.

    Raises as `update_row` does, and StorageUnavailable if the old object could not be deleted.
    """
    if not update_row(row, field_name, {}, new_key=True):
        raise StorageUnavailable("The object under the old key could not be deleted: its URLs still work.")


def _copy_to_new_key(file: StoredFile) -> str:
    """Copy the object to the folder where it belongs now, and return the new key.

    Raises ObjectMissing, StorageUnavailable.
    """
    if not file.key or file.facts is None:
        raise ObjectMissing("No file is recorded")
    new_key = file.new_key(file.facts["content_type"])
    try:
        file.storage.copy(file.key, file.storage, new_key)
    except StorageUnavailable:
        discard(file.storage, new_key)  # the copy may have succeeded, and only its response was lost
        raise
    return new_key


def delete_row(row: models.Model) -> None:
    """Delete the row and its objects, and cancel its open tickets. Its settled tickets stay as a record.

    The row is deleted first, so that the response is fast. `api.profiles.erasure` deletes the objects first,
    because it must be able to say that nothing of a member is left. Raises the model's DoesNotExist.
    """
    while True:
        files = stored_files(row)
        as_read = {name: value for file in files for name, value in file.as_read().items()}
        with transaction.atomic(durable=True):
            open_tickets = Upload.objects.for_resource(row).pending()
            cancelled = list(open_tickets.select_for_update())
            deleted, _ = type(row)._base_manager.filter(pk=row.pk, **as_read).delete()
            if deleted:
                open_tickets.update(
                    state=Upload.State.CANCELLED, problem=Upload.RESOURCE_GONE, updated_at=timezone.now()
                )
        if deleted:
            break
        row.refresh_from_db()  # a file was recorded meanwhile: delete that one too
    for file in files:
        discard(file.storage, file.key)
    for upload in cancelled:
        for store, key in objects_of(upload):
            discard(store, key)


# --- Objects ------------------------------------------------------------------------------------------


def objects_of(upload: Upload) -> list[tuple[SignedStorage, str]]:
    """Return every storage and key where the object that was sent with this ticket may be."""
    store = upload.field().storage
    return [(incoming_store(), upload.path), *((store, key) for key in upload.chosen_keys())]


def delete_objects(upload: Upload) -> None:
    """Delete every object of this ticket. Raises StorageUnavailable; then it can be called again."""
    for store, key in objects_of(upload):
        store.delete(key)


def discard(store: SignedStorage, key: str) -> bool:
    """Delete an object that no row refers to. Logs the error and returns False if the storage fails."""
    try:
        if key:
            store.delete(key)
    except StorageError:
        logger.exception("object_not_deleted", bucket=store.bucket, key=key)
        return False
    return True


def keys_in(store: SignedStorage, folder: str) -> list[str]:
    """Return the keys of the objects directly in this folder; [] if there is no such folder."""
    try:
        return [f"{folder}/{name}" for name in store.listdir(folder)[1]]
    except ObjectMissing:
        return []
