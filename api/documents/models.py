"""The documents of members."""

from typing import Any, ClassVar, Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from api.auth.principal import Principal
from api.base_models import ordering_indexes
from api.private_files.models import PrivateFileModel, PrivateFileQuerySet, owner_folder, private_file
from api.profiles.models import Profile
from api.search import search_column


class DocumentQuerySet(PrivateFileQuerySet):
    def visible_to(self, principal: Principal) -> Self:
        """Staff see all documents, members their own and those that are shared with every member."""
        if principal.is_staff:
            return self
        return self.filter(Q(owner=principal.id) | Q(visibility=Document.Visibility.AUTHENTICATED))

    def with_visibility(self, visibility: str, principal: Principal) -> Self:
        """Return those of the visible documents that have this visibility.

        That a member sees no private document of others is said to the database, which would look for some.
        """
        rows = self.filter(visibility=visibility)
        is_own = visibility == Document.Visibility.PRIVATE and not principal.is_staff
        return rows.filter(owner=principal.id) if is_own else rows


def document_folder(document: "Document") -> str:
    """Return `<owner>` or `shared/<owner>`. The row-level-security policies depend on these folders."""
    shared = "shared/" if document.visibility == Document.Visibility.AUTHENTICATED else ""
    return f"{shared}{owner_folder(document)}"


class Document(PrivateFileModel):
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
    file = private_file(folder=document_folder, placed_by=["visibility"])
    search_text = search_column("title", "category", "description")

    objects: ClassVar[Any] = DocumentQuerySet.as_manager()

    class Meta(PrivateFileModel.Meta):
        verbose_name, verbose_name_plural = _("document"), _("documents")
        indexes = [
            models.Index(fields=["owner", "-id"], name="document_of_owner"),
            models.Index(fields=["visibility", "-id"], name="document_visibility"),
            models.Index(fields=["-id"], condition=Q(file=""), name="document_without_file"),
            *ordering_indexes("document", "title", "category", "created_at", "updated_at"),
        ]

    def __str__(self) -> str:
        return self.title
