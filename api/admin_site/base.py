"""Base classes of all pages of the admin.

Django wraps the forms and deletions of the admin in a transaction, and no storage call is made inside a
transaction. So storage calls wait for the commit.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.exceptions import DisallowedModelAdminLookup, NotRegistered
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ObjectDoesNotExist, SuspiciousOperation, ValidationError
from django.db import DataError, models, transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.utils.text import smart_split

from api.base_models import Resource
from api.search import fold, folded
from api.text import TextFormField
from api.uploads.attachments import delete_row
from storage.fields import FileFacts

MAX_SEARCH_WORDS = 20  # each is a condition on each search field, and databases limit the size of a query


class BoundedChangeList(ChangeList):
    """A list whose query string only filters by what the page offers.

    Django allows any lookup on the model's own columns. With those, anybody who may see a list can guess at
    columns that it does not show, and a malformed regular expression is an error of the database.
    """

    model_admin: "BoundedAdmin"

    def get_filters(self, request: HttpRequest) -> Any:
        filters: Any = super().get_filters(request)
        remaining = filters[2]  # the lookups that no filter of the list has taken
        if unknown := remaining.keys() - set(self.model_admin.linked_lookups):
            raise DisallowedModelAdminLookup(f"Filtering by {sorted(unknown)[0][:50]!r} is not allowed.")
        return filters

    def get_results(self, request: HttpRequest) -> None:
        """Handle a year or number that is out of the database's range like one that is malformed."""
        try:
            super().get_results(request)
        except (OverflowError, DataError) as error:
            raise IncorrectLookupParameters(error) from error


class BoundedAdmin(admin.ModelAdmin):
    """A ModelAdmin whose forms clean all text, and whose lists accept any search, filter and selection.

    `folded_fields` are the fields or expressions to search in a model without the column `search_text`.
    `linked_lookups` are the lookups that other pages link to, beside those of `list_filter`.
    """

    folded_fields: ClassVar[tuple[Any, ...]] = ()
    linked_lookups: Sequence[str] = ()

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

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Take an empty `_to_field` in the query for none; Django would look for a field without a name."""
        return super().get_object(request, object_id, from_field or None)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """List only the chosen rows: the names of related rows may be hidden from this user."""
        _nested, counts, missing_permissions, protected = super().get_deleted_objects(objs, request)
        return [str(obj) for obj in objs], counts, missing_permissions, protected

    def response_action(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse | None:
        try:
            return super().response_action(request, *args, **options)
        except (ValidationError, ValueError, OverflowError) as error:  # a malformed primary key
            raise SuspiciousOperation("An action on malformed primary keys.") from error


class ResourceAdmin(BoundedAdmin):
    """The admin of a Resource: deleting a row also deletes its objects and cancels its tickets."""

    list_per_page = 25
    view_on_site = False  # `get_absolute_url` of a Resource is a URL of the API

    class Media:
        css = {"all": ["vivarium/admin.css"]}

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        transaction.on_commit(partial(_delete, obj))

    def delete_queryset(self, request: HttpRequest, queryset: Iterable[Any]) -> None:
        """Delete row by row. This action runs without a transaction, so each row is deleted at once."""
        for obj in list(queryset):
            self.delete_model(request, obj)


class ReadOnlyAdmin(ResourceAdmin):
    """The admin of rows that only the API creates and changes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def may_view(request: HttpRequest, model: type[Model]) -> bool:
    """Return whether this user may see the rows of another model."""
    try:
        return admin.site.get_model_admin(model).has_view_permission(request)
    except NotRegistered:
        return False


def file_summary(facts: FileFacts | None) -> str:
    """Return the name, type and size of a file; "" for None."""
    if not facts:
        return ""
    return f"{facts['name']} ({facts['content_type']}, {filesizeformat(facts['size'])})"


def _delete(row: Resource) -> None:
    try:
        delete_row(row)
    except ObjectDoesNotExist:
        pass  # deleted by another request
