"""What every model has: an id that sorts by time, the times of its making and last change, indexes."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7


def ordering_indexes(prefix: str, *fields: str) -> list[models.Index]:
    """One index for each field that lists are ordered or filtered by.

    Ties are broken by id in the direction of the field, so that one index is read either way.
    """
    return [models.Index(fields=[field, "id"], name=f"{prefix}_by_{field}") for field in fields]


class Resource(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    class Meta:
        abstract = True
