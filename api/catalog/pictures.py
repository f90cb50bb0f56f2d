"""The pictures of entries: each entry has a gallery, whose first picture is its image."""

from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from api.auth.principal import Principal
from api.base_models import Resource
from api.catalog.models import EducationalService, Entry, Exhibition, Species
from api.exceptions import GalleryFull
from api.pictures.models import PictureModel, renditions_index
from api.uploads.attachments import RowChanged
from storage.fields import UploadField

MAX_ALT_LENGTH = 500  # characters


def _originals_folder(picture: "Picture") -> str:
    return f"{picture.renditions_bucket}/{picture.renditions_folder()}"


class Licence(models.TextChoices):
    """The licences by their SPDX identifiers, and one for those that grant nothing."""

    CC0 = "CC0-1.0", _("CC0 1.0 (no rights reserved)")
    PUBLIC_DOMAIN = "CC-PDDC", _("Public domain")
    BY = "CC-BY-4.0", "CC BY 4.0"
    BY_SA = "CC-BY-SA-4.0", "CC BY-SA 4.0"
    BY_ND = "CC-BY-ND-4.0", "CC BY-ND 4.0"
    BY_NC = "CC-BY-NC-4.0", "CC BY-NC 4.0"
    BY_NC_SA = "CC-BY-NC-SA-4.0", "CC BY-NC-SA 4.0"
    BY_NC_ND = "CC-BY-NC-ND-4.0", "CC BY-NC-ND 4.0"
    ALL_RIGHTS_RESERVED = "all-rights-reserved", _("All rights reserved")


class Picture(Resource, PictureModel):
    """The base class of the pictures of species, exhibitions and educational services.

    `position` counts from 0 without gaps in each entry. `galleries` keeps it so.
    """

    position = models.IntegerField(_("position"), editable=False)
    original = UploadField(
        _("picture"),
        storage="originals",
        accepts=settings.IMAGE_TYPES,
        max_bytes=settings.IMAGE_MAX_BYTES,
        folder=_originals_folder,
        facts_field="original_facts",
        size_field="original_size",
        content_type_field="original_content_type",
        blank=True,
        editable=False,
    )
    original_facts = models.JSONField(null=True, editable=False, encoder=DjangoJSONEncoder)
    original_size = models.BigIntegerField(null=True, editable=False)
    original_content_type = models.CharField(max_length=255, blank=True, editable=False)
    alt_en = models.CharField(_("alternative text in English"), max_length=MAX_ALT_LENGTH, blank=True)
    alt_es = models.CharField(_("alternative text in Spanish"), max_length=MAX_ALT_LENGTH, blank=True)
    credit = models.CharField(_("credit"), max_length=200, blank=True, help_text=_("Who made the picture."))
    licence = models.CharField(_("licence"), max_length=30, choices=Licence, blank=True)

    picture_field = "original"
    entry: Any
    entry_id: UUID

    class Meta:
        abstract = True
        verbose_name, verbose_name_plural = _("picture"), _("pictures")
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["entry", "position"], name="%(class)s_position"),
        ]
        indexes = [renditions_index("%(class)s_due")]

    def __str__(self) -> str:
        return self.alt_en or str(self.pk)

    def renditions_folder(self) -> str:
        folder: str = self.entry.pictures_folder()
        return folder

    def before_publishing(self) -> None:
        """Set when the entry was changed. First, because `galleries` locks the entry before its pictures."""
        type(self.entry)._base_manager.filter(pk=self.entry_id).update(updated_at=timezone.now())

    def may_be_changed_by(self, principal: Principal | AnonymousUser) -> bool:
        return principal.is_staff

    def get_absolute_url(self) -> str:
        return reverse(f"{self._meta.model_name}-detail", args=[self.entry.slug, self.pk])

    def insert(self) -> None:
        """Insert a new picture, in a transaction: as the last one, or at its `position` if that is free.

        Raises RowChanged if the entry was deleted, or has another number of pictures than `position`, and
        GalleryFull.
        """
        gallery = lock_gallery(self.entry)
        if gallery is None:
            raise RowChanged
        number = gallery.count()
        if self.position not in (None, number):
            raise RowChanged
        check_room(number)
        self.position = number
        self.save(force_insert=True)


def check_room(number: int) -> None:
    """Raise GalleryFull if an entry with this number of pictures may have no further one."""
    if settings.PICTURES_PER_ENTRY and number >= settings.PICTURES_PER_ENTRY:
        raise GalleryFull


def lock_gallery(entry: Entry) -> models.QuerySet[Any] | None:
    """Lock the entry until the end of the transaction. Returns its pictures, None if it was deleted.

    The order and the number of pictures change only in transactions that have called this.
    """
    entries: Any = type(entry)._base_manager
    locked = entries.select_for_update().filter(pk=entry.pk).only("pk").first()
    pictures: models.QuerySet[Any] | None = locked and locked.pictures.order_by("position")
    return pictures


class SpeciesPicture(Picture):
    entry = models.ForeignKey(Species, on_delete=models.CASCADE, related_name="pictures", editable=False)

    renditions_bucket: ClassVar[str] = Species.bucket

    class Meta(Picture.Meta):
        indexes = [renditions_index("species_renditions_due")]


class ExhibitionPicture(Picture):
    entry = models.ForeignKey(Exhibition, on_delete=models.CASCADE, related_name="pictures", editable=False)

    renditions_bucket: ClassVar[str] = Exhibition.bucket

    class Meta(Picture.Meta):
        indexes = [renditions_index("exhibition_renditions_due")]


class EducationalServicePicture(Picture):
    entry = models.ForeignKey(
        EducationalService, on_delete=models.CASCADE, related_name="pictures", editable=False
    )

    renditions_bucket: ClassVar[str] = EducationalService.bucket

    class Meta(Picture.Meta):
        indexes = [renditions_index("service_renditions_due")]
