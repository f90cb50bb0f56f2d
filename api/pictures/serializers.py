"""The image object of API responses: the renditions of a picture, with its texts."""

from collections.abc import Mapping
from typing import Any, TypedDict

from rest_framework import serializers

from api.pictures.models import PictureModel

IMAGE = {
    "url": "https://ref.supabase.co/storage/v1/object/public/species/african-penguin/Zk0….jpg",
    "width": 2560,
    "height": 1707,
    "alt": {"en": "A penguin on a rock.", "es": "Un pingüino sobre una roca."},
    "credit": "Ana García",
    "renditions": [
        {
            "url": "https://ref.supabase.co/storage/v1/object/public/species/african-penguin/k3v….webp",
            "width": 320,
            "height": 213,
            "content_type": "image/webp",
        }
    ],
    "placeholder": "data:image/webp;base64,UklGR…",
}


class AltDict(TypedDict):
    en: str
    es: str


class RenditionSerializer(serializers.Serializer[Any]):
    url = serializers.CharField()
    width = serializers.IntegerField(help_text="Pixels.")
    height = serializers.IntegerField(help_text="Pixels.")
    content_type = serializers.CharField(help_text="`image/webp`; the last one is `image/jpeg`.")


class AltSerializer(serializers.Serializer[Any]):
    """The text in place of the picture, for those who cannot see it, in English and Spanish."""

    en = serializers.CharField(allow_blank=True)
    es = serializers.CharField(allow_blank=True)


class ImageSerializer(serializers.Serializer[Any]):
    """A picture as it is published. Without renditions it is being processed, or that has failed."""

    url = serializers.CharField(allow_null=True, help_text="The largest rendition, as a JPEG.")
    width = serializers.IntegerField(allow_null=True, help_text="Of `url`, in pixels.")
    height = serializers.IntegerField(allow_null=True, help_text="Of `url`, in pixels.")
    alt = AltSerializer()
    credit = serializers.CharField(allow_blank=True)
    renditions = RenditionSerializer(many=True, help_text="The smallest first.")
    placeholder = serializers.CharField(
        allow_null=True, help_text="A tiny picture as a data URI, to show until the rendition is loaded."
    )


def image_urls(picture: PictureModel) -> dict[str, str]:
    """Return the public URLs of what is published of the picture, by key."""
    return {file.key: file.url for file in picture.rendition_files() if file.key}


def image(picture: PictureModel, urls: Mapping[str, str], *, alt: AltDict, credit: str) -> dict[str, Any]:
    """Return the JSON of an ImageSerializer. `urls` has the URLs of the renditions by key.

    A rendition without a URL is left out: its object is missing.
    """
    renditions = [each for each in picture.renditions() if each.file.key in urls]
    largest = renditions[-1] if renditions else None
    earlier = urls.get(picture.published_original.key)
    return {
        "url": urls[largest.file.key] if largest else earlier,
        "width": largest and largest.width,
        "height": largest and largest.height,
        "alt": alt,
        "credit": credit,
        "renditions": [
            {
                "url": urls[each.file.key],
                "width": each.width,
                "height": each.height,
                "content_type": each.content_type,
            }
            for each in renditions
        ],
        "placeholder": picture.placeholder or None,
    }
