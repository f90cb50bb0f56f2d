"""The lists of the admin, whatever is searched for, filtered by or chosen there."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import SuspiciousOperation, ValidationError
from django.db import DataError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.text import smart_split

MAX_WORDS = 20  # each is a condition on each field, and databases take only so many


class BoundedList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        """A year, or a number, that no database holds is as wrong as one that cannot be read."""
        try:
            super().get_results(request)
        except (OverflowError, DataError) as error:
            raise IncorrectLookupParameters(error) from error


class BoundedAdmin(admin.ModelAdmin):
    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return BoundedList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        words = list(smart_split(search_term.replace("\0", "")))[:MAX_WORDS]
        return super().get_search_results(request, queryset, " ".join(words))

    def response_action(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse | None:
        try:
            return super().response_action(request, *args, **options)
        except (ValidationError, ValueError) as error:  # of an id that is none
            raise SuspiciousOperation("An action on rows that cannot be.") from error
