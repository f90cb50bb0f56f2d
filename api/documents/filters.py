"""The filters of documents."""

from typing import Any

import django_filters

from api.auth.principal import principal_of
from api.documents.models import Document
from api.filters import BooleanFilter
from api.private_files.filters import PrivateFileFilters


class DocumentFilters(PrivateFileFilters):
    visibility = django_filters.ChoiceFilter(choices=Document.Visibility.choices, method="filter_visibility")
    has_file = BooleanFilter(method="filter_has_file", label="Documents with a file, or without one.")

    class Meta:
        model = Document
        fields = ["owner", "visibility", "category"]

    def filter_visibility(self, queryset: Any, name: str, visibility: str) -> Any:
        return queryset.with_visibility(visibility, principal_of(self.request))
