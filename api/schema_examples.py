"""Examples for the OpenAPI schema, of serializers that have none of their own.

Such a serializer, or a base class of it, has `example_values`: the values of fields that are nested, or made
by methods.
"""

from typing import Any

from rest_framework import serializers

UUID = "01971f6d-1d0a-7c11-9f0e-5b8c2f6f3a10"
#: By the type of a field. A text is the label of its field.
VALUES: dict[type[serializers.Field], Any] = {
    serializers.UUIDField: UUID,
    serializers.BooleanField: True,
    serializers.IntegerField: 1,
    serializers.DecimalField: "12.50",
    serializers.DateTimeField: "2026-11-21T02:45:07Z",
    serializers.DateField: "2026-11-21",
}


def example(serializer: serializers.Serializer[Any], direction: str) -> dict[str, Any]:
    """Return an example of a `request` or `response`, without the fields that there is no value for."""
    named = {
        name: value
        for base in reversed(type(serializer).__mro__)
        for name, value in vars(base).get("example_values", {}).items()
    }
    fields = {name: field for name, field in serializer.fields.items() if _is_shown(field, direction)}
    found = {name: _value(field) for name, field in fields.items() if name not in named}
    values = {**{name: value for name, value in found.items() if value is not None}, **named}
    return {name: values[name] for name in fields if name in values}


def _is_shown(field: serializers.Field, direction: str) -> bool:
    """Return True for all fields of a response, and for those of a request that are required or nested."""
    if direction == "response":
        return not field.write_only
    return field.required or isinstance(field, serializers.Serializer)


def _value(field: serializers.Field) -> Any:
    if isinstance(field, serializers.ChoiceField):
        return next(iter(field.choices), None)
    if isinstance(field, serializers.CharField):
        return str(field.label)[: field.max_length]
    return next((value for kind, value in VALUES.items() if isinstance(field, kind)), None)
