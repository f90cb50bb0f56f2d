"""Where recorded files stand: they move when what decides their place changes, and go with their row.

Like everything that touches row and store together: the row by compare-and-swap, the store outside
of transactions, and an object is deleted only after nothing refers to it.
"""

from typing import Any

from django.db import models, transaction
from django.utils import timezone

from api.uploads.lifecycle import RESOURCE_GONE, discard, objects_of
from api.uploads.models import Upload
from storage.base import ObjectMissing
from storage.fields import UploadField


def relocate(resource: models.Model, field_name: str, **changes: Any) -> None:
    """Write these changes and give the file a new key where it then belongs: the URLs of the old one die.

    Raises ObjectMissing, StorageUnavailable, and the model's DoesNotExist if it is deleted meanwhile;
    then nothing has changed.
    """
    field = resource._meta.get_field(field_name)
    assert isinstance(field, UploadField)
    while True:
        before, old_key = field.placement(resource), field.key_of(resource)
        for name, value in changes.items():
            setattr(resource, name, value)
        new_key = ""
        try:
            if old_key:
                new_key = field.fresh_key(resource, getattr(resource, field.facts_field)["content_type"])
                field.storage.copy(old_key, field.storage, new_key)
        except ObjectMissing:
            resource.refresh_from_db()
            if field.key_of(resource) == old_key:
                raise
            continue  # the file was replaced meanwhile
        unchanged = type(resource)._base_manager.filter(pk=resource.pk, **before)
        if unchanged.update(**changes, **{field_name: new_key}, updated_at=timezone.now()):
            discard(field.storage, old_key)
            return resource.refresh_from_db()
        discard(field.storage, new_key)
        resource.refresh_from_db()


def remove(resource: models.Model) -> None:
    """Delete the row, its objects and its open tickets."""
    fields = [field for field in resource._meta.get_fields() if isinstance(field, UploadField)]
    while True:
        as_read = {name: value for field in fields for name, value in field.placement(resource).items()}
        with transaction.atomic(durable=True):
            open_tickets = Upload.objects.of(resource).filter(state=Upload.State.PENDING)
            cancelled = list(open_tickets.select_for_update())
            gone, _ = type(resource)._base_manager.filter(pk=resource.pk, **as_read).delete()
            if gone:
                open_tickets.update(
                    state=Upload.State.CANCELLED, problem=RESOURCE_GONE, updated_at=timezone.now()
                )
        if gone:
            break
        resource.refresh_from_db()  # a file was recorded since: it has to go too
    for field in fields:
        discard(field.storage, field.key_of(resource))
    for upload in cancelled:
        for store, key in objects_of(upload):
            discard(store, key)
