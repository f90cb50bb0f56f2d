"""Search, filters and ordering of lists."""

from typing import Any

import django_filters
from django.db.models import Field, QuerySet
from django.utils.translation import gettext
from rest_framework.exceptions import ValidationError
from rest_framework.fields import CharField
from rest_framework.filters import OrderingFilter, SearchFilter, search_smart_split
from rest_framework.request import Request

from api.search import fold
from api.text import TextFormField


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

    def filter_queryset(self, request: Request, queryset: QuerySet, view: Any) -> QuerySet:
        ordering = self.get_ordering(request, queryset, view)
        if not ordering:
            return queryset
        tie = "-id" if ordering[-1].startswith("-") else "id"  # one index then serves both directions
        return queryset.order_by(*ordering, tie)


class TextFilter(django_filters.CharFilter):
    field_class = TextFormField


class FilterSet(django_filters.FilterSet):
    """A FilterSet that cleans all text, so that it finds what was stored."""

    @classmethod
    def filter_for_lookup(cls, field: Field, lookup_type: str) -> Any:
        kind, options = super().filter_for_lookup(field, lookup_type)
        return (TextFilter if kind is django_filters.CharFilter else kind), options
