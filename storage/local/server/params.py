"""Params: the parameters of a request, from its JSON body or its query string, with type coercion.

Values are coerced as on the real server (AJV, as configured by Fastify): `"60"` is 60, `"true"` is true, and
null is "" or 0.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpRequest

from storage.local.server import request_body
from storage.local.server.errors import ProtocolError

MAX_JSON_SIZE = 1024 * 1024  # bytes, as on the real server
REQUIRED = object()


def json_body(request: HttpRequest) -> "Params":
    """Return the parameters of the JSON object in the body. Raises ProtocolError."""
    content_type = request.content_type
    body = request_body.read_all(request, MAX_JSON_SIZE)
    if content_type not in ("application/json", "text/plain") and (content_type or body):
        raise ProtocolError("InvalidMimeType", "Invalid Content-Type header")
    values = _parse_json(body) if content_type == "application/json" else None
    if not isinstance(values, dict):
        raise ProtocolError("InvalidRequest", "body must be object")
    return Params(values, "body")


def query_params(request: HttpRequest) -> "Params":
    return Params(request.GET.dict(), "querystring")


def _parse_json(body: bytes) -> Any:
    try:
        return request_body.strict_json(body)
    except ValueError:
        raise ProtocolError("InvalidJSON") from None


class Params:
    """Each method returns the value of one parameter, or `default` if it is absent. All raise ProtocolError.

    `location` is the start of error messages: "body" or "querystring".
    """

    def __init__(self, values: Mapping[str, Any], location: str) -> None:
        self.values = values
        self.location = location

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def text(self, name: str, default: Any = REQUIRED) -> str:
        value = self._single(name, default)
        if value is None:
            return ""
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, str | int | float):
            return str(value)
        return value if value is default else self._fail(name, "must be string")

    def choice(self, name: str, choices: Sequence[str], default: Any = REQUIRED) -> str:
        value = self.text(name, default)
        return value if value in choices else self._fail(name, "must be equal to one of the allowed values")

    def boolean(self, name: str, default: bool = False) -> bool:
        value = self._single(name, default)
        booleans = {"true": True, "false": False, 1: True, 0: False, None: False}
        if isinstance(value, str | int | None) and value in booleans:
            return booleans[value]
        return self._fail(name, "must be boolean")

    def integer(self, name: str, *, minimum: int, maximum: int | None = None, default: Any = REQUIRED) -> int:
        value = self._single(name, default)
        if isinstance(value, bool) or value is None:
            value = int(value or 0)
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            return self._fail(name, "must be integer")
        if not math.isfinite(number) or number != int(number):
            return self._fail(name, "must be integer")
        if number < minimum:
            return self._fail(name, f"must be >= {minimum}")
        if maximum is not None and number > maximum:
            return self._fail(name, f"must be <= {maximum}")
        return int(number)

    def texts(self, name: str, *, maximum: int | None = None) -> list[str]:
        """Return a list of 1 to `maximum` strings. A value that is not a list counts as a list of one."""
        value = self._value(name, REQUIRED)
        items = value if isinstance(value, list) else [value]
        if not items or (maximum is not None and len(items) > maximum):
            return self._fail(
                name, f"must NOT have {f'more than {maximum}' if items else 'fewer than 1'} items"
            )
        return [Params({name: item}, self.location).text(name) for item in items]

    def nested(self, name: str) -> "Params":
        """Return the parameters of a nested object. There are none if it is absent."""
        value = self._value(name, {})
        if not isinstance(value, dict):
            return self._fail(name, "must be object")
        return Params(value, f"{self.location}/{name}")

    def _single(self, name: str, default: Any) -> Any:
        """Return the value. A list of one item is replaced by that item."""
        value = self._value(name, default)
        return value[0] if isinstance(value, list) and len(value) == 1 else value

    def _value(self, name: str, default: Any) -> Any:
        if name in self.values:
            return self.values[name]
        if default is REQUIRED:
            raise ProtocolError("InvalidRequest", f"{self.location} must have required property '{name}'")
        return default

    def _fail(self, name: str, problem: str) -> Any:
        raise ProtocolError("InvalidRequest", f"{self.location}/{name} {problem}")
