"""Base classes of all pages of the admin.

Django wraps the forms and deletions of the admin in a transaction, and no storage call is made inside a
transaction. So storage calls wait for the commit.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ObjectDoesNotExist, SuspiciousOperation, ValidationError
from django.db import DataError, models, transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.utils.text import smart_split

from api.search import fold, folded
from api.text import TextFormField
from api.uploads.attachments import delete_row
from storage.fields import FileFacts

MAX_SEARCH_WORDS = 20  # each is a condition on each search field, and databases limit the size of a query


class BoundedChangeList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        """Handle a year or number that is out of the database's range like one that is malformed."""
        try:
            super().get_results(request)
        except (OverflowError, DataError) as error:
            raise IncorrectLookupParameters(error) from error


class BoundedAdmin(admin.ModelAdmin):
    """A ModelAdmin whose forms clean all text, and whose lists accept any search, filter and selection.

    `folded_fields` are the fields or expressions to search in a model without the column `search_text`.
    """

    folded_fields: ClassVar[tuple[Any, ...]] = ()

    formfield_overrides = {
        models.CharField: {"form_class": TextFormField},
        models.TextField: {"form_class": TextFormField},
    }

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows = super().get_queryset(request)
        return rows.alias(search_text=folded(*self.folded_fields)) if self.folded_fields else rows

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return BoundedChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        words = list(smart_split(fold(search_term.replace("\0", ""))))[:MAX_SEARCH_WORDS]
        return super().get_search_results(request, queryset, " ".join(words))

    def response_action(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse | None:
        try:
            return super().response_action(request, *args, **options)
        except (ValidationError, ValueError) as error:  # a malformed primary key
            raise SuspiciousOperation("An action on malformed primary keys.") from error


class ResourceAdmin(BoundedAdmin):
    """The admin of a Resource: deleting a row also deletes its objects and cancels its tickets."""

    list_per_page = 25
    view_on_site = False  # `get_absolute_url` of a Resource is a URL of the API

    class Media:
        css = {"all": ["vivarium/admin.css"]}

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        transaction.on_commit(partial(_delete, obj))

    def delete_queryset(self, request: HttpRequest, queryset: Iterable[Model]) -> None:
        """Delete row by row. This action runs without a transaction, so each row is deleted at once."""
        for obj in list(queryset):
            self.delete_model(request, obj)


class ReadOnlyAdmin(ResourceAdmin):
    """The admin of rows that only the API creates and changes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def file_summary(facts: FileFacts | None) -> str:
    """Return the name, type and size of a file; "" for None."""
    if not facts:
        return ""
    return f"{facts['name']} ({facts['content_type']}, {filesizeformat(facts['size'])})"


def _delete(row: Model) -> None:
    try:
        delete_row(row)
    except ObjectDoesNotExist:
        pass  # deleted by another request
