"""Keyset pagination: where a page of a list begins is a row's values of the ordering fields, not a number.

So rows that come and go between two pages neither repeat nor hide others. DRF's CursorPagination counts rows
with equal values instead, and cannot order by fields that may be null.

A row without a value comes after all others, or first in descending order. That is the order of PostgreSQL's
indexes, and SQLite is told to do the same.
"""

import json
from base64 import b64encode, urlsafe_b64decode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import takewhile
from typing import Any, Self
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import DecimalValidator
from django.db.models import DecimalField, F, Field, Model, Q, QuerySet
from django.db.models.expressions import OrderBy
from django.db.models.fields.tuple_lookups import (
    TupleGreaterThan,
    TupleGreaterThanOrEqual,
    TupleLessThan,
    TupleLessThanOrEqual,
)

MAX_LENGTH = 6000  # characters: the texts of all fields that a list may be ordered by fit in
MAX_INTEGER = 2**63 - 1  # no database compares more


class InvalidCursor(ValueError):
    """The text is not a cursor of this list in this order."""


@dataclass(frozen=True)
class Key:
    """One field that a list is ordered by."""

    field: "Field[Any, Any]"
    descending: bool

    @classmethod
    def of(cls, model: type[Model], name: str) -> Self:
        field = model._meta.get_field(name.removeprefix("-"))
        assert isinstance(field, Field)
        return cls(field, name.startswith("-"))

    def reversed(self) -> Self:
        return replace(self, descending=not self.descending)

    def order_by(self) -> OrderBy:
        if not self.field.null:
            return OrderBy(F(self.field.name), descending=self.descending)
        nulls = {"nulls_first": True} if self.descending else {"nulls_last": True}
        return OrderBy(F(self.field.name), descending=self.descending, **nulls)

    def equal(self, value: Any) -> Q:
        return Q(**{self.field.name: value})  # IS NULL for None

    def after(self, value: Any, *, inclusive: bool = False) -> Q | None:
        """Return the condition for values behind this one, None if there are none."""
        name = self.field.name
        if value is None:
            if self.descending:  # every value is behind null, which is the first
                return Q() if inclusive else Q(**{f"{name}__isnull": False})
            return self.equal(None) if inclusive else None
        comparison = ("lt" if self.descending else "gt") + ("e" if inclusive else "")
        behind = Q(**{f"{name}__{comparison}": value})
        return behind | self.equal(None) if self.field.null and not self.descending else behind


