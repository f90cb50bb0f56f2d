"""The filters of the catalogue."""

import django_filters

from api.catalog.models import EducationalService, Exhibition, Species


class SpeciesFilters(django_filters.FilterSet):
    class Meta:
        model = Species
        fields = ["conservation_status", "taxonomic_class", "taxonomic_order", "family"]


class ExhibitionFilters(django_filters.FilterSet):
    open_on = django_filters.DateFilter(
        method="are_open_on",
        label="Those that are open on this day.",
        input_formats=["%Y-%m-%d"],  # those of each language would let the answer depend on it
    )

    class Meta:
        model = Exhibition
        fields: list[str] = []

    def are_open_on(self, queryset, name, day):  # type: ignore[no-untyped-def]
        return queryset.open_on(day)


class EducationalServiceFilters(django_filters.FilterSet):
    class Meta:
        model = EducationalService
        fields = ["audience"]
