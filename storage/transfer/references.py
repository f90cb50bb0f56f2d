"""Which files the database names: every file field of every model of every installed app."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.files.storage import storages
from django.db import connections, models, router

from storage.base import SignedStorage

PAGE = 1000  # rows in one query


class NoSuchField(Exception):
    """`--model` or MIGRATE_BUCKETS names nothing, or several; the message has the candidates."""


@dataclass(frozen=True, slots=True)
class Column:
    """A file field, and the bucket in which its files shall be."""

    field: models.FileField
    bucket: str

    @property
    def label(self) -> str:
        return ".".join(self.names)

    @property
    def names(self) -> tuple[str, str]:
        """Of its model and field."""
        return self.field.model._meta.label, self.field.name

    @property
    def max_length(self) -> int | None:
        return self.field.max_length

    def rows(self) -> "models.QuerySet[Any]":
        """Of no manager: a manager may hide rows, and their files are files too."""
        return models.QuerySet(self.field.model)

    def count(self) -> int:
        return self._with_file().count()

    def naming(self, name: str) -> Iterator["Reference"]:
        """Rows that name this file."""
        rows = self.rows().filter(**{self.field.attname: name})
        yield from (Reference(self, pk, name) for pk, name in rows.values_list("pk", self.field.attname))

    def references(self) -> Iterator["Reference"]:
        """By primary key, a page at a time: rows may come and go meanwhile."""
        name, rows = self.field.attname, self._with_file().order_by("pk")
        last: Any = None
        while True:
            page = rows if last is None else rows.filter(pk__gt=last)
            found = list(page.values_list("pk", name)[:PAGE])
            yield from (Reference(self, pk, file) for pk, file in found)
            if len(found) < PAGE:
                return
            last = found[-1][0]

    def _with_file(self) -> "models.QuerySet[Any]":
        name = self.field.attname
        return self.rows().exclude(**{name: ""}).exclude(**{name: None})


@dataclass(frozen=True, slots=True)
class Reference:
    """One row that names one file."""

    column: Column
    pk: Any
    name: str

    @property
    def key(self) -> tuple[str, ...]:
        """The primary key in texts, one for each of its columns."""
        return tuple(_text(part) for part in (self.pk if isinstance(self.pk, tuple) else (self.pk,)))

    def __str__(self) -> str:
        return printable(f"{self.column.label} {' '.join(self.key)}")

    def is_current(self) -> bool:
        """Whether the row is there and names this file."""
        return self._if_it_names(self.name).exists()

    def point_to(self, name: str, *, instead_of: str) -> bool:
        """Whether the row was changed: not if it names another file by now. Touches this column alone."""
        return bool(self._if_it_names(instead_of).update(**{self.column.field.attname: name}))

    def _if_it_names(self, name: str) -> "models.QuerySet[Any]":
        return self.column.rows().filter(pk=self.pk, **{self.column.field.attname: name})


def _text(part: Any) -> str:
    """What the field's `to_python` makes the same of again."""
    return b64encode(part).decode() if isinstance(part, bytes | memoryview) else str(part)


def printable(text: str) -> str:
    """On one line, and nothing that a terminal obeys."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def columns(only: Sequence[str] = ()) -> list[Column]:
    """All, or those of the named models and fields. Raises NoSuchField."""
    fields = [
        field
        for model in apps.get_models()
        if not model._meta.proxy and (model._meta.managed or has_table(model))
        for field in model._meta.local_fields
        if isinstance(field, models.FileField)
    ]
    told = _told_buckets(fields)
    found = [Column(field, told.get(_label(field)) or bucket_of(field)) for field in fields]
    wanted = [column for name in only for column in _named(name, found)]
    return list(dict.fromkeys(wanted)) if only else found


def has_table(model: type[models.Model]) -> bool:
    """Whether it stands in its database: that of a model which is not managed may be elsewhere."""
    connection = connections[router.db_for_read(model)]
    return model._meta.db_table in connection.introspection.table_names(include_views=True)


def bucket_of(field: models.FileField) -> str:
    """That of the field's storage, else of the default one."""
    for store in (field.storage, storages["default"]):
        if isinstance(store, SignedStorage):
            return store.bucket
    return settings.SUPABASE_STORAGE_BUCKET


def _told_buckets(fields: Sequence[models.FileField]) -> dict[str, str]:
    """MIGRATE_BUCKETS, whatever the case of its names."""
    buckets = settings.MIGRATE_BUCKETS
    if not isinstance(buckets, dict):
        raise NoSuchField('MIGRATE_BUCKETS is no dict such as {"app.Model.field": "bucket"}.')
    told = {name.strip().lower(): bucket.strip() for name, bucket in buckets.items()}
    known = {_label(field): f"{field.model._meta.label}.{field.name}" for field in fields}
    for name in told.keys() - known.keys():
        candidates = ", ".join(sorted(known.values()))
        raise NoSuchField(
            f"MIGRATE_BUCKETS names {name!r}, which is no file field: choose from {candidates}."
        )
    return told


def _label(field: models.FileField) -> str:
    return f"{field.model._meta.label_lower}.{field.name.lower()}"


def _named(name: str, known: list[Column]) -> list[Column]:
    """`Species`, `api.Species` or `api.Species.image`, whatever their case."""
    by_field = [column for column in known if column.label.lower() == name.lower()]
    by_label = [column for column in known if column.field.model._meta.label_lower == name.lower()]
    by_model = [column for column in known if column.field.model.__name__.lower() == name.lower()]
    if by_field or by_label:
        return by_field or by_label
    if len({column.field.model for column in by_model}) == 1:
        return by_model
    candidates = sorted({column.field.model._meta.label for column in by_model or known})
    problem = "is several models" if by_model else "is no model with files"
    raise NoSuchField(f"{name!r} {problem}: choose from {', '.join(candidates) or 'none'}.")
