"""The entries of the journal: a file that was moved, or a text that was changed."""

from dataclasses import dataclass
from typing import Any, Self

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models

from storage.transfer.references import Column, Reference, pk_texts
from storage.transfer.sending import Sent
from storage.transfer.texts import Text

TEXT_STATE = "text"
KEPT_TEXT_STATE = "text_kept"


@dataclass(frozen=True, slots=True)
class Entry:
    """`old` is the name that the row had, `new` the key of the object; size, time and hash are the file's.

    `pk` has one text for each column of the primary key.
    """

    state: str
    model: str
    field: str
    pk: list[str]
    bucket: str
    old: str
    new: str
    size: int
    mtime_ns: int
    sha256: str
    at: str = ""

    def reference(self, name: str) -> Reference:
        """Return a reference from the row to `name`. Raises LookupError if model or field has changed."""
        field, pk = find_row(self.model, self.field, self.pk)
        if not isinstance(field, models.FileField):
            raise LookupError(f"{self.model}.{self.field}")
        return Reference(Column(field, self.bucket), pk, name)

    @classmethod
    def of(cls, state: str, reference: Reference, sent: Sent) -> Self:
        """Return the entry for a file that was sent."""
        column, file = reference.column, sent.source
        return cls(
            state,
            column.field.model._meta.label,
            column.field.name,
            list(reference.pk_texts),
            column.bucket,
            reference.name,
            sent.key,
            file.size,
            file.mtime_ns,
            sent.sha256,
        )


@dataclass(frozen=True, slots=True)
class TextEntry:
    """A change of a text that mentions files, which is about to be made; or, with the state KEPT_TEXT_STATE,
    which was not made after all, because the row had changed.

    `changes`: position in the old text, old part and new part. The hashes are those of the whole texts.
    """

    state: str
    model: str
    field: str
    pk: list[str]
    changes: list[tuple[int, str, str]]
    old_sha256: str
    new_sha256: str
    at: str = ""

    @classmethod
    def of(cls, text: Text, changes: list[tuple[int, str, str]], old_sha256: str, new_sha256: str) -> Self:
        field, pk = text.column.field, list(pk_texts(text.pk))
        label = field.model._meta.label
        return cls(TEXT_STATE, label, field.name, pk, changes, old_sha256, new_sha256)

    def row(self) -> "tuple[models.Field[Any, Any], Any]":
        """Return the field and the primary key of the row. Raises LookupError if they have changed."""
        return find_row(self.model, self.field, self.pk)


def find_row(model: str, field_name: str, pk: list[str]) -> "tuple[models.Field[Any, Any], Any]":
    """Return a field and a primary key, given as texts. Raises LookupError if model or field has changed."""
    try:
        field = apps.get_model(model)._meta.get_field(field_name)
        parts = zip(field.model._meta.pk_fields, pk, strict=True)
        values = tuple(part.to_python(text) for part, text in parts)
    except (LookupError, ValueError, FieldDoesNotExist, ValidationError) as error:
        raise LookupError(f"{model}.{field_name}") from error
    if not isinstance(field, models.Field):
        raise LookupError(f"{model}.{field_name}")
    return field, values if len(values) > 1 else values[0]


@dataclass(frozen=True, slots=True)
class EntryResult:
    """The result of rolling back or purging an entry: `done`, or the reason why not, with a message."""

    status: str
    message: str = ""
