"""The filters of the catalogue."""

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema_field

from api.catalog.models import EducationalService, Exhibition, Species
from api.filters import BooleanFilter, ResourceFilters


class EntryFilters(ResourceFilters):
    published = BooleanFilter(method="filter_published", label="Visitors see what is published only.")

    def filter_published(self, queryset: QuerySet[Any], name: str, published: bool) -> QuerySet[Any]:
        """Return nothing without a query to those who see only what is published: it would read all rows."""
        if not published and not self.request.user.is_staff:
            return queryset.none()
        return queryset.filter(published=published)


class SpeciesFilters(EntryFilters):
    class Meta:
        model = Species
        fields = ["conservation_status", "taxonomic_class", "taxonomic_order", "family"]


class ExhibitionFilters(EntryFilters):
    open_on = django_filters.DateFilter(
        method="filter_open_on",
        label="Exhibitions that are open on this day.",
        input_formats=["%Y-%m-%d"],  # the default formats depend on the language of the request
    )

    class Meta:
        model = Exhibition
        fields: list[str] = []

    @extend_schema_field(
        {"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "maxLength": 0}]}
    )
    def filter_open_on(self, queryset, name, day):  # type: ignore[no-untyped-def]
        return queryset.open_on(day)


class EducationalServiceFilters(EntryFilters):
    class Meta:
        model = EducationalService
        fields = ["audience"]
