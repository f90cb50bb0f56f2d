"""Serializers of the pictures in galleries."""

from typing import Any

from django.utils.translation import gettext
from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from api.catalog import galleries
from api.catalog.galleries import PositionOutOfRange
from api.catalog.pictures import MAX_ALT_LENGTH, Licence, Picture
from api.pictures.serializers import IMAGE, AltDict, RenditionSerializer, image, image_urls
from api.serializer_fields import StrictIntegerField, TextField
from api.uploads.serializers import FileFactsSerializer

PICTURE = {
    "id": "01971f6d-1d0a-7c11-9f0e-5b8c2f6f3a10",
    "position": 0,
    **IMAGE,
    "licence": "CC-BY-4.0",
    "processing": False,
    "file": None,
    "created_at": "2026-11-21T02:45:00Z",
    "updated_at": "2026-11-21T02:45:07Z",
}


def published(picture: Picture) -> dict[str, Any]:
    """Return what is published of the picture, as the JSON of an ImageSerializer."""
    alt: AltDict = {"en": picture.alt_en, "es": picture.alt_es}
    return image(picture, image_urls(picture), alt=alt, credit=picture.credit)


class AltTextsSerializer(serializers.Serializer[Any]):
    """The text in place of the picture, for those who cannot see it, in English and Spanish."""

    en = TextField(max_length=MAX_ALT_LENGTH, allow_blank=True, required=False)
    es = TextField(max_length=MAX_ALT_LENGTH, allow_blank=True, required=False)


@extend_schema_serializer(
    component_name="Picture",
    examples=[
        OpenApiExample("A picture", PICTURE, response_only=True),
        OpenApiExample("Texts", {"alt": IMAGE["alt"], "credit": "Ana García"}, request_only=True),
        OpenApiExample("Make it the first", {"position": 0}, request_only=True),
    ],
)
class PictureSerializer(serializers.Serializer[Picture]):
    """A picture of a gallery. Without renditions it is being processed, or that has failed."""

    id = serializers.UUIDField(read_only=True)
    position = StrictIntegerField(min_value=0, max_value=2**31 - 1, help_text="0 is the image of the entry.")
    url = serializers.CharField(
        allow_null=True, read_only=True, help_text="The largest rendition, as a JPEG."
    )
    width = serializers.IntegerField(allow_null=True, read_only=True, help_text="Of `url`, in pixels.")
    height = serializers.IntegerField(allow_null=True, read_only=True, help_text="Of `url`, in pixels.")
    alt = AltTextsSerializer(help_text="A language that is not sent stays as it is.")
    credit = TextField(max_length=200, allow_blank=True, help_text="Who made the picture.")
    licence = serializers.ChoiceField(Licence.choices, allow_blank=True, help_text="SPDX identifiers.")
    renditions = RenditionSerializer(many=True, read_only=True, help_text="The smallest first.")
    placeholder = serializers.CharField(
        allow_null=True, read_only=True, help_text="A tiny picture as a data URI."
    )
    processing = serializers.BooleanField(
        read_only=True, help_text="The renditions are still to be made: poll the picture."
    )
    file = FileFactsSerializer(
        allow_null=True, read_only=True, help_text="The uploaded file, for staff; null for others."
    )
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)

    def to_representation(self, picture: Picture) -> dict[str, Any]:
        shows_file = self.context["request"].user.is_staff
        return {
            "id": str(picture.pk),
            "position": picture.position,
            **published(picture),
            "licence": picture.licence,
            "processing": picture.is_processing,
            "file": picture.original_facts if shows_file else None,
            "created_at": self.fields["created_at"].to_representation(picture.created_at),
            "updated_at": self.fields["updated_at"].to_representation(picture.updated_at),
        }

    def update(self, picture: Picture, changes: dict[str, Any]) -> Picture:
        texts = {f"alt_{language}": text for language, text in changes.pop("alt", {}).items()}
        try:
            galleries.change(picture, changes | texts)
        except PositionOutOfRange as error:
            message = gettext("The last position is %(last)s.") % {"last": error.last}
            raise serializers.ValidationError({"position": [message]}, code="out_of_range") from None
        return picture
