"""PrivateFileModel, the base class of rows that belong to a member and have one private file."""

from typing import Any, ClassVar, Self

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from api.auth.principal import Principal
from api.base_models import Resource, time_indexes
from api.profiles.models import Profile
from storage.fields import UploadField


class PrivateFileQuerySet(models.QuerySet[Any]):
    def visible_to(self, principal: Principal) -> Self:
        """Staff see all rows, members their own."""
        return self if principal.is_staff else self.filter(owner=principal.id)

    def with_owner(self) -> Self:
        """Load the owner of each row in the same query, with what members are told of each other."""
        untold = (
            *("bio", "language", "search_text", "created_at", "updated_at"),
            *("avatar_facts", "avatar_size", "avatar_content_type", "rendition_attempts", "rendition_error"),
        )
        return self.select_related("owner").defer(*(f"owner__{name}" for name in untold))


def owner_folder(row: "PrivateFileModel") -> str:
    """Return `<owner>`. The row-level-security policies depend on this folder."""
    return str(row.owner_id)


def private_file(**options: Any) -> UploadField:
    """Return the field `file` of a PrivateFileModel, with other options of UploadField than by default."""
    defaults = {
        "verbose_name": _("file"),
        "storage": "documents",
        "accepts": settings.DOCUMENT_TYPES,
        "max_bytes": settings.DOCUMENT_MAX_BYTES,
        "folder": owner_folder,
        "keeps_filename": True,
        "facts_field": "file_facts",
        "size_field": "file_size",
        "content_type_field": "file_content_type",
        "owner_field": "owner",
        "blank": True,
        "editable": False,
    }
    return UploadField(**{**defaults, **options})


class PrivateFileModel(Resource):
    """A row of a member. Its file is in the bucket `documents` unless its field names another storage."""

    owner = models.ForeignKey(
        Profile, verbose_name=_("owner"), on_delete=models.PROTECT, related_name="+", editable=False
    )
    file = private_file()
    file_facts = models.JSONField(null=True, editable=False, encoder=DjangoJSONEncoder)
    file_size = models.BigIntegerField(null=True, editable=False)
    file_content_type = models.CharField(max_length=255, blank=True, db_default="", editable=False)

    objects: ClassVar[Any] = PrivateFileQuerySet.as_manager()

    class Meta:
        abstract = True
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["owner", "-id"], name="%(class)s_of_owner"),
            *time_indexes(),
        ]

    def may_be_changed_by(self, principal: Principal) -> bool:
        return principal.is_staff or self.owner_id == principal.id

    def get_absolute_url(self) -> str:
        return reverse(f"{self._meta.model_name}-detail", args=[self.pk])
