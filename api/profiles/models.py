"""The profiles of members. Their accounts are in Supabase Auth."""

from typing import Self
from uuid import UUID

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from api.auth.principal import Principal
from api.base_models import Resource, ordering_indexes
from api.pictures.models import PictureModel, renditions_index
from api.search import search_column
from storage.fields import UploadField


class ProfileQuerySet(models.QuerySet["Profile"]):
    def visible_to(self, principal: Principal) -> Self:
        """Staff see all profiles, members their own."""
        return self if principal.is_staff else self.filter(pk=principal.id)

    def for_member(self, member: UUID) -> "Profile":
        """Get or create the profile of this member."""
        profile, _ = self.get_or_create(pk=member)
        return profile


def originals_folder(profile: "Profile") -> str:
    return f"{Profile.renditions_bucket}/{profile.pk}"


class Profile(Resource, PictureModel):
    """A member. The primary key is the `sub` of their tokens. Created when it is first needed."""

    id = models.UUIDField(primary_key=True, editable=False)
    display_name = models.CharField(_("display name"), max_length=100, blank=True)
    bio = models.TextField(_("bio"), max_length=2000, blank=True)
    language = models.CharField(_("language"), max_length=12, blank=True)
    avatar = UploadField(
        _("avatar"),
        storage="originals",
        accepts=settings.IMAGE_TYPES,
        max_bytes=settings.AVATAR_MAX_BYTES,
        folder=originals_folder,
        facts_field="avatar_facts",
        size_field="avatar_size",
        content_type_field="avatar_content_type",
        owner_field="id",
        blank=True,
        editable=False,
    )
    avatar_facts = models.JSONField(null=True, editable=False, encoder=DjangoJSONEncoder)
    avatar_size = models.BigIntegerField(null=True, editable=False)
    avatar_content_type = models.CharField(max_length=255, blank=True, db_default="", editable=False)
    search_text = search_column("display_name")

    objects = ProfileQuerySet.as_manager()
    picture_field = "avatar"
    renditions_bucket = "user-profiles"

    class Meta:
        verbose_name, verbose_name_plural = _("profile"), _("profiles")
        ordering = ["display_name", "id"]
        indexes = [
            *ordering_indexes("profile", "display_name", "created_at", "updated_at"),
            renditions_index("profile_renditions_due"),
        ]

    def __str__(self) -> str:
        return self.display_name or str(self.pk)

    def renditions_folder(self) -> str:
        return str(self.pk)

    def may_be_changed_by(self, principal: Principal) -> bool:
        """Only the member may change a profile; staff may read it."""
        return self.pk == principal.id

    def get_absolute_url(self) -> str:
        return reverse("profile-detail", args=[self.pk])
