"""The base class of all models, and the indexes of lists."""

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7

from api.exceptions import PreconditionFailed
from storage.fields import StoredFile, UploadField, stored_file, upload_fields


def ordering_indexes(prefix: str, *fields: str) -> list[models.Index]:
    """Return an index for each field that lists are ordered or filtered by.

    Lists break ties by id in the direction of the field, so one index serves both directions.
    """
    return [models.Index(fields=[field, "id"], name=f"{prefix}_by_{field}") for field in fields]


def filter_indexes(prefix: str, ordering: str, *fields: str) -> list[models.Index]:
    """Return an index for each field that lists are filtered by, with the rows in the order of these lists.

    Without it, a list of the few rows with a rare value reads all rows in that order.
    """
    return [models.Index(fields=[field, ordering, "id"], name=f"{prefix}_of_{field}") for field in fields]


def time_indexes() -> list[models.Index]:
    """Return the indexes for lists that are ordered by the times of a Resource, for its abstract class."""
    times = ("created", "updated")  # short names: with that of the class they have 30 characters at most
    return [models.Index(fields=[f"{time}_at", "id"], name=f"%(class)s_{time}") for time in times]


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

    #: The `updated_at` that the row must have in the database to be changed or deleted. None: any.
    unchanged_since: datetime | None = None

    class Meta:
        abstract = True

    def update(self, changes: dict[str, Any]) -> None:
        """Save these fields only, because a file may be recorded at the same time.

        Raises DoesNotExist if the row was deleted meanwhile, and PreconditionFailed if it has another version
        than the one it is bound to.
        """
        values = {**changes, "updated_at": timezone.now()}
        if not type(self)._base_manager.filter(pk=self.pk, **self.version()).update(**values):
            raise PreconditionFailed if self.unchanged_since else type(self).DoesNotExist
        for name, value in values.items():
            setattr(self, name, value)

    def version(self) -> dict[str, Any]:
        """Return the columns that the row must have in the database to be changed or deleted."""
        return {"updated_at": self.unchanged_since} if self.unchanged_since else {}

    def check_version(self, locked: Self) -> None:
        """Raise PreconditionFailed if the row, as it was read and locked now, has another version."""
        if self.unchanged_since not in (None, locked.updated_at):
            raise PreconditionFailed

    @classmethod
    def upload_field(cls, name: str) -> UploadField:
        """Return the field for the files of tickets with this `field_name`."""
        field = cls._meta.get_field(name)
        assert isinstance(field, UploadField)
        return field

    @classmethod
    def max_files(cls, name: str) -> int:
        """Return how many files of tickets with this `field_name` a row can have."""
        return 1

    def upload_file(self, name: str, upload_id: UUID) -> StoredFile:
        """Return the file that this ticket replaces. Its row may be a new one, which is not saved yet."""
        return stored_file(self, name)


def owned_models() -> dict[type[models.Model], str]:
    """Return the models with files whose rows belong to a member, and the column with the owner of each.

    A profile, which is its own owner, is not among them.
    """
    fields = [field for field in upload_fields() if field.owner_field]
    return {field.model: field.owner().attname for field in fields if field.owner().is_relation}
