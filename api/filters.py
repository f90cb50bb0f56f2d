"""Search, filters and ordering of lists."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import django_filters
from django import forms
from django.core.exceptions import ValidationError as FormValidationError
from django.db.models import Field, QuerySet
from django.utils.translation import gettext
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema_field
from rest_framework.exceptions import ValidationError
from rest_framework.fields import CharField
from rest_framework.filters import OrderingFilter, SearchFilter, search_smart_split
from rest_framework.request import Request

from api.cursors import order_by
from api.search import fold, searched_fields
from api.text import TextFormField


class FilterBackend(DjangoFilterBackend):
    """A DjangoFilterBackend that makes no form if the query has none of its filters."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        filterset = self.get_filterset_class(view, queryset)
        if not filterset or filterset.base_filters.keys().isdisjoint(request.query_params):
            return queryset
        filtered: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        return filtered


class BoundedSearchFilter(SearchFilter):
    """A SearchFilter with a maximum number of words.

    Every word is a condition on every search field, and databases limit the size of a query. The text is
    folded before it is split into words, because an apostrophe would begin a quoted phrase.
    """

    max_words = 20
    search_description = (
        "Lists what contains each of these words, or phrases in double quotes. Upper case, accents and "
        "apostrophes make no difference."
    )

    def get_search_fields(self, view: Any, request: Request) -> list[str]:
        """Return the `search_fields` of the view, by default the column `search_text` of its model."""
        named = super().get_search_fields(view, request)
        return list(named or searched_fields(view.queryset.model))

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Return no parameter for a model without the column."""
        is_searched = getattr(view, "search_fields", None) or searched_fields(view.queryset.model)
        return super().get_schema_operation_parameters(view) if is_searched else []

    def get_search_terms(self, request: Request) -> list[str]:
        text = CharField(trim_whitespace=False, allow_blank=True)
        asked = text.run_validation(request.query_params.get(self.search_param, ""))
        words: list[str] = search_smart_split(fold(asked))  # type: ignore[arg-type]  # the stub is wrong
        if len(words) > self.max_words:
            message = gettext("Search for at most %(limit)s words.") % {"limit": self.max_words}
            raise ValidationError({self.search_param: ValidationError(message, "too_many").detail})
        return words


class StrictOrderingFilter(OrderingFilter):
    """An OrderingFilter that refuses unknown fields, and breaks ties by id so that pages never overlap."""

    ordering_description = (
        "The fields to order by, separated by commas; `-` before a field means descending. Rows without a "
        "value come last, in descending order first."
    )

    def remove_invalid_fields(self, queryset: Any, fields: Any, view: Any, request: Any) -> list[str]:
        known = super().remove_invalid_fields(queryset, fields, view, request)
        unknown = [field for field in fields if field not in known]
        if unknown:
            allowed = ", ".join(
                name for name, _ in self.get_valid_fields(queryset, view, {"request": request})
            )
            message = gettext("Unknown field %(field)s: choose from %(allowed)s.") % {
                "field": repr(unknown[0][:50]),
                "allowed": allowed,
            }
            raise ValidationError({self.ordering_param: ValidationError(message, "unknown").detail})
        return known

    def get_ordering(self, request: Request, queryset: QuerySet, view: Any) -> list[str]:
        """Return the fields, the last of which is the id. A field that is named again changes nothing."""
        asked: Sequence[str] = super().get_ordering(request, queryset, view) or queryset.model._meta.ordering
        by_field: dict[str, str] = {}
        for name in asked:
            by_field.setdefault(name.removeprefix("-"), name)
        ordering = list(by_field.values())
        if "id" in by_field:
            return ordering
        tie = "-id" if ordering[-1].startswith("-") else "id"  # one index then serves both directions
        return [*ordering, tie]

    def filter_queryset(self, request: Request, queryset: QuerySet, view: Any) -> QuerySet:
        return queryset.order_by(*order_by(queryset.model, self.get_ordering(request, queryset, view)))

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Return the parameter as a list of the fields and their `-` forms, separated by commas."""
        [parameter] = super().get_schema_operation_parameters(view)
        names = [sign + field for field in view.ordering_fields for sign in ("", "-")]
        items = {"type": "string", "enum": names}
        shape = {"style": "form", "explode": False, "schema": {"type": "array", "items": items}}
        return [{**parameter, **shape, "description": self.ordering_description}]


class TextFilter(django_filters.CharFilter):
    field_class = TextFormField


class FilterSet(django_filters.FilterSet):
    """A FilterSet that cleans all text, so that it finds what was stored."""

    @classmethod
    def filter_for_lookup(cls, field: Field, lookup_type: str) -> Any:
        kind, options = super().filter_for_lookup(field, lookup_type)
        return (TextFilter if kind is django_filters.CharFilter else kind), options


class TimeField(forms.CharField):
    """A date and time with its offset from UTC (RFC 3339)."""

    pattern = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)

    def clean(self, value: Any) -> datetime | None:
        """Return the time in UTC, None for no text. What is below a microsecond is cut off."""
        text = super().clean(value).upper()
        if not text:
            return None
        try:
            if not self.pattern.fullmatch(text):
                raise ValueError
            return datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError):
            message = gettext("Send a time with its offset, `2026-11-21T02:45:07Z`. In a URL, + is %(plus)s.")
            raise FormValidationError(message, code="invalid", params={"plus": "%2B"}) from None


class TimeFilter(django_filters.Filter):
    field_class = TimeField

    def __init__(self, *, label: str, **options: Any) -> None:
        super().__init__(label=label, **options)
        shapes = [{"type": "string", "format": "date-time"}, {"type": "string", "maxLength": 0}]
        extend_schema_field({"anyOf": shapes, "description": label})(self)


class BooleanFilter(django_filters.TypedChoiceFilter):
    """Takes `true` and `false` only: django-filter's own takes other text for no filter at all."""

    def __init__(self, *, label: str, **options: Any) -> None:
        choices = [(text, text) for text in ("true", "false")]
        super().__init__(label=label, choices=choices, coerce="true".__eq__, **options)
        extend_schema_field({"type": "boolean", "description": label})(self)


class ResourceFilters(FilterSet):
    """The filters of every list of resources."""

    updated_after = TimeFilter(
        field_name="updated_at",
        lookup_expr="gt",
        label="Only what was changed after this time, such as the latest `updated_at` that you have.",
    )
