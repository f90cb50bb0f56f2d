"""PictureModel, the base class of rows with a picture: its columns for the published renditions."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from django.apps import apps
from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from api.pictures.sizes import WIDTHS, size_at
from storage.base import store_of
from storage.fields import StoredFile, UploadField, stored_file

#: For which one process that makes the renditions of a row is left alone by the others.
CLAIMED_FOR = timedelta(minutes=2)
#: Of a rendition. Only one of noise, and much higher than it is wide, has more than that.
MAX_BYTES = max(settings.IMAGE_MAX_BYTES, 10 * 1024 * 1024)


@dataclass(frozen=True, slots=True)
class Rendition:
    """A published file. `width` and `height` in pixels."""

    file: StoredFile
    width: int
    height: int
    content_type: str


def _renditions_folder(row: "PictureModel") -> str:
    return row.renditions_folder()


class RenditionField(UploadField):
    """A file that the server makes of the picture of a row, in the `renditions_bucket` of the model."""

    def __init__(self, *args: Any, **options: Any) -> None:
        defaults = {"folder": _renditions_folder, "blank": True, "editable": False}
        super().__init__(*args, **{"max_bytes": MAX_BYTES, **defaults, **options})

    def contribute_to_class(self, cls: Any, name: str, *args: Any, **options: Any) -> None:
        super().contribute_to_class(cls, name, *args, **options)
        if bucket := getattr(cls, "renditions_bucket", ""):  # models in migrations have none
            self.alias, self.storage = bucket, store_of(bucket)


class PictureModel(models.Model):
    """A row with one picture. The uploaded file is private; its renditions are published.

    A picture that is narrower than a column says is as wide as the picture, and the columns of larger widths
    are empty.
    """

    picture_field: ClassVar[str]  # the name of the UploadField for the uploaded file
    renditions_bucket: ClassVar[str]

    webp_320 = RenditionField(accepts=["image/webp"])
    webp_640 = RenditionField(accepts=["image/webp"])
    webp_1280 = RenditionField(accepts=["image/webp"])
    webp_2560 = RenditionField(accepts=["image/webp"])
    jpeg = RenditionField(accepts=["image/jpeg"])
    #: Of an earlier version, which published what was uploaded. It is until the renditions are made.
    published_original = RenditionField(accepts=settings.IMAGE_TYPES)

    width = models.PositiveIntegerField(null=True, editable=False)  # pixels, turned as EXIF says
    height = models.PositiveIntegerField(null=True, editable=False)
    placeholder = models.CharField(max_length=200, blank=True, editable=False, help_text="A data URI.")

    renditions_due_at = models.DateTimeField(
        null=True, editable=False, help_text="When to make the renditions, or to try again; null: never."
    )
    rendition_attempts = models.PositiveIntegerField(_("failed attempts"), default=0, editable=False)
    rendition_error = models.TextField(_("last error"), blank=True, editable=False)

    class Meta:
        abstract = True

    def renditions_folder(self) -> str:
        """Return the folder for the renditions of this row in their bucket."""
        raise NotImplementedError

    def before_publishing(self) -> None:
        """Called first in each transaction that changes what is published of this picture."""

    @property
    def picture(self) -> StoredFile:
        """The uploaded file."""
        return stored_file(self, self.picture_field)

    @property
    def source(self) -> StoredFile:
        """The file that renditions are made from."""
        return self.picture if self.picture.key else stored_file(self, "published_original")

    @property
    def has_picture(self) -> bool:
        return bool(self.source.key)

    @property
    def is_processing(self) -> bool:
        """True if the renditions are still to be made."""
        return self.renditions_due_at is not None

    def renditions(self) -> list[Rendition]:
        """Return what is published, the smallest first, and the JPEG at the end."""
        if not (self.width and self.height):
            return []
        columns = [*((f"webp_{width}", width) for width in WIDTHS), ("jpeg", WIDTHS[-1])]
        files = [(stored_file(self, name), width) for name, width in columns]
        return [
            Rendition(file, *size_at(self.width, self.height, width), file.field.accepts[0])
            for file, width in files
            if file.key
        ]

    def published_url(self) -> str | None:
        """Return the public URL of the JPEG, or of what an earlier version has published."""
        file = self.jpeg if self.jpeg.key else self.published_original
        return file.url if file.key else None

    def rendition_files(self) -> list[StoredFile]:
        """Return the files beside the uploaded one."""
        return [stored_file(self, name) for name in RENDITION_FIELDS]

    def picture_as_read(self) -> dict[str, Any]:
        """Return the columns whose values must be unchanged when a picture or renditions are recorded."""
        return {**self.picture.as_read(), **{file.field.name: file.key for file in self.rendition_files()}}

    def without_renditions(self) -> dict[str, Any]:
        """Return the values of the columns of a row whose picture is removed."""
        return {
            **dict.fromkeys(RENDITION_FIELDS, ""),
            "width": None,
            "height": None,
            "placeholder": "",
            "renditions_due_at": None,
            "rendition_attempts": 0,
            "rendition_error": "",
        }

    def awaiting_renditions(self) -> dict[str, Any]:
        """Return the values of the columns for a new picture, whose renditions the caller makes."""
        return {**self.without_renditions(), "renditions_due_at": timezone.now() + CLAIMED_FOR}


RENDITION_FIELDS = tuple(
    field.name for field in PictureModel._meta.local_fields if isinstance(field, RenditionField)
)


def picture_models() -> list[type[PictureModel]]:
    """Return the models with pictures."""
    return [model for model in apps.get_models() if issubclass(model, PictureModel)]


def renditions_index(name: str) -> models.Index:
    """Return the index by which the sweep finds the rows whose renditions are due."""
    return models.Index(
        fields=["renditions_due_at"],
        condition=Q(renditions_due_at__isnull=False),
        name=name,
    )
