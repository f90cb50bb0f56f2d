"""The fields of a request, read as the real server reads them: text where a number is meant will do.

Its schemas coerce (AJV, as Fastify sets it up): `"60"` is 60, `"true"` is true, null is "" or 0.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpRequest

from storage.local.server import request_body
from storage.local.server.errors import ProtocolError

MAX_BODY = 1024 * 1024  # bytes, as the real server takes of JSON
REQUIRED = object()


def body_of(request: HttpRequest) -> "Fields":
    """The JSON object that was sent. Raises Refusal."""
    kind = request.content_type
    body = request_body.small(request, MAX_BODY)
    if kind not in ("application/json", "text/plain") and (kind or body):
        raise ProtocolError("InvalidMimeType", "Invalid Content-Type header")
    sent = _parsed(body) if kind == "application/json" else None
    if not isinstance(sent, dict):
        raise ProtocolError("InvalidRequest", "body must be object")
    return Fields(sent, "body")


def query_of(request: HttpRequest) -> "Fields":
    return Fields(request.GET.dict(), "querystring")


def _parsed(body: bytes) -> Any:
    try:
        return request_body.strict_json(body)
    except ValueError:
        raise ProtocolError("InvalidJSON") from None


class Fields:
    """Each method gives the value of one field, `default` where it is absent; all raise Refusal."""

    def __init__(self, sent: Mapping[str, Any], place: str) -> None:
        self.sent = sent
        self.place = place

    def __contains__(self, name: str) -> bool:
        return name in self.sent

    def text(self, name: str, default: Any = REQUIRED) -> str:
        value = self._one(name, default)
        if value is None:
            return ""
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, str | int | float):
            return str(value)
        return value if value is default else self._refuse(name, "must be string")

    def choice(self, name: str, choices: Sequence[str], default: Any = REQUIRED) -> str:
        value = self.text(name, default)
        return value if value in choices else self._refuse(name, "must be equal to one of the allowed values")

    def flag(self, name: str, default: bool = False) -> bool:
        value = self._one(name, default)
        meant = {"true": True, "false": False, 1: True, 0: False, None: False}
        if isinstance(value, str | int | None) and value in meant:
            return meant[value]
        return self._refuse(name, "must be boolean")

    def integer(self, name: str, *, minimum: int, maximum: int | None = None, default: Any = REQUIRED) -> int:
        value = self._one(name, default)
        if isinstance(value, bool) or value is None:
            value = int(value or 0)
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            return self._refuse(name, "must be integer")
        if not math.isfinite(number) or number != int(number):
            return self._refuse(name, "must be integer")
        if number < minimum:
            return self._refuse(name, f"must be >= {minimum}")
        if maximum is not None and number > maximum:
            return self._refuse(name, f"must be <= {maximum}")
        return int(number)

    def texts(self, name: str, *, most: int | None = None) -> list[str]:
        value = self._value(name, REQUIRED)
        items = value if isinstance(value, list) else [value]  # a single one will do
        if not items or (most is not None and len(items) > most):
            return self._refuse(
                name, f"must NOT have {f'more than {most}' if items else 'fewer than 1'} items"
            )
        return [Fields({name: item}, self.place).text(name) for item in items]

    def inner(self, name: str) -> "Fields":
        """The fields of an object inside, none if it is absent."""
        value = self._value(name, {})
        if not isinstance(value, dict):
            return self._refuse(name, "must be object")
        return Fields(value, f"{self.place}/{name}")

    def _one(self, name: str, default: Any) -> Any:
        """A list of one thing is that thing."""
        value = self._value(name, default)
        return value[0] if isinstance(value, list) and len(value) == 1 else value

    def _value(self, name: str, default: Any) -> Any:
        if name in self.sent:
            return self.sent[name]
        if default is REQUIRED:
            raise ProtocolError("InvalidRequest", f"{self.place} must have required property '{name}'")
        return default

    def _refuse(self, name: str, what: str) -> Any:
        raise ProtocolError("InvalidRequest", f"{self.place}/{name} {what}")
