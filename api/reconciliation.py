"""Compares the files that rows name with the objects in storage, and deletes objects that nothing names.

Rows and objects are read in pages, both ordered by the bytes of the key, and merged, so memory stays flat. A
difference is reported only after both sides were asked for this key again: rows and objects change meanwhile,
and a server may order keys in another way.
"""

import heapq
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from io import SEEK_END
from itertools import groupby
from types import TracebackType
from typing import Any, BinaryIO, Self

from django.db import connections, models, router
from django.db.models import F, Q
from django.db.models.functions import Cast, Collate
from django.utils import timezone

from api.uploads.models import Removal, Upload
from storage import keys
from storage.base import ObjectInfo, SignedStorage, incoming_store
from storage.control_characters import printable
from storage.errors import ObjectMissing
from storage.fields import UploadField, upload_fields
from storage.transfer.references import Column, columns

GRACE = timedelta(hours=1)  # an object is written before the row that names it
PAGE_SIZE = 1000  # rows per query
BYTE_ORDER = {"sqlite": "BINARY", "postgresql": "C"}  # the collations that compare bytes, as storage does


class Status(StrEnum):
    """`MISSING`: a row names an object that does not exist. `ORPHAN`: nothing names this object.

    `SIZE`, `CONTENT_TYPE`: the row records another value than the object has. `PENDING_REMOVAL`: nothing
    names this object, and it is about to be deleted.
    """

    MISSING = "missing"
    ORPHAN = "orphan"
    SIZE = "size"
    CONTENT_TYPE = "content_type"
    PENDING_REMOVAL = "pending_removal"


