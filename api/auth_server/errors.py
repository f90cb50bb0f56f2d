"""The errors of the Auth protocol, in both of its forms.

A client that sends `X-Supabase-Api-Version: 2024-01-01` gets `{"code": "bad_jwt", "message": …}`, any other
`{"code": 403, "error_code": "bad_jwt", "msg": …}`.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, JsonResponse

from api.auth.local.models import LocalSession, LocalUser
from api.auth.local.sessions import RefreshTokenMalformed, RefreshTokenUnknown, RefreshTokenUsed
from api.auth.local.users import EmailTaken

VERSION_HEADER = "X-Supabase-Api-Version"
VERSION = "2024-01-01"

logger = structlog.get_logger("api.auth_server")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error of the protocol. `more` is added to the body, `headers` to the response."""

    status: int
    code: str
    message: str
    more: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


class AuthError(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


def invalid(message: str) -> Refusal:
    """Return the refusal of what the rules do not allow."""
    return Refusal(400, "validation_failed", message)


def bad_json(reason: str) -> Refusal:
    return Refusal(400, "bad_json", f"Could not parse request body as JSON: {reason}")


#: The errors of exceptions that are not AuthError.
EXCEPTIONS: dict[type[Exception], Refusal] = {
    EmailTaken: Refusal(422, "user_already_exists", "User already registered"),
    RefreshTokenMalformed: invalid("Refresh token is not valid"),
    RefreshTokenUnknown: Refusal(
        400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found"
    ),
    RefreshTokenUsed: Refusal(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used"),
    LocalUser.DoesNotExist: Refusal(403, "user_not_found", "User from sub claim in JWT does not exist"),
    LocalSession.DoesNotExist: Refusal(
        403, "session_not_found", "Session from session_id claim in JWT does not exist"
    ),
    SuspiciousOperation: invalid("The request could not be read"),  # such as too many query parameters
}
UNEXPECTED = Refusal(
    500, "unexpected_failure", "Unexpected failure, please check server logs for more information"
)


def error_response(request: HttpRequest, error: Exception) -> JsonResponse:
    """Return the response for any exception. Those that are not expected are logged."""
    found = _refusal(error)
    if _has_version(request):
        body: dict[str, Any] = {"code": found.code, "message": found.message}
        headers = {VERSION_HEADER: VERSION}
    else:
        body = {"code": found.status, "error_code": found.code, "msg": found.message}
        headers = {}
    headers |= {"x-sb-error-code": found.code, **found.headers}
    return JsonResponse({**body, **found.more}, status=found.status, headers=headers)


def _refusal(error: Exception) -> Refusal:
    if isinstance(error, AuthError):
        return error.refusal
    for kind, known in EXCEPTIONS.items():
        if isinstance(error, kind):
            return known
    logger.error("unhandled", exc_info=error)
    return UNEXPECTED


def _has_version(request: HttpRequest) -> bool:
    """Return True if the client knows the errors of VERSION. Versions are dates."""
    version = request.headers.get(VERSION_HEADER, "")
    return re.fullmatch(r"\d{4}-\d\d-\d\d", version, re.ASCII) is not None and version >= VERSION
