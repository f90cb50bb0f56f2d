"""Serializer fields that clean text, and that take the JSON type in the schema and no other."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from django.db import models
from rest_framework import serializers
from rest_framework.fields import empty

from api.text import clean

Row = TypeVar("Row", bound=models.Model)


class TextField(serializers.CharField):
    """A CharField that cleans the text before it checks whether it is blank or too long.

    It refuses numbers, which DRF turns into text.
    """

    def run_validation(self, data: Any = empty) -> Any:
        return super().run_validation(clean(data) if isinstance(data, str) else data)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        text: str = super().to_internal_value(data)
        return text


class StrictBooleanField(serializers.BooleanField):
    """A BooleanField that refuses `0`, `"no"` and whatever else DRF takes for a boolean."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class StrictIntegerField(serializers.IntegerField):
    """An IntegerField that refuses numbers in quotes, and booleans."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, str | bool):
            self.fail("invalid")
        number: int = super().to_internal_value(data)
        return number


class CanonicalUUIDField(serializers.UUIDField):
    """A UUIDField that only accepts digits with hyphens. DRF also accepts numbers and URNs."""

    def to_internal_value(self, data: Any) -> UUID:
        value = super().to_internal_value(data)
        if not isinstance(data, str) or str(value) != data.lower():
            self.fail("invalid", value=data)
        return value


class UTCDateTimeField(serializers.DateTimeField):
    """A DateTimeField that writes times in UTC as they are, without looking for the current time zone."""

    def to_representation(self, value: Any) -> Any:
        is_utc = isinstance(value, datetime) and value.tzinfo is UTC
        return utc_text(value) if is_utc else super().to_representation(value)


def utc_text(time: datetime) -> str:
    """Return a time in UTC as responses have it: `2026-11-21T02:44:00Z`."""
    return f"{time.replace(tzinfo=None).isoformat()}Z"


#: Fields that write a value of the database as it is.
PLAIN_FIELDS = (TextField, serializers.ChoiceField, StrictBooleanField, StrictIntegerField)
#: Fields that need nothing but the value to write it: no context, and no other field.
INDEPENDENT_FIELDS = (
    *PLAIN_FIELDS,
    UTCDateTimeField,
    serializers.DateField,
    serializers.DecimalField,
    serializers.IntegerField,
    serializers.JSONField,
    serializers.UUIDField,
)


#: What decides about the fields of a serializer. A class with another one of these may look at the context.
CHOOSING_FIELDS = (
    *("__init__", "fields", "get_fields", "get_field_names", "get_extra_kwargs", "_readable_fields"),
    *("build_field", "get_default_field_names"),
)


@dataclass(frozen=True, slots=True)
class ShownField:
    """How a member of a response is written: by a method of the serializer, or by its field.

    `column` is "" if the field finds its value in another way. `is_plain`: the value is written as it is.
    """

    name: str
    method: str
    column: str
    is_plain: bool
    field: Any

    @property
    def is_independent(self) -> bool:
        return bool(self.method or (self.column and type(self.field) in INDEPENDENT_FIELDS))


class ModelSerializer(serializers.ModelSerializer[Row]):
    # No docstring: the schema would describe each subclass by it.

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.DateTimeField: UTCDateTimeField,
        models.CharField: TextField,
        models.TextField: TextField,
        models.BooleanField: StrictBooleanField,
        models.PositiveIntegerField: StrictIntegerField,
    }

    #: The class and the arguments of each field, by the class of the serializer and the name of the field.
    _built: ClassVar[dict[tuple[type, str], tuple[Any, dict[str, Any]]]] = {}

    def build_field(self, field_name: str, *rest: Any) -> tuple[Any, dict[str, Any]]:
        """Look a field of the model up once: DRF does it for each serializer."""
        key = type(self), field_name
        if key not in self._built:
            self._built[key] = super().build_field(field_name, *rest)
        field_class, arguments = self._built[key]
        return field_class, dict(arguments)

    #: The fields of each class whose serializers all write them in the same way.
    _shown_by_class: ClassVar[dict[type, list[ShownField] | None]] = {}

    @property
    def _shown(self) -> list[ShownField]:
        """The fields of a response. DRF makes them for each serializer, which takes longer than their use."""
        kind = type(self)
        if "fields" in vars(self):
            return self._own_shown  # they may be others for this serializer
        if kind not in self._shown_by_class:
            self._shown_by_class[kind] = kind._shown_by_all()
        return self._shown_by_class[kind] or self._own_shown

    @classmethod
    def _shown_by_all(cls) -> list[ShownField] | None:
        """Return the fields of a response if all serializers of the class write them in the same way."""
        if any(getattr(cls, name) is not getattr(ModelSerializer, name) for name in CHOOSING_FIELDS):
            return None
        shown = cls()._own_shown
        return shown if all(each.is_independent for each in shown) else None

    @cached_property
    def _own_shown(self) -> list[ShownField]:
        model: type[models.Model] = self.Meta.model
        columns = {column.name for column in model._meta.concrete_fields}
        fields: Iterable[Any] = self._readable_fields
        return [
            ShownField(
                name=field.field_name,
                method=field.method_name if type(field) is serializers.SerializerMethodField else "",
                column=field.source if field.source in columns and _reads_attribute(field) else "",
                is_plain=type(field) in PLAIN_FIELDS,
                field=field,
            )
            for field in fields
        ]

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """Return what DRF returns. It asks each field for each row what is known before the first one."""
        shown: dict[str, Any] = {}
        for each in self._shown:
            if each.method:
                shown[each.name] = getattr(self, each.method)(instance)
                continue
            value = getattr(instance, each.column) if each.column else each.field.get_attribute(instance)
            is_written = each.is_plain or value is None
            shown[each.name] = value if is_written else each.field.to_representation(value)
        return shown


def _reads_attribute(field: Any) -> bool:
    """Return True if the field takes its value from the row as every field does."""
    return type(field).get_attribute is serializers.Field.get_attribute
