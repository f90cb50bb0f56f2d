"""The lists of the admin, whatever is searched for, filtered by or chosen there."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ObjectDoesNotExist, SuspiciousOperation, ValidationError
from django.db import DataError, transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.utils.text import smart_split

from api.uploads.attachments import delete_row
from storage.fields import FileFacts

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


class ResourceAdmin(BoundedAdmin):
    """Rows that go with their objects and tickets."""

    list_per_page = 25
    view_on_site = False  # what a row calls its URL is the API's

    class Media:
        css = {"all": ["vivarium/admin.css"]}

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        transaction.on_commit(partial(_remove, obj))

    def delete_queryset(self, request: HttpRequest, queryset: Iterable[Model]) -> None:
        """From the list there is no transaction, and each row goes at once."""
        for obj in list(queryset):
            self.delete_model(request, obj)


class ReadOnlyAdmin(ResourceAdmin):
    """Rows that the API alone makes and changes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def file_line(facts: FileFacts | None) -> str:
    """What is known of a file, in a line; "" of none."""
    if not facts:
        return ""
    return f"{facts['name']} ({facts['content_type']}, {filesizeformat(facts['size'])})"


def _remove(row: Model) -> None:
    try:
        delete_row(row)
    except ObjectDoesNotExist:
        pass  # somebody else was faster