@dataclass(frozen=True, slots=True)
class Row:
    """A row with a file, and what it records of it: None if it records nothing."""

    field: UploadField
    pk: Any
    key: str
    size: int | None
    content_type: str | None

    def __str__(self) -> str:
        return f"{self.field.model._meta.label}.{self.field.name} {self.pk}"

    def read_again(self) -> Self | None:
        """Return the row as it is now, None if it was deleted or names another file."""
        rows = _values(self.field).filter(pk=self.pk, **{self.field.attname: self.key})
        return next((type(self)(self.field, *_parse(self.field, values)) for values in rows), None)


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference. `row` is None for an object that nothing names, `info` for a missing object."""

    status: Status
    store: SignedStorage
    key: str
    row: Row | None
    info: ObjectInfo | None

    def __str__(self) -> str:
        return printable(f"{self.status} {self.store.bucket}/{self.key}{self._detail}")

    @property
    def _detail(self) -> str:
        detail = f" of {self.row}" if self.row else ""
        if self.row and self.info and self.status in (Status.SIZE, Status.CONTENT_TYPE):
            name = str(self.status)
            detail += f": {getattr(self.row, name)} is recorded, the object has {getattr(self.info, name)}"
        return detail

    def as_json(self) -> dict[str, Any]:
        """Return the finding with all facts of the object, which are null if it is missing."""
        return {
            "status": self.status,
            "bucket": self.store.bucket,
            "key": self.key,
            "row": str(self.row) if self.row else None,
            "recorded_size": self.row.size if self.row else None,
            "recorded_content_type": self.row.content_type if self.row else None,
            "size": self.info.size if self.info else None,
            "content_type": self.info.content_type if self.info else None,
            "cache_control": self.info.cache_control if self.info else None,
            "etag": self.info.etag if self.info else None,
            "created_at": self.info.created_at.isoformat() if self.info else None,
            "last_modified": self.info.last_modified.isoformat() if self.info else None,
        }


def stores() -> dict[str, SignedStorage]:
    """Return the stores of all UploadFields and of uploads, by bucket.

    Other buckets are left alone: nothing here knows who names their objects.
    """
    used = [field.storage for field in upload_fields()] + [incoming_store()]
    return {store.bucket: store for store in sorted(used, key=lambda store: store.bucket)}


def reconcile(chosen: Iterable[SignedStorage]) -> Iterator[Finding]:
    """Yield every difference between rows and objects in these buckets. Raises StorageUnavailable."""
    for store in chosen:
        store.check_ready()
        fields = dict.fromkeys(field for field in upload_fields() if field.storage.bucket == store.bucket)
        rows: list[Iterator[Row | ObjectInfo]] = [_rows(field) for field in fields]
        entries = heapq.merge(*rows, store.walk(), key=_key_of)
        for _, group in groupby(entries, key=_key_of):
            yield from _compare(store, list(group))


def delete_orphan(finding: Finding, report: "Report") -> bool:
    """Write the orphan to the report, then delete it. Returns False if something names it by now."""
    try:
        is_unchanged = finding.store.describe(finding.key) == finding.info
    except (ObjectMissing, keys.InvalidKey):  # the store has keys that others made, and that it cannot delete
        return False
    if not is_unchanged or is_named(finding.store.bucket, finding.key):
        return False
    report.add({**finding.as_json(), "deleted_at": timezone.now().isoformat()}, sync=True)
    finding.store.delete_if_exists(finding.key)
    return True


def is_named(bucket: str, key: str) -> bool:
    """Return True if a row of any app names this object, or a ticket that can still be completed."""
    return _is_named_by_row(bucket, key) or _is_named_by_ticket(bucket, key)


def is_pending_removal(bucket: str, key: str) -> bool:
    """Return True if the deletion of this object is recorded, and not done yet."""
    return Removal.objects.filter(bucket=bucket, key=key).exists()


# --- Comparing ----------------------------------------------------------------------------------------


def _key_of(entry: Row | ObjectInfo) -> str:
    return entry.key


def _compare(store: SignedStorage, entries: list[Row | ObjectInfo]) -> Iterator[Finding]:
    """Compare the rows and the object of one key."""
    info = next((entry for entry in entries if isinstance(entry, ObjectInfo)), None)
    rows = [entry for entry in entries if isinstance(entry, Row)]
    for row in rows:
        if info is None or _differences(row, info):
            yield from _confirmed(store, row)
    if info and not rows and _is_old(info):
        yield from _confirmed_orphan(store, info)


def _confirmed(store: SignedStorage, row: Row) -> Iterator[Finding]:
    try:
        info = store.describe(row.key)
    except (ObjectMissing, keys.InvalidKey):
        info = None
    now = row.read_again()
    if now:
        statuses = _differences(now, info) if info else [Status.MISSING]
        yield from (Finding(status, store, now.key, now, info) for status in statuses)


def _confirmed_orphan(store: SignedStorage, info: ObjectInfo) -> Iterator[Finding]:
    try:
        info = store.describe(info.key)
    except ObjectMissing:
        return
    except keys.InvalidKey:  # the store has keys that others made
        pass
    if not is_named(store.bucket, info.key):
        pending = is_pending_removal(store.bucket, info.key)
        yield Finding(
            Status.PENDING_REMOVAL if pending else Status.ORPHAN, store, info.key, row=None, info=info
        )


def _differences(row: Row, info: ObjectInfo) -> list[Status]:
    return [
        status
        for status, recorded, actual in (
            (Status.SIZE, row.size, info.size),
            (Status.CONTENT_TYPE, row.content_type, info.content_type),
        )
        if recorded is not None and recorded != actual
    ]


def _is_old(info: ObjectInfo) -> bool:
    return timezone.now() - max(info.created_at, info.last_modified) >= GRACE


# --- Rows ---------------------------------------------------------------------------------------------


def _rows(field: UploadField) -> Iterator[Row]:
    """Yield the rows with a file, ordered by the bytes of the key.

    One page at a time (keyset pagination): rows may be added or deleted meanwhile.
    """
    collation = BYTE_ORDER[connections[router.db_for_read(field.model)].vendor]
    rows = _values(field).annotate(ordered_key=Collate(F(field.attname), collation))
    after = Q(ordered_key__gt="")
    while True:
        page = [
            Row(field, *_parse(field, row))
            for row in rows.filter(after).order_by("ordered_key", "pk")[:PAGE_SIZE]
        ]
        yield from page
        if len(page) < PAGE_SIZE:
            return
        last = page[-1]
        after = Q(ordered_key__gt=last.key) | Q(ordered_key=last.key, pk__gt=last.pk)


def _values(field: UploadField) -> "models.QuerySet[Any, dict[str, Any]]":
    """Return the rows without using a manager, which may hide some."""
    return models.QuerySet(field.model).values("pk", field.attname, *field.facts_fields)


def _parse(field: UploadField, values: dict[str, Any]) -> tuple[Any, str, int | None, str | None]:
    """Return primary key, key, size and content type. Older rows have the last two only among the facts."""
    facts = values.get(field.facts_field) or {}
    return (
        values["pk"],
        values[field.attname],
        values.get(field.size_field) or facts.get("size"),
        values.get(field.content_type_field) or facts.get("content_type"),
    )


def _is_named_by_row(bucket: str, key: str) -> bool:
    return any(
        column.rows().filter(**{column.field.attname: key}).exists()
        for column in columns()
        if bucket in _buckets(column)
    )


def _buckets(column: Column) -> set[str]:
    """Return the buckets where the files of the column may be: that of its storage, or of MIGRATE_BUCKETS."""
    store = column.field.storage
    return {column.bucket, *([store.bucket] if isinstance(store, SignedStorage) else [])}


def _is_named_by_ticket(bucket: str, key: str) -> bool:
    """Return True for a key where the object of an unsettled ticket may be."""
    tickets = Upload.objects.unsettled()
    if bucket == incoming_store().bucket:
        return tickets.filter(Q(path=key) | Q(held_key=key)).exists()
    chosen = tickets.annotate(earlier=Cast("earlier_keys", models.TextField()))
    return chosen.filter(Q(final_key=key) | Q(earlier__contains=json.dumps(key))).exists()


# --- The report ---------------------------------------------------------------------------------------


class Report:
    """A file with a JSON array, which is complete after each entry.

    Raises FileExistsError: it never overwrites a report, which may be the only record of deleted objects.
    """

    START, SEPARATOR, END = b"[", b",", b"\n]\n"

    def __init__(self, path: str) -> None:
        self.file: BinaryIO = open(path, "xb")  # noqa: SIM115  (closed by `__exit__`)
        self.is_empty = True
        self._write(self.START + self.END)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        self.file.close()

    def add(self, entry: dict[str, Any], *, sync: bool = False) -> None:
        """Append the entry. With `sync` it is on the disk when this returns."""
        self.file.seek(-len(self.END), SEEK_END)
        separator = b"" if self.is_empty else self.SEPARATOR
        self._write(separator + b"\n" + json.dumps(entry).encode() + self.END)
        self.is_empty = False
        if sync:
            os.fsync(self.file.fileno())

    def _write(self, content: bytes) -> None:
        self.file.write(content)
        self.file.flush()
