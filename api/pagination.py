"""Pagination of lists: by page numbers, or by cursors."""

from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.utils.translation import gettext
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import IntegerField
from rest_framework.utils.urls import replace_query_param

from api.cursors import Cursor, InvalidCursor


class IndexedPaginator(Paginator):
    """A Paginator whose pages PostgreSQL reads by an index if there is one."""

    deep = 1000  # rows before a page, from which on two queries are faster than one

    def page(self, number: int | str) -> Page[Any]:
        """Return a page. Its query has the whole page size as its limit, also if fewer rows are left.

        Django's limit is what is left. With LIMIT 1, PostgreSQL would read all rows in order until it meets
        the one that a search finds, because it expects many.
        """
        valid = self.validate_number(number)
        start = (valid - 1) * self.per_page
        return Page(self._rows(start, start + self.per_page), valid, self)

    def _rows(self, start: int, end: int) -> Any:
        """Return these rows. Far behind, first their ids: what belongs to the rows before is not read."""
        rows: Any = self.object_list
        if self.count == 0:
            return rows[:0]
        if start < self.deep or not isinstance(rows, QuerySet):
            return rows[start:end]
        ids = rows.prefetch_related(None).values_list("pk", flat=True)[start:end]
        return rows.filter(pk__in=list(ids))


class PagePagination(PageNumberPagination):
    """Pages with numbers."""

    django_paginator_class = IndexedPaginator
    page_size = 25
    page_size_query_param = "page_size"
    page_size_query_description = "Number of results to return per page, 25 if absent."
    max_page_size = 100

    def get_page_size(self, request: Request) -> int:
        """Return the page size. Raises ValidationError if it is not from 1 to 100; DRF would ignore it."""
        sent = request.query_params.get(self.page_size_query_param, self.page_size)
        try:
            return IntegerField(min_value=1, max_value=self.max_page_size).run_validation(sent)
        except ValidationError as error:
            raise ValidationError({self.page_size_query_param: error.detail}) from None

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Add the range of `page` and `page_size`."""
        parameters: list[dict[str, Any]] = super().get_schema_operation_parameters(view)
        for parameter in parameters:
            parameter["schema"]["minimum"] = 1
            if parameter["name"] == self.page_size_query_param:
                parameter["schema"]["maximum"] = self.max_page_size
        return parameters

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Replace the example URLs of DRF, which show another API. All four members are always there."""
        paginated = super().get_paginated_response_schema(schema)
        paginated["required"] = list(paginated["properties"])
        for name, page in (("next", 3), ("previous", 1)):
            paginated["properties"][name]["example"] = f"https://api.example.org/api/v1/…/?page={page}"
        return paginated


class StandardPagination(PagePagination):
    """Pages with numbers, or with `?cursor=`, which needs no COUNT query and holds while rows change."""

    cursor_query_param = "cursor"
    cursor_query_description = (
        "Empty: the first page. Otherwise the cursor in `next` or `previous`. Then `count` is null, and rows "
        "that are created or deleted meanwhile neither repeat nor hide others. Not together with `page`."
    )
    cursor: Cursor | None = None

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        if self.cursor_query_param not in request.query_params:
            return super().paginate_queryset(queryset, request, view)
        if self.page_query_param in request.query_params:
            message = gettext("Send `page` or `cursor`, not both.")
            raise ValidationError({self.page_query_param: ValidationError(message, "invalid").detail})
        self.request = request
        self.cursor = self._cursor(queryset, request, view)
        size = self.get_page_size(request)
        found = self.cursor.rows(queryset, size + 1)
        self.has_more = len(found) > size
        rows = found[:size]
        self.rows = rows[::-1] if self.cursor.backward else rows
        return self.rows

    def _cursor(self, queryset: QuerySet[Any], request: Request, view: Any) -> Cursor:
        filters = [backend() for backend in view.filter_backends]
        [ordering] = [f.get_ordering(request, queryset, view) for f in filters if hasattr(f, "get_ordering")]
        text = request.query_params[self.cursor_query_param]
        if not text:
            return Cursor(queryset.model, tuple(ordering))
        try:
            return Cursor.parse(text, queryset.model, ordering)
        except InvalidCursor:
            message = gettext("Take the cursor from `next` or `previous` of this list in this order.")
            raise ValidationError(
                {self.cursor_query_param: ValidationError(message, "invalid").detail}
            ) from None

    def get_next_link(self) -> str | None:
        return self._link(backward=False) if self.cursor else super().get_next_link()

    def get_previous_link(self) -> str | None:
        return self._link(backward=True) if self.cursor else super().get_previous_link()

    def _link(self, *, backward: bool) -> str | None:
        """Return the URL of a neighbouring page. There is one where this request comes from."""
        assert self.cursor
        assert self.request
        is_ahead = backward == self.cursor.backward
        if not (self.has_more if is_ahead else self.cursor.values):
            return None
        if self.rows:
            cursor = self.cursor.at(self.rows[0 if backward else -1], backward=backward)
        else:
            cursor = self.cursor.turned()
        return replace_query_param(self.request.build_absolute_uri(), self.cursor_query_param, str(cursor))

    def get_paginated_response(self, data: Any) -> Response:
        if not self.cursor:
            return super().get_paginated_response(data)
        links = {"next": self.get_next_link(), "previous": self.get_previous_link()}
        return Response({"count": None, **links, "results": data})

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        cursor = {
            "name": self.cursor_query_param,
            "required": False,
            "in": "query",
            "description": self.cursor_query_description,
            "schema": {"type": "string"},
        }
        return [*super().get_schema_operation_parameters(view), cursor]

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        paginated = super().get_paginated_response_schema(schema)
        paginated["properties"]["count"] |= {"nullable": True, "description": "Null with `cursor`."}
        return paginated
