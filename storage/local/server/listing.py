"""Handlers that list objects: by folder and offset (v1), by prefix and cursor (v2).

Source: the real server's answers, and its SQL functions. `storage.search` (v1) compares names
case-insensitively and returns at most 1500 results; folders are sorted among the objects by name, but before
them by time. `storage.search_v2` (v2) compares names by their bytes and returns at most 1000 results.
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
from storage.local.server.auth import has_service_key
from storage.local.server.errors import ProtocolError
from storage.local.server.params import REQUIRED, Params, json_body
from storage.local.server.representations import FOLDER_VALUES, metadata_json, times_json, timestamp

V1_DEFAULT_LIMIT, V1_MAX_LIMIT = 100, 1500
V2_MAX_LIMIT = 1000
#: Columns and the attributes of StoredObject. The time of the last read is not recorded here.
TIME_COLUMNS = {
    "updated_at": "last_modified",
    "created_at": "created_at",
    "last_accessed_at": "last_modified",
}
V2_COLUMNS = ("name", "updated_at", "created_at")


@dataclass(frozen=True, slots=True)
class Order:
    column: str
    descending: bool


def list_v1(request: HttpRequest, bucket: str) -> JsonResponse:
    objects, body = _parse(request, bucket)
    prefix, search = body.text("prefix"), body.text("search", "")
    if prefix and not prefix.endswith("/"):
        prefix += "/"
    limit = min(body.integer("limit", minimum=1, default=V1_DEFAULT_LIMIT), V1_MAX_LIMIT)
    offset = body.integer("offset", minimum=0, default=0)
    order = _order(body, ("name", *TIME_COLUMNS))
    if objects is None:
        return JsonResponse([], safe=False)
    found = _sorted(objects, _matching(objects, prefix + search), order)
    results = (_v1_json(objects, entry) for entry in found[offset : offset + limit])
    return JsonResponse([result for result in results if result], safe=False)


def list_v2(request: HttpRequest, bucket: str) -> JsonResponse:
    objects, body = _parse(request, bucket)
    prefix, with_delimiter = body.text("prefix", ""), body.boolean("with_delimiter")
    limit = min(body.integer("limit", minimum=1, default=V2_MAX_LIMIT), V2_MAX_LIMIT)
    order = _order(body, V2_COLUMNS)
    cursor = _read_cursor(body.text("cursor")) if body.values.get("cursor") else {}
    order = Order(
        cursor.get("c", order.column), cursor.get("o", "desc" if order.descending else "asc") == "desc"
    )
    if objects is None:
        return JsonResponse({"hasNext": False, "folders": [], "objects": []})
    found = list(islice(_entries_after(objects, prefix, with_delimiter, order, cursor), limit + 1))
    page, more = found[:limit], len(found) > limit
    results = [result for entry in page if (result := _v2_json(objects, entry, with_delimiter))]
    answer: dict[str, Any] = {
        "hasNext": more,
        "folders": [result for result in results if result["id"] is None],
        "objects": [result for result in results if result["id"] is not None],
    }
    if more:
        answer |= {"nextCursor": _write_cursor(objects, page[-1], order), "nextCursorKey": page[-1].key}
    return JsonResponse(answer)


def _parse(request: HttpRequest, bucket: str) -> tuple[LocalObjects | None, Params]:
    """Return the objects and the body. The objects are None if the bucket is missing or may not be listed.

    Both cases are answered with an empty list.
    """
    body = json_body(request)
    is_allowed = has_service_key(request)
    try:
        return (buckets.get(bucket).objects if is_allowed else None), body
    except BucketMissing:
        return None, body


def _order(body: Params, columns: tuple[str, ...]) -> Order:
    sort_by = body.nested("sortBy")
    column = sort_by.choice("column", columns, REQUIRED if "sortBy" in body else "name")
    return Order(column, sort_by.choice("order", ("asc", "desc"), "asc") == "desc")


# --- Entries -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """An object or a folder. The key of a folder ends in a slash."""

    key: str
    is_folder: bool = False

    @property
    def name(self) -> str:
        """The last segment of the key, without a slash."""
        return self.key[: -1 if self.is_folder else None].rpartition("/")[2]


def _children(objects: LocalObjects, folder: str) -> Iterator[Entry]:
    folders, names = objects.children(folder)
    yield from (Entry(f"{folder}{name}/", is_folder=True) for name in folders)
    yield from (Entry(f"{folder}{name}") for name in names)


def _matching(objects: LocalObjects, prefix: str) -> list[Entry]:
    """Return the entries whose keys start with the prefix, compared case-insensitively.

    Of folders whose keys differ only in case, only the first is returned.
    """
    *path, beginning = prefix.lower().split("/")
    folders = [""]
    for segment in path:
        folders = [
            f"{folder}{name}/"
            for folder in folders
            for name in objects.children(folder)[0]
            if name.lower() == segment
        ]
    found: dict[str, Entry] = {}
    for entry in (entry for folder in folders for entry in _children(objects, folder)):
        if entry.name.lower().startswith(beginning):
            found.setdefault(entry.key.lower() if entry.is_folder else entry.key, entry)
    return list(found.values())


def _sorted(objects: LocalObjects, entries: list[Entry], order: Order) -> list[Entry]:
    if order.column == "name":
        return sorted(entries, key=lambda entry: entry.key.lower(), reverse=order.descending)
    folders = [entry for entry in entries if entry.is_folder]
    rest = [entry for entry in entries if not entry.is_folder]
    by_name = sorted(folders, key=lambda entry: entry.key.lower(), reverse=order.descending)
    return by_name + sorted(
        rest, key=lambda entry: _time(objects, entry, order.column), reverse=order.descending
    )


def _time(objects: LocalObjects, entry: Entry, column: str) -> datetime:
    """Return the time in this column, EPOCH for a folder or a deleted object."""
    if entry.is_folder:
        return EPOCH
    try:
        return getattr(objects.describe(entry.key), TIME_COLUMNS[column])
    except ObjectMissing:  # deleted after it was listed
        return EPOCH


def _sort_key(objects: LocalObjects, entry: Entry, order: Order) -> tuple[str, str]:
    """Return what v2 sorts by: the time, "" if it sorts by name, and the key."""
    time = "" if order.column == "name" else timestamp(_time(objects, entry, order.column))
    return time, entry.key


def _entries_after(
    objects: LocalObjects, prefix: str, with_delimiter: bool, order: Order, cursor: dict[str, str]
) -> Iterable[Entry]:
    """Return the sorted entries after the cursor. In ascending order by name, they are found lazily."""
    sort_key = partial(_sort_key, objects, order=order)
    entries: Iterable[Entry] = (Entry(key) for key in objects.walk(prefix))
    if with_delimiter:
        folder = prefix[: prefix.rfind("/") + 1]
        entries = sorted((e for e in _children(objects, folder) if e.key.startswith(prefix)), key=sort_key)
    if order.column != "name" or order.descending:
        entries = sorted(entries, key=sort_key, reverse=order.descending)
    if not cursor:
        return entries
    start = (cursor.get("a", ""), cursor["l"])
    return (entry for entry in entries if _is_after(sort_key(entry), start, order.descending))


def _is_after(key: tuple[str, str], start: tuple[str, str], descending: bool) -> bool:
    return key < start if descending else key > start


# --- Cursors: `l` last key, `o` sort order, `c` sort column, `a` time of the last key ----------------


def _write_cursor(objects: LocalObjects, last: Entry, order: Order) -> str:
    parts = {"l": last.key}
    if order.descending:
        parts["o"] = "desc"
    if order.column != "name":
        parts |= {"c": order.column, "a": timestamp(_time(objects, last, order.column))}
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


# --- JSON --------------------------------------------------------------------------------------------


def _v1_json(objects: LocalObjects, entry: Entry) -> dict[str, Any] | None:
    """Return None for an object that was deleted after it was listed."""
    if entry.is_folder:
        return {"name": entry.name, **FOLDER_VALUES}
    try:
        info = objects.describe(entry.key)
    except ObjectMissing:
        return None
    return {"name": entry.name, "id": info.id, **times_json(info), "metadata": metadata_json(info)}


def _v2_json(objects: LocalObjects, entry: Entry, with_delimiter: bool) -> dict[str, Any] | None:
    result = _v1_json(objects, entry)
    return result and {**result, **({"key": entry.name} if with_delimiter else {}), "name": entry.key}
