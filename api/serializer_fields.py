"""Serializer fields that clean text, and that take the JSON type in the schema and no other."""

from typing import Any, TypeVar
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


class ModelSerializer(serializers.ModelSerializer[Row]):
    # No docstring: the schema would describe each subclass by it.

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.CharField: TextField,
        models.TextField: TextField,
        models.BooleanField: StrictBooleanField,
        models.PositiveIntegerField: StrictIntegerField,
    }
