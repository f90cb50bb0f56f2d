"""The filters of resources with a private file."""

from typing import Any
from uuid import UUID

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms import CharField
from django.utils.translation import gettext

from api.filters import BooleanFilter, ResourceFilters


class OwnerField(CharField):
    """`me` or a UUID."""

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text or text == "me":
            return text
        try:
            return UUID(text)
        except ValueError:
            raise ValidationError(gettext("Send a UUID, or `me`."), code="invalid") from None


class OwnerFilter(django_filters.CharFilter):
    """Filters by a member's UUID; `me` is the caller."""

    field_class = OwnerField

    def filter(self, queryset: QuerySet, value: Any) -> QuerySet:
        if value == "me":
            value = self.parent.request.user.id
        return super().filter(queryset, value)


class PrivateFileFilters(ResourceFilters):
    owner = OwnerFilter(field_name="owner_id", label="`me`, or a member's UUID")
    has_file = BooleanFilter(method="filter_has_file", label="Those with a file, or those without one.")

    def filter_has_file(self, queryset: QuerySet, name: str, has_file: bool) -> QuerySet:
        return queryset.exclude(file="") if has_file else queryset.filter(file="")