@dataclass(frozen=True)
class Cursor:
    """A place in a list: behind a row, or on it if `inclusive`. `backward` means towards the beginning."""

    model: type[Model]
    ordering: tuple[str, ...]  # the last one is the id, so that no two rows are at the same place
    values: tuple[Any, ...] = ()
    backward: bool = False
    inclusive: bool = False

    @classmethod
    def parse(cls, text: str, model: type[Model], ordering: Sequence[str]) -> Self:
        """Return the cursor that `str` made this text of. Raises InvalidCursor for any other text."""
        if len(text) > MAX_LENGTH:
            raise InvalidCursor
        try:
            label, *names, flags, sent = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            cursor = cls(model, tuple(ordering), (), "b" in flags, "i" in flags)
            fields = [key.field for key in cursor.keys]
            values = [_python_value(*each) for each in zip(fields, sent, strict=True)]
            cursor = replace(cursor, values=tuple(values))
            is_ours = (label, names) == (model._meta.label_lower, list(ordering)) and str(cursor) == text
        except (ValueError, TypeError, ArithmeticError, RecursionError, ValidationError) as error:
            raise InvalidCursor from error
        if not is_ours:
            raise InvalidCursor
        return cursor

    def __str__(self) -> str:
        flags = "b" * self.backward + "i" * self.inclusive
        parts = [self.model._meta.label_lower, *self.ordering, flags, [_json_value(v) for v in self.values]]
        text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
        return b64encode(text.encode(), b"-_").decode().rstrip("=")

    @property
    def keys(self) -> list[Key]:
        """The fields in the direction that the cursor reads."""
        keys = [Key.of(self.model, name) for name in self.ordering]
        return [key.reversed() for key in keys] if self.backward else keys

    def at(self, row: Model, *, backward: bool) -> Self:
        """Return the cursor of the rows behind this one, or before it."""
        values = tuple(getattr(row, key.field.attname) for key in self.keys)
        return replace(self, values=values, backward=backward, inclusive=False)

    def turned(self) -> Self:
        """Return the cursor that reads what this one does not, in the other direction."""
        return replace(self, backward=not self.backward, inclusive=not self.inclusive)

    def rows(self, queryset: QuerySet[Any], size: int) -> list[Any]:
        """Return up to `size` rows behind the cursor, the nearest first."""
        found: list[Any] = []
        for part in self.parts(queryset):
            found += part[:size]
            if len(found) >= size:
                break
        return found[:size]

    def parts(self, queryset: QuerySet[Any]) -> Iterator[QuerySet[Any]]:
        """Yield the rows behind the cursor, the nearest first.

        Those with a value in the first field and those without one are two queries: PostgreSQL finds each of
        them in an index, but not both at once.
        """
        ordered = queryset.order_by(*(key.order_by() for key in self.keys))
        if not self.values:
            yield ordered
            return
        (first, value), *rest = places = list(zip(self.keys, self.values, strict=True))
        if value is None:
            yield ordered.filter(first.equal(None), self._behind(rest))
            if first.descending:
                yield ordered.exclude(first.equal(None))
        else:
            yield ordered.filter(self._behind(places))
            if first.field.null and not first.descending:
                yield ordered.filter(first.equal(None))

    def _behind(self, places: list[tuple[Key, Any]]) -> Q:
        """Return the condition for rows behind these values: a > 1 OR (a = 1 AND b > 2) for (a, b) > (1, 2).

        PostgreSQL finds the place in an index only by a comparison of rows. There is one for the first fields
        that have the same direction and cannot be null.
        """
        direction = places[0][0].descending
        compared = list(
            takewhile(lambda place: place[0].descending == direction and self._has_value(place[0]), places)
        )
        if len(compared) == len(places):
            return self._compare(compared, inclusive=self.inclusive)
        behind = Q(pk__in=[])
        equal = Q()
        for number, (key, value) in enumerate(places, 1):
            here = key.after(value, inclusive=self.inclusive and number == len(places))
            if here is not None:
                behind |= equal & here
            equal &= key.equal(value)
        return self._compare(compared, inclusive=True) & behind if compared else behind

    def _has_value(self, key: Key) -> bool:
        """Return True if the rows of a part have a value in this field."""
        return not key.field.null or (key == self.keys[0] and self.values[0] is not None)

    def _compare(self, places: list[tuple[Key, Any]], *, inclusive: bool) -> Q:
        kinds = {
            (False, False): TupleGreaterThan,
            (False, True): TupleGreaterThanOrEqual,
            (True, False): TupleLessThan,
            (True, True): TupleLessThanOrEqual,
        }
        comparison = kinds[places[0][0].descending, inclusive]
        fields = tuple(F(key.field.name) for key, _ in places)
        return Q(comparison(fields, tuple(value for _, value in places)))


def order_by(model: type[Model], ordering: Sequence[str]) -> list[OrderBy]:
    """Return the arguments of `QuerySet.order_by`, with rows without a value where cursors expect them."""
    return [Key.of(model, name).order_by() for name in ordering]


def _json_value(value: Any) -> str | int | None:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat()
        case date():
            return value.isoformat()
        case Decimal():
            return format(value, "f")
        case UUID():
            return str(value)
        case str() | int() | None:
            return value
    raise TypeError(f"No list is ordered by a {type(value).__name__}.")


def _python_value(field: "Field[Any, Any]", sent: Any) -> Any:
    """Return the value of the field. Raises ValueError or TypeError, among others, if it can have no such."""
    value = field.to_python(sent)
    if value is None and not field.null:
        raise ValueError("not null")
    if isinstance(value, str) and "\0" in value:
        raise ValueError("NUL")
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise ValueError("too large")
    if isinstance(field, DecimalField) and value is not None:
        DecimalValidator(field.max_digits, field.decimal_places)(value)
    return value
