"""Find the files that the database names: every file field of every model of every installed app."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.files.storage import storages
from django.db import connections, models, router

from storage import keys
from storage.base import SignedStorage
from storage.buckets import Bucket
from storage.control_characters import printable
from storage.fields import UploadField
from storage.supabase import SupabaseStorage

PAGE_SIZE = 1000  # rows per query


class NoSuchField(Exception):
    """`--model` or MIGRATE_BUCKETS names no file field, or several; the message lists the candidates."""


@dataclass(frozen=True, slots=True)
class Column:
    """A file field of a model, and the bucket that its files are sent to."""

    field: models.FileField
    bucket: str

    @property
    def label(self) -> str:
        return ".".join(self.names)

    @property
    def names(self) -> tuple[str, str]:
        """Return the labels of the model and of the field."""
        return self.field.model._meta.label, self.field.name

    @property
    def max_length(self) -> int | None:
        return self.field.max_length

    def has_exclusive(self, key: str) -> bool:
        """Return True if nobody else writes an object with this key, because an UploadField made it."""
        return isinstance(self.field, UploadField) and keys.is_generated(key)

    def store(self, bucket: Bucket) -> SupabaseStorage:
        """Return the store of the files after the switch: with its options in STORAGES if it is there."""
        for store in (self.field.storage, storages["default"]):
            if isinstance(store, SignedStorage) and (store.bucket, store.public) == (
                bucket.name,
                bucket.public,
            ):
                return SupabaseStorage(
                    bucket.name, bucket.public, cache_control=store.cache_control, base_url=store.cdn_url
                )
        return SupabaseStorage(bucket.name, bucket.public)

    def rows(self) -> "models.QuerySet[Any]":
        """Return all rows, without using a manager: a manager may hide rows whose files must be sent too."""
        return models.QuerySet(self.field.model)

    def count(self) -> int:
        return self._rows_with_file().count()

    def references_to(self, name: str) -> Iterator["Reference"]:
        """Yield a reference for each row that names this file."""
        rows = self.rows().filter(**{self.field.attname: name})
        yield from (Reference(self, pk, name) for pk, name in rows.values_list("pk", self.field.attname))

    def references(self) -> Iterator["Reference"]:
        """Yield a reference for each row with a file, by primary key.

        One page at a time (keyset pagination): rows may be added or deleted meanwhile.
        """
        name, rows = self.field.attname, self._rows_with_file().order_by("pk")
        last: Any = None
        while True:
            page = rows if last is None else rows.filter(pk__gt=last)
            found = list(page.values_list("pk", name)[:PAGE_SIZE])
            yield from (Reference(self, pk, file) for pk, file in found)
            if len(found) < PAGE_SIZE:
                return
            last = found[-1][0]

    def _rows_with_file(self) -> "models.QuerySet[Any]":
        name = self.field.attname
        return self.rows().exclude(**{name: ""}).exclude(**{name: None})


@dataclass(frozen=True, slots=True)
class Reference:
    """A row, and the name of its file."""

    column: Column
    pk: Any
    name: str

    @property
    def pk_texts(self) -> tuple[str, ...]:
        """Return the primary key as texts, one for each of its columns."""
        return pk_texts(self.pk)

    def __str__(self) -> str:
        return printable(f"{self.column.label} {' '.join(self.pk_texts)}")

    def is_current(self) -> bool:
        """Return True if the row exists and names this file."""
        return self._rows_naming(self.name).exists()

    def update_name(self, name: str, *, expected: str) -> bool:
        """Set this column only, if it still has the expected name; return True if the row was changed."""
        return bool(self._rows_naming(expected).update(**{self.column.field.attname: name}))

    def _rows_naming(self, name: str) -> "models.QuerySet[Any]":
        return self.column.rows().filter(pk=self.pk, **{self.column.field.attname: name})


def pk_texts(pk: Any) -> tuple[str, ...]:
    """Return a primary key as texts, one for each of its columns."""
    return tuple(_text(part) for part in (pk if isinstance(pk, tuple) else (pk,)))


def _text(part: Any) -> str:
    """Return a text that the field's `to_python` converts back to the same value."""
    return b64encode(part).decode() if isinstance(part, bytes | memoryview) else str(part)


def columns(only: Sequence[str] = ()) -> list[Column]:
    """Return all file columns, or those of the named models and fields. Raises NoSuchField."""
    fields = [
        field
        for model in apps.get_models()
        if not model._meta.proxy and (model._meta.managed or has_table(model))
        for field in model._meta.local_fields
        if isinstance(field, models.FileField)
    ]
    configured = _configured_buckets(fields)
    found = [Column(field, configured.get(_label(field)) or bucket_of(field)) for field in fields]
    selected = [column for name in only for column in _matching(name, found)]
    return list(dict.fromkeys(selected)) if only else found


def has_table(model: type[models.Model]) -> bool:
    """Return True if the table exists: the table of an unmanaged model may be in another database."""
    connection = connections[router.db_for_read(model)]
    return model._meta.db_table in connection.introspection.table_names(include_views=True)


def bucket_of(field: models.FileField) -> str:
    """Return the bucket of the field's storage, else that of the default storage."""
    for store in (field.storage, storages["default"]):
        if isinstance(store, SignedStorage):
            return store.bucket
    return settings.SUPABASE_STORAGE_BUCKET


def _configured_buckets(fields: Sequence[models.FileField]) -> dict[str, str]:
    """Return MIGRATE_BUCKETS, with its names in lower case. Raises NoSuchField."""
    buckets = settings.MIGRATE_BUCKETS
    if not isinstance(buckets, dict):
        raise NoSuchField('MIGRATE_BUCKETS is not a dict such as {"app.Model.field": "bucket"}.')
    configured = {name.strip().lower(): bucket.strip() for name, bucket in buckets.items()}
    known = {_label(field): f"{field.model._meta.label}.{field.name}" for field in fields}
    for name in configured.keys() - known.keys():
        candidates = ", ".join(sorted(known.values()))
        raise NoSuchField(
            f"MIGRATE_BUCKETS names {name!r}, which is not a file field: choose from {candidates}."
        )
    return configured


def _label(field: models.FileField) -> str:
    return f"{field.model._meta.label_lower}.{field.name.lower()}"


def _matching(name: str, known: list[Column]) -> list[Column]:
    """Return the columns that `Document`, `api.Document` or `api.Document.file` names, in any case."""
    by_field = [column for column in known if column.label.lower() == name.lower()]
    by_label = [column for column in known if column.field.model._meta.label_lower == name.lower()]
    by_model = [column for column in known if column.field.model.__name__.lower() == name.lower()]
    if by_field or by_label:
        return by_field or by_label
    if len({column.field.model for column in by_model}) == 1:
        return by_model
    candidates = sorted({column.field.model._meta.label for column in by_model or known})
    problem = "matches several models" if by_model else "is not a model with files"
    raise NoSuchField(f"{name!r} {problem}: choose from {', '.join(candidates) or 'none'}.")
