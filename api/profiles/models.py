"""The member's own record. Supabase keeps the account; this keeps what Vivarium adds to it."""

from typing import Self
from uuid import UUID

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from api.auth.principal import Principal
from api.base_models import Resource, ordering_indexes
from storage.fields import UploadField


class Profiles(models.QuerySet["Profile"]):
    def visible_to(self, principal: Principal) -> Self:
        """Staff see all, members their own."""
        return self if principal.is_staff else self.filter(pk=principal.id)

    def of(self, member: UUID) -> "Profile":
        """This member's, made if it is the first time that one is needed."""
        profile, _ = self.get_or_create(pk=member)
        return profile


def folder(profile: "Profile") -> str:
    return str(profile.pk)


class Profile(Resource):
    """A member; the primary key is the `sub` of their tokens. Made the first time one is needed."""

    id = models.UUIDField(primary_key=True, editable=False)
    display_name = models.CharField(_("display name"), max_length=100, blank=True)
    bio = models.TextField(_("bio"), max_length=2000, blank=True)
    language = models.CharField(_("language"), max_length=12, blank=True)
    avatar = UploadField(
        _("avatar"),
        storage="user-profiles",
        accepts=["image/jpeg", "image/png", "image/webp"],
        max_bytes=settings.AVATAR_MAX_BYTES,
        folder=folder,
        facts_field="avatar_facts",
        size_field="avatar_size",
        content_type_field="avatar_content_type",
        blank=True,
        editable=False,
    )
    avatar_facts = models.JSONField(null=True, editable=False, encoder=DjangoJSONEncoder)
    avatar_size = models.BigIntegerField(null=True, editable=False)
    avatar_content_type = models.CharField(max_length=255, blank=True, db_default="", editable=False)

    objects = Profiles.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("profile"), _("profiles")
        ordering = ["display_name", "id"]
        indexes = ordering_indexes("profile", "display_name", "created_at", "updated_at")

    def __str__(self) -> str:
        return self.display_name or str(self.pk)

    def may_be_changed_by(self, principal: Principal) -> bool:
        """Nobody but the member: staff look, and that is all."""
        return self.pk == principal.id

    def get_absolute_url(self) -> str:
        return reverse("profile-detail", args=[self.pk])
