"""Lists of objects: by folder and page (v1), by prefix and cursor (v2).

Source: the real server's answers, and its SQL functions `storage.search` (v1: names are compared without
their case; folders stand between the objects when they are sorted by name, before them when by time; at
most 1500) and `storage.search_v2` (v2: names are compared by their bytes; at most 1000).
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any

from django.http import HttpRequest, JsonResponse

from storage.errors import ObjectMissing
from storage.local import buckets
from storage.local.buckets import EPOCH, BucketMissing
from storage.local.objects import LocalObjects
from storage.local.server.auth import is_service
from storage.local.server.errors import ProtocolError
from storage.local.server.params import REQUIRED, Fields, body_of
from storage.local.server.representations import NO_ROW, metadata, moment, times

PAGE_V1, MOST_V1 = 100, 1500
MOST_V2 = 1000
#: Columns and what they are here: nobody keeps when an object was last read.
TIMES = {"updated_at": "last_modified", "created_at": "created_at", "last_accessed_at": "last_modified"}
V2_COLUMNS = ("name", "updated_at", "created_at")


@dataclass(frozen=True, slots=True)
class Order:
    column: str
    backwards: bool


def by_folder(request: HttpRequest, bucket: str) -> JsonResponse:
    objects, body = _asked(request, bucket)
    prefix, search = body.text("prefix"), body.text("search", "")
    if prefix and not prefix.endswith("/"):
        prefix += "/"
    limit = min(body.integer("limit", minimum=1, default=PAGE_V1), MOST_V1)
    offset = body.integer("offset", minimum=0, default=0)
    order = _order(body, ("name", *TIMES))
    if objects is None:
        return JsonResponse([], safe=False)
    found = _sorted(objects, _like(objects, prefix + search), order)
    rows = (_v1_row(objects, entry) for entry in found[offset : offset + limit])
    return JsonResponse([row for row in rows if row], safe=False)


def by_cursor(request: HttpRequest, bucket: str) -> JsonResponse:
    objects, body = _asked(request, bucket)
    prefix, folded = body.text("prefix", ""), body.flag("with_delimiter")
    limit = min(body.integer("limit", minimum=1, default=MOST_V2), MOST_V2)
    order = _order(body, V2_COLUMNS)
    cursor = _read_cursor(body.text("cursor")) if body.sent.get("cursor") else {}
    order = Order(
        cursor.get("c", order.column), cursor.get("o", "desc" if order.backwards else "asc") == "desc"
    )
    if objects is None:
        return JsonResponse({"hasNext": False, "folders": [], "objects": []})
    found = list(islice(_after(objects, prefix, folded, order, cursor), limit + 1))
    page, more = found[:limit], len(found) > limit
    rows = [row for entry in page if (row := _v2_row(objects, entry, folded))]
    answer: dict[str, Any] = {
        "hasNext": more,
        "folders": [row for row in rows if row["id"] is None],
        "objects": [row for row in rows if row["id"] is not None],
    }
    if more:
        answer |= {"nextCursor": _write_cursor(objects, page[-1], order), "nextCursorKey": page[-1].key}
    return JsonResponse(answer)


def _asked(request: HttpRequest, bucket: str) -> tuple[LocalObjects | None, Fields]:
    """None for a bucket that is not there, or that the caller may not list: both look empty."""
    body = body_of(request)
    may = is_service(request)
    try:
        return (buckets.find(bucket).objects if may else None), body
    except BucketMissing:
        return None, body


def _order(body: Fields, columns: tuple[str, ...]) -> Order:
    asked = body.inner("sortBy")
    column = asked.choice("column", columns, REQUIRED if "sortBy" in body else "name")
    return Order(column, asked.choice("order", ("asc", "desc"), "asc") == "desc")


# --- Entries -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """An object, or a folder, whose key then ends in a slash."""

    key: str
    is_folder: bool = False

    @property
    def name(self) -> str:
        """Without the folders that it is in."""
        return self.key[: -1 if self.is_folder else None].rpartition("/")[2]


def _children(objects: LocalObjects, inside: str) -> Iterator[Entry]:
    folders, names = objects.children(inside)
    yield from (Entry(f"{inside}{name}/", is_folder=True) for name in folders)
    yield from (Entry(f"{inside}{name}") for name in names)


def _like(objects: LocalObjects, prefix: str) -> list[Entry]:
    """What begins so, whatever its case: of each folder, the first of those that differ by case alone."""
    *path, beginning = prefix.lower().split("/")
    inside = [""]
    for segment in path:
        inside = [
            f"{each}{name}/"
            for each in inside
            for name in objects.children(each)[0]
            if name.lower() == segment
        ]
    found: dict[str, Entry] = {}
    for entry in (entry for each in inside for entry in _children(objects, each)):
        if entry.name.lower().startswith(beginning):
            found.setdefault(entry.key.lower() if entry.is_folder else entry.key, entry)
    return list(found.values())


def _sorted(objects: LocalObjects, entries: list[Entry], order: Order) -> list[Entry]:
    if order.column == "name":
        return sorted(entries, key=lambda entry: entry.key.lower(), reverse=order.backwards)
    folders = [entry for entry in entries if entry.is_folder]
    rest = [entry for entry in entries if not entry.is_folder]
    by_name = sorted(folders, key=lambda entry: entry.key.lower(), reverse=order.backwards)
    return by_name + sorted(
        rest, key=lambda entry: _time(objects, entry, order.column), reverse=order.backwards
    )


def _time(objects: LocalObjects, entry: Entry, column: str) -> datetime:
    if entry.is_folder:
        return EPOCH
    try:
        return getattr(objects.describe(entry.key), TIMES[column])
    except ObjectMissing:  # deleted since it was found
        return EPOCH


def _place(objects: LocalObjects, entry: Entry, order: Order) -> tuple[str, str]:
    """What v2 sorts by: the time if asked, then the key."""
    time = "" if order.column == "name" else moment(_time(objects, entry, order.column))
    return time, entry.key


def _after(
    objects: LocalObjects, prefix: str, folded: bool, order: Order, cursor: dict[str, str]
) -> Iterable[Entry]:
    """What comes behind the cursor, in order; by name it is found while it is asked for."""
    place = partial(_place, objects, order=order)
    entries: Iterable[Entry] = (Entry(key) for key in objects.walk(prefix))
    if folded:
        inside = prefix[: prefix.rfind("/") + 1]
        entries = sorted((e for e in _children(objects, inside) if e.key.startswith(prefix)), key=place)
    if order.column != "name" or order.backwards:
        entries = sorted(entries, key=place, reverse=order.backwards)
    if not cursor:
        return entries
    start = (cursor.get("a", ""), cursor["l"])
    return (entry for entry in entries if _is_behind(place(entry), start, order.backwards))


def _is_behind(place: tuple[str, str], start: tuple[str, str], backwards: bool) -> bool:
    return place < start if backwards else place > start


# --- Cursors: `l` the last key, `o` and `c` how it was sorted, `a` the time of the last --------------


def _write_cursor(objects: LocalObjects, last: Entry, order: Order) -> str:
    parts = {"l": last.key}
    if order.backwards:
        parts["o"] = "desc"
    if order.column != "name":
        parts |= {"c": order.column, "a": moment(_time(objects, last, order.column))}
    return b64encode("\n".join(f"{name}:{value}" for name, value in parts.items()).encode()).decode()


def _read_cursor(cursor: str) -> dict[str, str]:
    try:
        lines = b64decode(cursor + "==").decode().split("\n")
        parts = dict(line.split(":", 1) for line in lines)
    except ValueError:
        parts = {}
    if "l" not in parts or parts.get("c", "name") not in V2_COLUMNS:
        raise ProtocolError("InvalidParameter", "Invalid Parameter continuation token")
    return parts


# --- Rows --------------------------------------------------------------------------------------------


def _v1_row(objects: LocalObjects, entry: Entry) -> dict[str, Any] | None:
    """None for what was deleted since it was found."""
    if entry.is_folder:
        return {"name": entry.name, **NO_ROW}
    try:
        info = objects.describe(entry.key)
    except ObjectMissing:
        return None
    return {"name": entry.name, "id": info.id, **times(info), "metadata": metadata(info)}


def _v2_row(objects: LocalObjects, entry: Entry, folded: bool) -> dict[str, Any] | None:
    row = _v1_row(objects, entry)
    return row and {**row, **({"key": entry.name} if folded else {}), "name": entry.key}
