"""The documents of members."""

from typing import Self

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from api.auth.principal import Principal
from api.base_models import Resource, ordering_indexes
from api.profiles.models import Profile
from api.search import search_column
from storage.fields import UploadField


class DocumentQuerySet(models.QuerySet["Document"]):
    def visible_to(self, principal: Principal) -> Self:
        """Staff see all documents, members their own and those that are shared with every member."""
        if principal.is_staff:
            return self
        return self.filter(Q(owner=principal.id) | Q(visibility=Document.Visibility.AUTHENTICATED))

    def with_owner(self) -> Self:
        """Load the owner of each document in the same query, with what members are told of each other."""
        untold = ("bio", "language", "search_text", "avatar_facts")
        return self.select_related("owner").defer(*(f"owner__{name}" for name in untold))


def document_folder(document: "Document") -> str:
    """Return `<owner>` or `shared/<owner>`. The row-level-security policies depend on these folders."""
    shared = "shared/" if document.visibility == Document.Visibility.AUTHENTICATED else ""
    return f"{shared}{document.owner_id}"


class Document(Resource):
    class Visibility(models.TextChoices):
        PRIVATE = "private", _("private")
        AUTHENTICATED = "authenticated", _("every member")

    title = models.CharField(_("title"), max_length=200)
    description = models.TextField(_("description"), max_length=5000, blank=True)
    category = models.CharField(_("category"), max_length=50, blank=True)
    visibility = models.CharField(
        _("visibility"), max_length=20, choices=Visibility, default=Visibility.PRIVATE
    )
    owner = models.ForeignKey(
        Profile, verbose_name=_("owner"), on_delete=models.PROTECT, related_name="documents"
    )
    file = UploadField(
        _("file"),
        storage="documents",
        accepts=settings.DOCUMENT_TYPES,
        max_bytes=settings.DOCUMENT_MAX_BYTES,
        folder=document_folder,
        placed_by=["visibility"],
        keeps_filename=True,
        facts_field="file_facts",
        size_field="file_size",
        content_type_field="file_content_type",
        owner_field="owner",
        blank=True,
        editable=False,
    )
    file_facts = models.JSONField(null=True, editable=False, encoder=DjangoJSONEncoder)
    file_size = models.BigIntegerField(null=True, editable=False)
    file_content_type = models.CharField(max_length=255, blank=True, db_default="", editable=False)
    search_text = search_column("title", "category", "description")

    objects = DocumentQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("document"), _("documents")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["owner", "-id"], name="document_of_owner"),
            models.Index(fields=["visibility", "-id"], name="document_visibility"),
            *ordering_indexes("document", "title", "category", "created_at", "updated_at"),
        ]

    def __str__(self) -> str:
        return self.title

    def may_be_changed_by(self, principal: Principal) -> bool:
        return principal.is_staff or self.owner_id == principal.id

    def get_absolute_url(self) -> str:
        return reverse("document-detail", args=[self.pk])
