"""The text columns of all models, in which texts may mention files: characters, texts, JSON and arrays."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import connections, models, router
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast, Length
from django.db.models.lookups import Exact

from storage.control_characters import printable
from storage.transfer.references import PAGE_SIZE, pk_texts

TEXT_TYPES = ("CharField", "TextField", "JSONField")
BATCH_CHARACTERS = 1_000_000  # that are read at the same time, unless a single text has more
#: Their texts say what was, and nothing reads files by them.
HISTORY = ("admin.LogEntry", "sessions.Session")


@dataclass(frozen=True, slots=True)
class TextColumn:
    """A text column. Texts are read and written as the database has them, without the field's conversions.

    An array of texts, which only PostgreSQL has, is read as JSON.
    """

    field: "models.Field[Any, Any]"

    @property
    def label(self) -> str:
        return f"{self.field.model._meta.label}.{self.field.name}"

    @property
    def is_json(self) -> bool:
        return self._is_array or self.field.get_internal_type() == "JSONField"

    @property
    def _is_array(self) -> bool:
        return self.field.get_internal_type() == "ArrayField"

    def texts(self) -> "Iterator[Text]":
        """Yield all texts by primary key, with no more than BATCH_CHARACTERS in memory."""
        last: Any = None
        while True:
            sizes = list(self._after(last).values_list("pk", Length(self._raw))[:PAGE_SIZE])
            for batch in _batches(sizes):
                texts = self._after(last).filter(pk__lte=batch[-1]).values_list("pk", self._raw)
                yield from (Text(self, pk, content) for pk, content in texts)
                last = batch[-1]
            if len(sizes) < PAGE_SIZE:
                return

    def text(self, pk: Any) -> "Text | None":
        """Return the text of a row, None if there is none by now."""
        content = self._rows().filter(pk=pk).values_list(self._raw, flat=True).first()
        return None if content is None else Text(self, pk, content)

    def replace(self, pk: Any, old: str, new: str) -> bool:
        """Set this column only, if it still has the old text; return True if the row was changed."""
        value: Any = models.Value(new, models.TextField())
        if self._is_array:
            value = json.loads(new)
        elif self.is_json:
            value = Cast(value, models.JSONField())
        current = Exact(self._raw, models.Value(old, models.TextField()))
        return bool(self._rows().filter(current, pk=pk).update(**{self.field.attname: value}))

    def _rows(self) -> "models.QuerySet[Any]":
        return models.QuerySet(self.field.model)

    def _after(self, last: Any) -> "models.QuerySet[Any]":
        rows = self._rows().exclude(**{f"{self.field.attname}__isnull": True}).order_by("pk")
        return rows if last is None else rows.filter(pk__gt=last)

    @property
    def _raw(self) -> Cast:
        value: Combinable = models.F(self.field.attname)
        if self._is_array:
            value = models.Func(value, function="array_to_json", output_field=models.JSONField())
        return Cast(value, models.TextField())


@dataclass(frozen=True, slots=True)
class Text:
    """The text that a row has in a column."""

    column: TextColumn
    pk: Any
    content: str

    def __str__(self) -> str:
        return printable(f"{self.column.label} {' '.join(pk_texts(self.pk))}")


def text_columns() -> Iterator[TextColumn]:
    """Yield the text columns of all tables, each once, without those that cannot be written.

    Views show the texts of tables. The database computes generated columns. Keys identify rows.
    """
    seen: set[tuple[str, str, str]] = set()
    for model in apps.get_models():
        if model._meta.proxy or model._meta.label in HISTORY or not _is_table(model):
            continue
        for field in model._meta.local_concrete_fields:
            column = (router.db_for_read(model), model._meta.db_table, field.column or "")
            is_key = field.primary_key or field.name in {part.name for part in model._meta.pk_fields}
            if _has_texts(field) and not field.generated and not is_key:
                if column not in seen:
                    yield TextColumn(field)
                seen.add(column)


def _has_texts(field: Any) -> bool:
    kind = field.get_internal_type()
    return _has_texts(field.base_field) if kind == "ArrayField" else kind in TEXT_TYPES


def _is_table(model: type[models.Model]) -> bool:
    connection = connections[router.db_for_read(model)]
    return model._meta.db_table in connection.introspection.table_names()


def _batches(sizes: list[tuple[Any, int]]) -> Iterator[list[Any]]:
    """Yield the primary keys of rows whose texts together have at most BATCH_CHARACTERS."""
    batch: list[Any] = []
    characters = 0
    for pk, size in sizes:
        if batch and characters + size > BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
        batch.append(pk)
        characters += size
    if batch:
        yield batch
