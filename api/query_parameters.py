"""Refuses query parameters that a request does not take: a misspelt filter would silently give everything."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

MAX_ERRORS = 10  # a query may have a thousand parameters


class RefusedParameters(ValidationError):
    """The detail of its problem is that of the first error, because nobody expects a query to be refused."""

    def __init__(self, errors: dict[str, Any]) -> None:
        super().__init__(errors)
        self.summary = next(iter(errors.values()))[0]


class KnownParametersMixin:
    """A mixin for views: 400 for unknown and for repeated query parameters.

    A list takes those of its pagination and filters. Any other action takes those that it declares:
    `@action(…, query_parameters=["download"])`.
    """

    query_parameters: Sequence[str] = ()

    def initial(self, request: Request, *args: Any, **options: Any) -> None:
        super().initial(request, *args, **options)  # type: ignore[misc]
        if not hasattr(self, str(request.method).lower()):
            return  # 405 follows
        known = list(self.known_parameters())
        if errors := dict(islice(_errors(request, known), MAX_ERRORS)):
            raise RefusedParameters(errors)

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Filter lists. Other actions take no parameters of filters."""
        is_list = getattr(self, "action", None) == "list"
        return super().filter_queryset(queryset) if is_list else queryset  # type: ignore[misc]

    def known_parameters(self) -> Iterator[str]:
        yield from self.query_parameters
        view: Any = self
        if getattr(view, "action", None) != "list":
            return
        for source in (view.paginator, *(backend() for backend in view.filter_backends)):
            if hasattr(source, "get_filterset_class"):
                filterset = source.get_filterset_class(view, view.queryset)
                yield from filterset.base_filters if filterset else ()
            else:
                yield from (parameter["name"] for parameter in source.get_schema_operation_parameters(view))


def _errors(request: Request, known: list[str]) -> Iterator[tuple[str, Any]]:
    for name, values in request.query_params.lists():
        if name not in known:
            yield name[:100], ValidationError(_unknown(name, known), "unknown").detail
        elif len(values) > 1:
            message = gettext("Send the parameter %(name)s once.") % {"name": name}
            yield name, ValidationError(message, "repeated").detail


def _unknown(name: str, known: list[str]) -> str:
    shown = repr(name[:50])
    if not known:
        return gettext("Unknown parameter %(name)s: this request takes none.") % {"name": shown}
    message = gettext("Unknown parameter %(name)s: choose from %(known)s.")
    return message % {"name": shown, "known": ", ".join(known)}
