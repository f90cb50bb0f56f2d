"""The filters of uploads."""

from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms import CharField
from django.urls import Resolver404, get_script_prefix, resolve
from django.utils.translation import gettext

from api.base_models import Resource, parse_uuid
from api.filters import ResourceFilters
from api.uploads.models import Upload

Address = tuple[type[Resource], dict[str, str | UUID]]  # a model, and the lookup of one of its rows


class ResourceField(CharField):
    """The URL of a resource, or its path."""

    def clean(self, value: Any) -> Address | None:
        text = super().clean(value)
        if not text:
            return None
        if address := _address(text):
            return address
        message = gettext("Send the URL of a document, profile or entry, as `resource` has it.")
        raise ValidationError(message, code="invalid")


class ResourceFilter(django_filters.CharFilter):
    field_class = ResourceField

    def filter(self, queryset: Any, value: Address | None) -> QuerySet:
        if value is None:
            return queryset
        model, lookup = value
        return queryset.for_address(model, lookup)


class UploadFilters(ResourceFilters):
    state = django_filters.ChoiceFilter(
        choices=Upload.State.choices,
        method="filter_state",
        label="The state as it is shown: a pending ticket past `expires_at` is expired.",
    )
    resource = ResourceFilter(label="The URL of the resource that the file is for, or its path.")

    class Meta:
        model = Upload
        fields: list[str] = []

    def filter_state(self, queryset: Any, name: str, state: str) -> QuerySet:
        filtered: QuerySet = queryset.shown_as(state)
        return filtered


def _address(text: str) -> Address | None:
    """Return which resource would have this URL, on any host. None if none would."""
    try:
        path = unquote(urlsplit(text).path, errors="strict")
        prefix = get_script_prefix()
        match = resolve("/" + path.removeprefix(prefix)) if path.startswith(prefix) else None
    except (ValueError, Resolver404):
        return None
    view: Any = getattr(match and match.func, "cls", None)
    if not match or not view or not str(match.url_name).endswith("-detail"):
        return None
    model, value = view.queryset.model, match.kwargs.get(view.lookup_field)
    if not hasattr(model, "get_absolute_url") or value is None or len(match.kwargs) != 1:
        return None
    key = parse_uuid(value) if view.lookup_field == "pk" else value
    return (model, {view.lookup_field: key}) if key else None
