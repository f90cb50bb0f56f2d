"""Finds all lists of the API, and what they can be asked for. Read by `bench/sizes.py`.

The filters, orderings and searches are those of the views, so that new ones are found by themselves.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import django_filters
from django.db.models import Count, Model, QuerySet
from django.urls import reverse
from rest_framework.filters import SearchFilter
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from api.cursors import Cursor, order_by
from api.filters import StrictOrderingFilter, TextFilter, TimeFilter
from api.private_files.filters import OwnerFilter
from api.search import searched_fields
from api.uploads.filters import ResourceFilter
from api.urls import router

#: Parameters of pages, which are asked for by themselves.
PAGES = {"page", "page_size", "cursor", "ordering", "search"}
FEW = 20  # rows that a client has not seen yet
ABSENT, SHORT = "xylophone", "qx"  # in no row


@dataclass(frozen=True, slots=True)
class ListRequest:
    """`kind` is a row of the table, `name` tells apart the requests of this kind to the same list."""

    list: str
    kind: str
    name: str
    path: str


def list_requests() -> Iterator[ListRequest]:
    """Yield the requests for all lists, with values of the database that is used now."""
    for prefix, viewset, basename in router.registry:
        if not hasattr(viewset, "list"):
            continue
        view = viewset()
        view.action, view.action_map = "list", {"get": "list"}
        path, name = _address(prefix, viewset, basename)
        if not path:
            continue
        for kind, which, query in _queries(view):
            yield ListRequest(name, kind, which, f"{path}?{urlencode(query)}")


def _address(prefix: str, viewset: Any, basename: str) -> tuple[str, str]:
    """Return the path of the list and its name. That of a gallery is the largest gallery."""
    if "(" not in prefix:
        return reverse(f"{basename}-list"), prefix
    entries = viewset.entries.objects.annotate(number=Count("pictures"))
    slug = entries.filter(slug__endswith="-1").order_by("-number").values_list("slug", flat=True).first()
    return reverse(f"{basename}-list", args=[slug]), f"{prefix.split('/')[0]}/…/{prefix.split('/')[-1]}"


def _queries(view: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    rows = view.queryset.model._base_manager.all()
    known = set(view.known_parameters())
    yield "list of 25", "", {}
    yield "list of 100", "", {"page_size": 100}
    if "cursor" in known:
        yield "cursor", "first", {"cursor": ""}
        yield from _cursors(view, rows, "")
    yield from _orderings(view, rows, known)
    filters: dict[str, Any] = {}
    for backend in view.filter_backends:
        if filterset := getattr(backend(), "get_filterset_class", lambda *_: None)(view, view.queryset):
            filters |= filterset.base_filters
        if issubclass(backend, SearchFilter) and searched_fields(rows.model):
            yield from (("search", which, {"search": text}) for which, text in _searches(rows).items())
    for name, each in filters.items():
        for which, value in _values(name, each, rows).items():
            yield "filter", f"{name}={which}", {name: value}
            if isinstance(each, TimeFilter):
                query = {name: value, "ordering": each.field_name, "cursor": ""}
                yield "changes since", which, query
    if unknown := known - PAGES - filters.keys():
        sys.exit(f"{view}: what are the parameters {unknown}?")


def _orderings(view: Any, rows: QuerySet[Any], known: set[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    if "ordering" not in known:
        return
    for field in view.ordering_fields:
        for ordering in (field, f"-{field}"):
            yield "ordering", ordering, {"ordering": ordering}
            if "cursor" in known:
                yield from _cursors(view, rows, ordering)


def _cursors(view: Any, rows: QuerySet[Any], ordering: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the cursors in the middle and shortly before the end, in this ordering."""
    query = {"ordering": ordering} if ordering else {}
    request = Request(APIRequestFactory().get("/", query))
    names = StrictOrderingFilter().get_ordering(request, rows, view)
    count = rows.count()
    for which, place in (("middle", count // 2), ("last", max(0, count - 10))):
        row = rows.order_by(*order_by(rows.model, names))[place]
        cursor = Cursor(rows.model, tuple(names)).at(row, backward=False)
        yield "cursor", f"{which} {ordering}".strip(), {**query, "cursor": str(cursor)}


def _searches(rows: QuerySet[Any]) -> dict[str, str]:
    """Return a word of one row, a frequent one, both, one of no row, and two letters of no row."""
    sample = rows.order_by("pk").values_list("search_text", flat=True)
    words = Counter(word for text in sample[:200] for word in set(text.split()) if len(word) > 2)
    frequent = words.most_common(1)[0][0]
    rare = max(sample[rows.count() // 2].split("\n")[1].split(), key=lambda word: (word.isdigit(), word))
    return {
        "one row": rare,
        "frequent": frequent,
        "both": f"{rare} {frequent}",
        "no row": ABSENT,
        "two letters": SHORT,
    }


def _values(name: str, each: django_filters.Filter, rows: QuerySet[Any]) -> dict[str, Any]:
    """Return values of a filter by what they are. Exits for a kind of filter that has none here."""
    middle: Model = rows.order_by("pk")[rows.count() // 2]
    match each:
        case TimeFilter():
            times = rows.order_by(f"-{each.field_name}").values_list(each.field_name, flat=True)
            places = {"few": min(FEW, rows.count() - 1), "half": rows.count() // 2}
            return {which: times[place].isoformat() for which, place in places.items()}
        case django_filters.DateFilter():
            return {"today": datetime.now(UTC).date().isoformat()}
        case OwnerFilter():
            return {"me": "me", "another": getattr(middle, str(each.field_name))}
        case ResourceFilter():
            resource: Any = middle.resource  # type: ignore[attr-defined]
            return {"one": resource.get_absolute_url()}
        case django_filters.ChoiceFilter() | django_filters.TypedChoiceFilter():
            return {str(value): value for value, _ in each.extra["choices"]}
        case TextFilter():
            found = rows.exclude(**{name: ""}).values_list(name).annotate(n=Count("pk")).order_by("-n", name)
            [*_, (rare, _)] = found
            return {"frequent": found[0][0], "rare": rare, "absent": ABSENT}
    sys.exit(f"{type(each).__name__} {name}: which values shall be asked for?")
