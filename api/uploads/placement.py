"""Where recorded files stand: they move when what decides their place changes, and go with their row.

Like everything that touches row and store together: the row by compare-and-swap, the store outside
of transactions, and an object is deleted only after nothing refers to it.
"""

from typing import Any

from django.db import models, transaction
from django.utils import timezone

from api.uploads.models import Upload
from api.uploads.objects import discard, objects_of
from storage.base import ObjectMissing, StorageUnavailable
from storage.fields import UploadField


def change(resource: models.Model, field_name: str, changes: dict[str, Any], *, afresh: bool = False) -> bool:
    """Write these changes; a file that then belongs elsewhere gets a new key, and its old URLs die.

    `afresh`: it gets one wherever it belongs. Whether the old object, and so the last of these URLs, is gone.
    Raises ObjectMissing, StorageUnavailable, and the model's DoesNotExist when it is deleted meanwhile;
    then nothing has changed.
    """
    field = resource._meta.get_field(field_name)
    assert isinstance(field, UploadField)
    while True:
        before, old_key = field.placement(resource), field.key_of(resource)
        for name, value in changes.items():
            setattr(resource, name, value)
        try:
            key = _key_after(field, resource, old_key, afresh)
        except ObjectMissing:
            resource.refresh_from_db()
            if field.key_of(resource) == old_key:
                raise
            continue  # the file was replaced meanwhile
        unchanged = type(resource)._base_manager.filter(pk=resource.pk, **before)
        with transaction.atomic():  # so that a constraint's refusal leaves a transaction around it usable
            done = unchanged.update(**changes, **{field_name: key}, updated_at=timezone.now())
        gone = key == old_key or discard(field.storage, old_key if done else key)
        resource.refresh_from_db()
        if done:
            return gone


def revoke(resource: models.Model, field_name: str) -> None:
    """Give the file a new key: every URL handed out before is dead.

    Raises as `change` does, and StorageUnavailable when the old object could not be deleted.
    """
    if not change(resource, field_name, {}, afresh=True):
        raise StorageUnavailable("The object under the old key could not be deleted: its URLs still work.")


def _key_after(field: UploadField, resource: models.Model, old_key: str, afresh: bool) -> str:
    """The old key where it may stay, else that of a copy where it belongs."""
    if afresh and not old_key:
        raise ObjectMissing("There is no file")
    if not old_key or (field.belongs(old_key, resource) and not afresh):
        return old_key
    new_key = field.fresh_key(resource, getattr(resource, field.facts_field)["content_type"])
    try:
        field.storage.copy(old_key, field.storage, new_key)
    except StorageUnavailable:
        discard(field.storage, new_key)  # only the answer may have been lost
        raise
    return new_key


def remove(resource: models.Model) -> None:
    """Delete the row, its objects and its open tickets."""
    fields = [field for field in resource._meta.get_fields() if isinstance(field, UploadField)]
    while True:
        as_read = {name: value for field in fields for name, value in field.placement(resource).items()}
        with transaction.atomic(durable=True):
            open_tickets = Upload.objects.of(resource).pending()
            cancelled = list(open_tickets.select_for_update())
            gone, _ = type(resource)._base_manager.filter(pk=resource.pk, **as_read).delete()
            if gone:
                open_tickets.update(
                    state=Upload.State.CANCELLED, problem=Upload.RESOURCE_GONE, updated_at=timezone.now()
                )
        if gone:
            break
        resource.refresh_from_db()  # a file was recorded since: it has to go too
    for field in fields:
        discard(field.storage, field.key_of(resource))
    for upload in cancelled:
        for store, key in objects_of(upload):
            discard(store, key)
