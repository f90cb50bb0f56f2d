"""The base class of all models, and the indexes of lists."""

from uuid import UUID

from django.db import models
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7


def ordering_indexes(prefix: str, *fields: str) -> list[models.Index]:
    """Return an index for each field that lists are ordered or filtered by.

    Lists break ties by id in the direction of the field, so one index serves both directions.
    """
    return [models.Index(fields=[field, "id"], name=f"{prefix}_by_{field}") for field in fields]


def parse_uuid(text: str) -> UUID | None:
    """Return the UUID in any spelling that `uuid.UUID` accepts, None for other text."""
    try:
        return UUID(text)
    except ValueError:
        return None


class Resource(models.Model):
    """A row with a primary key that sorts by time, and the times of its creation and last change."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    class Meta:
        abstract = True
