"""Serializers of the catalogue."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext
from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.validators import UniqueValidator

from api.catalog import rules
from api.catalog.gallery_serializers import published
from api.catalog.models import MAX_SLUG_LENGTH, EducationalService, Entry, Exhibition, Species
from api.pictures.serializers import IMAGE, ImageSerializer
from api.serializer_fields import ModelSerializer, TextField

ENTRY_FIELDS = ["slug", "description", "published", "image", "image_url", "created_at", "updated_at"]


class ScientificNameField(TextField):
    def to_internal_value(self, data: Any) -> str:
        return rules.clean_scientific_name(super().to_internal_value(data))


class SlugField(TextField):
    """A slug, which never changes, because it is printed on signs. Clients may send it back unchanged."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, required=False, help_text="Made from the name. It never changes.")

    def to_internal_value(self, data: Any) -> str:
        slug: str = super().to_internal_value(data)
        entry = self.parent.instance
        if entry is None or slug != entry.slug:
            message = gettext("A slug is made by the server and never changes.")
            raise serializers.ValidationError(message, code="fixed")
        return slug


class EntrySerializer(ModelSerializer[Any]):
    example_values = {"slug": "african-penguin", "image": IMAGE, "image_url": IMAGE["url"]}

    slug = SlugField()
    image = serializers.SerializerMethodField(help_text="The first picture of the gallery.")
    image_url = serializers.SerializerMethodField(
        help_text="The `url` of `image`: public, without expiry; null without an image."
    )

    @extend_schema_field(ImageSerializer(allow_null=True))
    def get_image(self, entry: Entry) -> dict[str, Any] | None:
        return entry.image and published(entry.image)

    @extend_schema_field({"type": "string", "format": "uri", "nullable": True})
    def get_image_url(self, entry: Entry) -> str | None:
        url: str | None = entry.image and entry.image.published_url()
        return url

    def create(self, fields: dict[str, Any]) -> Entry:
        related = fields.pop("species", None)
        model: Any = self.Meta.model
        entry: Entry = model(**fields)
        with _translated_integrity_errors(), transaction.atomic():
            entry.create()
            self._set_species(entry, related)
        return entry

    def update(self, entry: Entry, changes: dict[str, Any]) -> Entry:
        """Save the sent fields only, because an upload may be recorded at the same time."""
        related = changes.pop("species", None)
        changes.pop("slug", None)
        with _translated_integrity_errors(), transaction.atomic():
            entry.update(changes)
            self._set_species(entry, related)
        return entry

    def _set_species(self, entry: Any, species: list[Species] | None) -> None:
        if species is not None:
            entry.species.set(species)


@contextmanager
def _translated_integrity_errors() -> Iterator[None]:
    """Turn IntegrityError into ValidationError: concurrent requests can all pass the validation before."""
    try:
        yield
    except IntegrityError:
        message = gettext("This conflicts with another entry, or with another change at the same time.")
        raise serializers.ValidationError(message, code="conflict") from None


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "A species",
            {
                "common_name": "African penguin",
                "scientific_name": "Spheniscus demersus",
                "taxonomic_class": "Aves",
                "taxonomic_order": "Sphenisciformes",
                "family": "Spheniscidae",
                "conservation_status": "CR",
                "published": True,
            },
        )
    ]
)
class SpeciesSerializer(EntrySerializer):
    qr_code_url = serializers.SerializerMethodField(
        help_text="Public, without expiry; null until the QR code is made."
    )
    scientific_name = ScientificNameField(
        max_length=200,
        validators=[UniqueValidator(Species.objects.all(), message=rules.NAME_IS_TAKEN)],
    )

    class Meta:
        model = Species
        fields = [
            "id",
            "common_name",
            "scientific_name",
            "habitat",
            "taxonomic_class",
            "taxonomic_order",
            "family",
            "conservation_status",
            *ENTRY_FIELDS,
            "qr_code_url",
        ]

    @extend_schema_field({"type": "string", "format": "uri", "nullable": True})
    def get_qr_code_url(self, species: Species) -> str | None:
        return species.qr_code.url if species.qr_code.name else None


class SpeciesSlugsField(serializers.ListField):
    """Species by their slugs, in one query. Responses contain the species that the caller may see."""

    child = TextField(max_length=MAX_SLUG_LENGTH)

    def to_internal_value(self, data: Any) -> list[Species]:
        slugs = super().to_internal_value(data)
        self.run_validators(slugs)  # before the query: databases limit the number of parameters
        found = {species.slug: species for species in Species.objects.filter(slug__in=slugs)}
        errors: Any = {at: [_unknown(slug)] for at, slug in enumerate(slugs) if slug not in found}
        if errors:
            raise serializers.ValidationError(errors)
        return list(found.values())

    def get_attribute(self, exhibition: Exhibition) -> list[str]:
        return exhibition.species_slugs or []

    def to_representation(self, slugs: Any) -> list[str]:
        return sorted(slugs)


def _unknown(slug: str) -> serializers.ErrorDetail:
    message = gettext("There is no species %(slug)s.") % {"slug": repr(slug)}
    return serializers.ErrorDetail(message, "does_not_exist")


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "An exhibition",
            {
                "title": "Penguins of the cape",
                "location": "House 3",
                "opens_on": "2026-12-01",
                "closes_on": "2027-03-31",
                "species": ["african-penguin"],
                "published": True,
            },
        )
    ]
)
class ExhibitionSerializer(EntrySerializer):
    species = SpeciesSlugsField(required=False, max_length=1000)

    class Meta:
        model = Exhibition
        fields = ["id", "title", "location", "opens_on", "closes_on", "species", *ENTRY_FIELDS]

    def validate(self, fields: dict[str, Any]) -> dict[str, Any]:
        opens = fields.get("opens_on", getattr(self.instance, "opens_on", None))
        closes = fields.get("closes_on", getattr(self.instance, "closes_on", None))
        rules.validate_dates(opens, closes)
        return fields


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "An educational service",
            {
                "title": "Night at the aquarium",
                "audience": "families",
                "duration_minutes": 90,
                "capacity": 20,
                "price": "12.50",
                "currency": "EUR",
                "published": True,
            },
        )
    ]
)
class EducationalServiceSerializer(EntrySerializer):
    price = serializers.DecimalField(
        max_digits=10, decimal_places=2, min_value=Decimal(0), required=False, allow_null=True
    )

    class Meta:
        model = EducationalService
        fields = [
            "id",
            "title",
            "audience",
            "duration_minutes",
            "capacity",
            "price",
            "currency",
            *ENTRY_FIELDS,
        ]

    def validate(self, fields: dict[str, Any]) -> dict[str, Any]:
        price = fields.get("price", getattr(self.instance, "price", None))
        currency = fields.get("currency", getattr(self.instance, "currency", ""))
        rules.validate_price(price, currency)
        return fields
