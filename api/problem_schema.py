"""Problems in the OpenAPI schema: which of them an operation may answer with, and the shape of each.

Most codes follow from the view: its authentication, permissions, throttles and body. A view adds those that
its rules raise, by action: `problems = {"complete": ["held", …]}`. Those of its base classes are added.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from django.utils.functional import Promise
from rest_framework.permissions import IsAuthenticated

from api.conditional_requests import PROTECTED_METHODS, ConditionalMixin
from api.errors import ERROR_CODES, TITLES, problem_body
from api.query_parameters import KnownParametersMixin

MEDIA_TYPE = "application/problem+json"

EVERY_REQUEST = ("malformed", "internal", "not_ready")
REQUESTS_WITH_TOKENS = (
    "token_invalid",
    "token_expired",
    "anonymous_not_allowed",
    "client_not_allowed",
    "token_too_long",
    "keys_unavailable",
)
REQUESTS_WITH_BODIES = ("invalid", "too_large", "unsupported_media_type", "request_timeout")

PART = {
    "part": {
        "type": "string",
        "enum": ["database", "migrations", "storage"],
        "description": "What is not ready: only in responses of `/readyz`.",
    }
}
#: The members of problems with these codes that other problems do not have: (schemas, which are required).
MEMBERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "quota_exceeded": (
        {
            "quota": {"type": "string", "enum": ["bytes", "open_tickets"]},
            "used": {"type": "integer", "description": "Bytes, or tickets."},
            "limit": {"type": "integer", "description": "Bytes, or tickets."},
        },
        ["quota", "used", "limit"],
    ),
    "not_ready": (PART, []),
    "storage_unavailable": (PART, []),
}


def codes_of(view: Any, method: str, operation: dict[str, Any]) -> list[str]:
    """Return the codes of the problems that this operation may answer with, in the order of ERROR_CODES."""
    codes = set(_codes_of(view, method, operation))
    return [code for code in ERROR_CODES if code in codes]


def _codes_of(view: Any, method: str, operation: dict[str, Any]) -> Iterator[str]:
    parameters = operation.get("parameters", [])
    is_of_one_row = any(parameter["in"] == "path" for parameter in parameters)
    yield from EVERY_REQUEST
    if view.get_authenticators():
        yield from REQUESTS_WITH_TOKENS
    for permission in view.get_permissions():
        yield from _codes_of_permission(permission, method, is_of_one_row)
    if "requestBody" in operation:
        yield from REQUESTS_WITH_BODIES
    if isinstance(view, KnownParametersMixin):
        yield "invalid"
    if is_of_one_row or any(parameter["name"] == "page" for parameter in parameters):
        yield "not_found"
    if isinstance(view, ConditionalMixin) and is_of_one_row and method in PROTECTED_METHODS:
        yield "precondition_failed"
    if any(parameter["name"] == "Idempotency-Key" for parameter in parameters):
        yield "idempotency_key_reused"
    if view.get_throttles():
        yield "throttled"
    for base in type(view).__mro__:
        yield from vars(base).get("problems", {}).get(getattr(view, "action", method.lower()), [])


def _codes_of_permission(permission: Any, method: str, is_of_one_row: bool) -> Iterable[str]:
    if hasattr(permission, "problems"):
        codes: Iterable[str] = permission.problems(method, is_of_one_row)
        return codes
    return ["not_authenticated"] if isinstance(permission, IsAuthenticated) else []


# --- Responses and components -----------------------------------------------------------------------------


def responses(codes: Iterable[str], errors: list[dict[str, str]]) -> dict[str, Any]:
    """Return the responses with these codes, by status. `errors` is an example for the code `invalid`."""
    by_status: dict[int, list[str]] = defaultdict(list)
    for code in codes:
        by_status[ERROR_CODES[code][0]].append(code)
    return {
        str(status): {
            "description": str(TITLES[status]),
            "content": {MEDIA_TYPE: {"schema": _one_of(codes), "examples": _example(codes[0], errors)}},
        }
        for status, codes in sorted(by_status.items())
    }


def _one_of(codes: list[str]) -> dict[str, Any]:
    schemas = [{"$ref": f"#/components/schemas/{component_name(code)}"} for code in codes]
    return {"oneOf": schemas} if len(schemas) > 1 else schemas[0]


def _example(code: str, errors: list[dict[str, str]]) -> dict[str, Any]:
    body = problem_body(code, errors=errors if code == "invalid" else None)
    if code == "quota_exceeded":
        body |= {"quota": "bytes", "used": 1073741000, "limit": 1073741824}
    value = {name: str(text) if isinstance(text, Promise) else text for name, text in body.items()}
    return {component_name(code): {"value": value, "summary": code}}


def component_name(code: str) -> str:
    """Return the name of the component of this code: `NotFoundProblem` for `not_found`."""
    return "".join(word.title() for word in code.split("_")) + "Problem"


def components() -> dict[str, Any]:
    """Return the components: one for each code, `Problem` for any of them, and what they have inside."""
    item = {
        "pointer": {"type": "string", "description": "JSON pointer to the field, `#/size`."},
        "code": {"type": "string"},
        "detail": {"type": "string"},
    }
    any_problem = "An error (RFC 9457) with any code. Programs use `code`; `detail` is for people."
    return {
        "Problem": _component(list(ERROR_CODES), any_problem),
        "ProblemItem": {"type": "object", "properties": item, "required": list(item)},
        **{component_name(code): _component([code], str(ERROR_CODES[code][1])) for code in ERROR_CODES},
    }


def _component(codes: list[str], description: str) -> dict[str, Any]:
    members, required = MEMBERS.get(codes[0], ({}, [])) if len(codes) == 1 else ({}, [])
    properties = {
        "type": {"type": "string", "description": "Always `about:blank`."},
        "title": {"type": "string", "description": "The phrase of the HTTP status."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string"},
        "code": {"type": "string", "enum": codes},
        "errors": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/ProblemItem"},
            "description": "The fields that are not valid: empty unless `code` is `invalid`.",
        },
    }
    return {
        "type": "object",
        "description": description,
        "properties": {**properties, **members},
        "required": [*properties, *required],
    }
