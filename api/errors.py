"""Turns exceptions into `application/problem+json` responses (RFC 9457), and lists all error codes."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import structlog
from django.conf import settings
from django.core.exceptions import (
    ObjectDoesNotExist,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.core.serializers.json import DjangoJSONEncoder
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.views import set_rollback

from api import database_outages
from api.auth.jwks_client import KeysUnavailable
from api.auth.sessions import SessionsUnavailable
from api.auth.tokens import TokenInvalid
from api.exceptions import Refused, ScannerUnavailable
from storage.errors import ObjectMissing, StorageUnavailable

logger = structlog.get_logger("api.errors")

RETRY_AFTER = 5  # seconds, for every 503 of a storage or auth server that fails

#: Every error code of the API, with its HTTP status and its default detail.
ERROR_CODES: dict[str, tuple[int, str | Promise]] = {
    "invalid": (400, _("Some fields are not valid: see `errors`.")),
    "malformed": (400, _("The request could not be read.")),
    "not_authenticated": (401, _("Send a Supabase access token: `Authorization: Bearer …`.")),
    "token_invalid": (401, _("The access token is not valid for this server.")),
    "token_expired": (401, _("The access token has expired: refresh the session.")),
    "session_revoked": (401, _("The session has ended, or its user is banned: sign in again.")),
    "anonymous_not_allowed": (401, _("Anonymous users are not allowed: sign in.")),
    "client_not_allowed": (401, _("Tokens of OAuth clients are not allowed.")),
    "signature_invalid": (
        401,
        _("The webhook's signature or secret is wrong, or the message is too old or was received before."),
    ),
    "permission_denied": (403, _("Your account does not allow this.")),
    "quota_exceeded": (403, _("This would exceed a quota.")),
    "not_found": (404, _("This does not exist, or you may not see it.")),
    "file_missing": (404, _("No file has been uploaded yet.")),
    "method_not_allowed": (405, _("This method is not allowed here.")),
    "request_timeout": (408, _("The request did not arrive in time: send it again.")),
    "object_missing": (409, _("Nothing has been uploaded yet: send the file to the ticket's `url`.")),
    "ticket_expired": (409, _("The ticket expired before a file arrived: ask for a new one.")),
    "ticket_cancelled": (409, _("The ticket was cancelled: ask for a new one.")),
    "ticket_completed": (409, _("The ticket is completed and can no longer be cancelled or rejected.")),
    "verification_in_progress": (409, _("The file is being verified: try again.")),
    "held": (409, _("The file waits for a check: it is published or refused later.")),
    "gallery_full": (409, _("This entry has as many pictures as it may have: delete one first.")),
    "object_arrived": (409, _("The file has arrived: call complete.")),
    "resource_gone": (409, _("The resource that the file was for has been deleted.")),
    "precondition_failed": (412, _("This has changed since you read it: read it again.")),
    "too_large": (413, _("The request body is too large.")),
    "unsupported_media_type": (415, _("Send JSON: `Content-Type: application/json`.")),
    "idempotency_key_reused": (422, _("This Idempotency-Key was used for another request: make a new one.")),
    "size_mismatch": (422, _("The size is not the declared one.")),
    "content_type_not_allowed": (422, _("Files of this type are not accepted here.")),
    "content_type_mismatch": (422, _("The file is not of the declared type.")),
    "checksum_mismatch": (422, _("The SHA-256 is not the declared one.")),
    "image_invalid": (422, _("The picture cannot be opened.")),
    "image_too_large": (422, _("The picture has too many pixels.")),
    "infected": (422, _("A virus was found in the file.")),
    "file_rejected": (422, _("The file was refused by a check.")),
    "throttled": (429, _("Too many requests.")),
    "token_too_long": (431, _("The access token is too long: keep less in the user's metadata.")),
    "internal": (
        500,
        _("Internal error. The server's logs have the details under the `X-Request-ID` of this response."),
    ),
    "storage_unavailable": (503, _("The file storage does not answer: try again.")),
    "scanner_unavailable": (503, _("The file scanner does not answer: try again.")),
    "not_ready": (503, _("The server is not ready: try again.")),
    "keys_unavailable": (503, _("The keys that verify access tokens are not available: try again.")),
    "sessions_unavailable": (503, _("The session cannot be checked at the moment: try again.")),
}

#: The HTTP status phrases, which are the titles of problems of the type `about:blank` (RFC 9457, 4.2.1).
TITLES: dict[int, str | Promise] = {
    400: _("Bad Request"),
    401: _("Unauthorized"),
    403: _("Forbidden"),
    404: _("Not Found"),
    405: _("Method Not Allowed"),
    408: _("Request Timeout"),
    409: _("Conflict"),
    412: _("Precondition Failed"),
    413: _("Request Entity Too Large"),
    415: _("Unsupported Media Type"),
    422: _("Unprocessable Entity"),
    429: _("Too Many Requests"),
    431: _("Request Header Fields Too Large"),
    500: _("Internal Server Error"),
    503: _("Service Unavailable"),
}

#: Messages of DRF whose Spanish translation is missing or poor. LOCALE_PATHS has precedence over DRF's
#: catalogue, so they are translated in `api/locale`.
DRF_MESSAGES = [
    gettext_noop("Surrogate characters are not allowed: U+{code_point:X}."),
    gettext_noop("Request was throttled."),
]

#: The error codes of exceptions that are not DRF's. The first class that matches decides.
EXCEPTION_CODES: dict[type[Exception], str] = {
    StorageUnavailable: "storage_unavailable",
    ScannerUnavailable: "scanner_unavailable",
    KeysUnavailable: "keys_unavailable",
    SessionsUnavailable: "sessions_unavailable",
    ObjectMissing: "file_missing",
    Http404: "not_found",
    ObjectDoesNotExist: "not_found",
    PermissionDenied: "permission_denied",
    RequestDataTooBig: "too_large",
    SuspiciousOperation: "malformed",
}


def problem_body(
    code: str, detail: str | Promise = "", errors: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    """Return the JSON object of a problem. `code` is one of ERROR_CODES, or a code of the scanner.

    Its texts may be lazy: they are translated when the object is serialised.
    """
    status, default_detail = ERROR_CODES.get(code) or ERROR_CODES["file_rejected"]
    return {
        "type": "about:blank",
        "title": TITLES[status],
        "status": status,
        "detail": detail or default_detail,
        "code": code,
        "errors": errors or [],
    }


class ProblemResponse(HttpResponse):
    """`code`: one of ERROR_CODES."""

    def __init__(self, code: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        self.code = code if code in ERROR_CODES else "file_rejected"
        super().__init__(
            json.dumps(body, cls=DjangoJSONEncoder),
            status=body["status"],
            headers={"Cache-Control": "no-store", **headers},
            content_type="application/problem+json",
        )


def problem(
    code: str,
    detail: str | Promise = "",
    errors: list[dict[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, int | str] | None = None,
) -> ProblemResponse:
    """Return the response of a problem, without DRF's content negotiation, and never cached.

    `members` are added to the JSON object (RFC 9457, 3.2).
    """
    body = {**problem_body(code, detail, errors), **(members or {})}
    return ProblemResponse(code, body, headers or {})


@csrf_exempt
def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """The view of every path without a route."""
    if request.path.endswith("/"):
        return problem("not_found", gettext("This path does not exist."))
    return problem("not_found", gettext("This path does not exist. All paths of the API end with a slash."))


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return problem("malformed")


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return problem("permission_denied")


def server_error(request: HttpRequest) -> HttpResponse:
    return problem("internal")


@dataclass(frozen=True, slots=True)
class Problem:
    """The arguments of `problem`."""

    code: str
    detail: str | Promise = ""
    errors: list[dict[str, str]] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, int | str] = field(default_factory=dict)


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """The exception handler of DRF and of ProblemMiddleware. Returns None for unexpected exceptions."""
    set_rollback()
    if isinstance(error, exceptions.MethodNotAllowed):
        return problem("method_not_allowed", headers=_allow(context))
    found = problem_of(error)
    if found is None:
        return None
    return problem(found.code, found.detail, found.errors, found.headers, found.members)


def problem_of(error: Exception) -> Problem | None:
    """Return the problem that an exception is for the client, None if it is unexpected."""
    match error:
        case Refused():
            headers = _retry_after(error.retry_after)
            return Problem(error.code, error.detail, headers=headers, members=error.members)
        case exceptions.ValidationError():
            errors = list(_flatten(error.get_full_details(), "#"))
            return Problem("invalid", getattr(error, "summary", ""), errors)
        case exceptions.AuthenticationFailed() | exceptions.NotAuthenticated():
            return _unauthorised(error)
        case exceptions.Throttled():
            wait = math.ceil(getattr(error, "wait", None) or 1)
            return Problem("throttled", str(error.detail), headers=_retry_after(wait))
        case exceptions.ParseError():
            return Problem("malformed", str(error.detail))
        case exceptions.APIException() if error.get_codes() in ERROR_CODES:
            return Problem(str(error.get_codes()))
    code = next((code for kind, code in EXCEPTION_CODES.items() if isinstance(error, kind)), None)
    if database_outages.is_outage(error):
        code = "not_ready"
    if code is None:
        return None
    if ERROR_CODES[code][0] < 500:
        return Problem(code)
    # The response does not contain the cause.
    logger.warning("service_unavailable", outage=code, exc_info=error)
    return Problem(code, headers=_retry_after(RETRY_AFTER))


def _unauthorised(error: exceptions.APIException) -> Problem:
    code = str(error.get_codes())
    challenge = 'Bearer realm="vivarium"'
    if code != "not_authenticated":
        challenge += ', error="invalid_token"'  # RFC 6750, 3.1: only when a token was sent
    detail = ""
    if settings.DEBUG and isinstance(error, TokenInvalid):
        detail = f"{ERROR_CODES[code][1]} {error.reason}"
    return Problem(code, detail, headers={"WWW-Authenticate": challenge})


def _retry_after(seconds: int | None) -> dict[str, str]:
    return {"Retry-After": str(seconds)} if seconds else {}


def _allow(context: dict[str, Any]) -> dict[str, str]:
    return {"Allow": ", ".join(context["view"].allowed_methods)}


def _flatten(details: Any, pointer: str) -> Iterator[dict[str, str]]:
    """Flatten DRF's nested details. Each pointer is a JSON pointer as a URI fragment (RFC 6901, 6)."""
    if isinstance(details, dict) and {"message", "code"} == details.keys():
        yield {"pointer": pointer, "code": str(details["code"]), "detail": str(details["message"])}
    elif isinstance(details, dict):
        for name, inner in details.items():
            here = pointer if name == "non_field_errors" else f"{pointer}/{_escaped(str(name))}"
            yield from _flatten(inner, here)
    else:
        for index, inner in enumerate(details):
            leaf = isinstance(inner, dict) and {"message", "code"} == inner.keys()
            yield from _flatten(inner, pointer if leaf else f"{pointer}/{index}")


def _escaped(name: str) -> str:
    """Escape a name in a JSON pointer (RFC 6901, 3 and 6), because clients choose the names of parameters."""
    return quote(name.replace("~", "~0").replace("/", "~1"))
