"""The JSON body of a request. Members of a wrong type are refused, and unknown ones ignored."""

import json
import math
from typing import Any

from django.http import HttpRequest

from api.auth_server.errors import AuthError, Refusal, bad_json
from api.parsers import read_body

READING = {
    "too_large": Refusal(413, "request_entity_too_large", "Request body exceeds 1 MiB"),
    "request_timeout": Refusal(408, "request_timeout", "The request did not arrive in time"),
    "malformed": bad_json("the body is incomplete"),
}


#: The types of all members that a handler takes. The value null counts as missing.
TYPES = {
    "email": str,
    "phone": str,
    "password": str,
    "refresh_token": str,
    "data": dict,
    "app_metadata": dict,
}


class Body:
    """The members of the JSON object."""

    def __init__(self, members: dict[str, Any]) -> None:
        self.members = {name: members[name] for name in TYPES if members.get(name) is not None}

    def __contains__(self, name: str) -> bool:
        return name in self.members

    def text(self, name: str) -> str:
        """Return the text, "" if it is missing."""
        return str(self.members.get(name, ""))

    def object(self, name: str) -> dict[str, Any]:
        """Return the object, {} if it is missing."""
        return dict(self.members.get(name, {}))


def parse(request: HttpRequest) -> Body:
    """Return the body. Raises AuthError if it is too large, or no object that a database can store."""
    if code := read_body(request):
        raise AuthError(READING[code])
    try:
        members = json.loads(request.body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise AuthError(bad_json("not readable as UTF-8 JSON")) from None
    if not isinstance(members, dict):
        raise AuthError(bad_json("not an object"))
    _check_values(members)
    body = Body(members)
    for name, value in body.members.items():
        if not isinstance(value, TYPES[name]):
            raise AuthError(bad_json(f"{name} has a wrong type"))
    return body


def _check_values(value: Any) -> None:
    """Raise AuthError for what Python reads and a database cannot store as JSON, at any depth."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as text if "\0" in text or _has_surrogates(text):
                raise AuthError(bad_json("a character that cannot be stored"))
            case float() as number if not math.isfinite(number):
                raise AuthError(bad_json("a number that cannot be stored"))
            case dict() as members:
                waiting += [*members, *members.values()]
            case list() as items:
                waiting += items


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in text)
