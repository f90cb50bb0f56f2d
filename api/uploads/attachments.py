"""Changes of rows that have files: an object moves when the row says so, and goes with the row.

The row changes by compare-and-swap. No storage call is made inside a transaction, and an object is deleted
only after nothing refers to it.
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
    """Write these changes. If the file then belongs in another folder, it gets a new key there.

    `new_key`: give it a new key in any case. URLs that were signed for the old key stop working. Returns
    False if the object under the old key could not be deleted, so that these URLs still work. Raises
    ObjectMissing, StorageUnavailable, and the model's DoesNotExist if the row is deleted meanwhile; then
    nothing has changed.
    """
    while True:
        file = stored_file(row, field_name)
        as_read, old_key = file.as_read(), file.key
        for name, value in changes.items():
            setattr(row, name, value)
        try:
            key = _copied_to_new_key(file) if new_key or (old_key and not file.is_in_place) else old_key
        except ObjectMissing:
            row.refresh_from_db()
            if stored_file(row, field_name).key == old_key:
                raise
            continue  # the file was replaced meanwhile
        with transaction.atomic():  # so that a constraint's refusal leaves a transaction around it usable
            done = file.swap(key, as_read=as_read, **changes)
        deleted = key == old_key or discard(file.storage, old_key if done else key)
        row.refresh_from_db()
        if done:
            return deleted


def revoke_urls(row: models.Model, field_name: str) -> None:
    """Give the file a new key: every URL that was signed before stops working.

    Raises as `update_row` does, and StorageUnavailable if the old object could not be deleted.
    """
    if not update_row(row, field_name, {}, new_key=True):
        raise StorageUnavailable("The object under the old key could not be deleted: its URLs still work.")


def _copied_to_new_key(file: StoredFile) -> str:
    """Copy the object to the folder where it belongs now, and return the new key. Raises ObjectMissing."""
    if not file.key or file.facts is None:
        raise ObjectMissing("There is no file")
    new_key = file.new_key(file.facts["content_type"])
    try:
        file.storage.copy(file.key, file.storage, new_key)
    except StorageUnavailable:
        discard(file.storage, new_key)  # only the answer may have been lost
        raise
    return new_key


def delete_row(row: models.Model) -> None:
    """Delete the row, its objects and its open tickets; settled tickets stay as a record.

    The row goes first, because people wait for that; `api.profiles.erasure` deletes objects first, because
    it must be able to say that nothing of a member is left.
    """
    while True:
        files = stored_files(row)
        as_read = {name: value for file in files for name, value in file.as_read().items()}
        with transaction.atomic(durable=True):
            open_tickets = Upload.objects.of(row).pending()
            cancelled = list(open_tickets.select_for_update())
            gone, _ = type(row)._base_manager.filter(pk=row.pk, **as_read).delete()
            if gone:
                open_tickets.update(
                    state=Upload.State.CANCELLED, problem=Upload.RESOURCE_GONE, updated_at=timezone.now()
                )
        if gone:
            break
        row.refresh_from_db()  # a file was recorded since: it has to go too
    for file in files:
        discard(file.storage, file.key)
    for upload in cancelled:
        for store, key in objects_of(upload):
            discard(store, key)


# --- Objects ------------------------------------------------------------------------------------------


def objects_of(upload: Upload) -> list[tuple[SignedStorage, str]]:
    """Every store and key where the object that was sent with this ticket may be."""
    store = upload.field().storage
    return [(incoming_store(), upload.path), *((store, key) for key in upload.chosen_keys())]


def delete_objects(upload: Upload) -> None:
    """Raises StorageUnavailable; then it can be called again."""
    for store, key in objects_of(upload):
        store.delete(key)


def discard(store: SignedStorage, key: str) -> bool:
    """Delete an object that nothing refers to any more. Returns False, and logs, if the store fails."""
    try:
        if key:
            store.delete(key)
    except StorageError:
        logger.exception("object_not_deleted", bucket=store.bucket, key=key)
        return False
    return True


def files_in(store: SignedStorage, folder: str) -> list[str]:
    """The keys of the objects directly in this folder; none if there is no such folder."""
    try:
        return [f"{folder}/{name}" for name in store.listdir(folder)[1]]
    except ObjectMissing:
        return []
