"""Refusals become problem+json (RFC 9457), in one table."""

import json
import math
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import (
    ObjectDoesNotExist,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.views import set_rollback

from api.key_source import KeysUnavailable
from api.refusals import Refused
from api.sessions import SessionsUnavailable
from storage.base import ObjectMissing, StorageUnavailable

logger = structlog.get_logger("api.errors")

RETRY_AFTER = 5  # seconds: trouble of a store or a key server is short, or long

#: Every code that an answer may carry, with its status and what it says when nothing better is known.
PROBLEMS: dict[str, tuple[int, str]] = {
    "invalid": (400, "Some fields are not valid: see `errors`."),
    "malformed": (400, "The request could not be read."),
    "not_authenticated": (401, "Send a Supabase access token: `Authorization: Bearer …`."),
    "token_invalid": (401, "The access token is not valid here."),
    "token_expired": (401, "The access token has expired: refresh the session."),
    "session_revoked": (401, "The session has ended, or its user is banned: sign in again."),
    "anonymous_not_allowed": (401, "Anonymous sign-ins are not admitted: sign in."),
    "client_not_allowed": (401, "Tokens of OAuth clients are not admitted."),
    "permission_denied": (403, "Your account does not allow this."),
    "not_found": (404, "There is nothing here, or nothing that you may see."),
    "file_missing": (404, "No file has been uploaded for this yet."),
    "method_not_allowed": (405, "This method is not possible here."),
    "object_missing": (409, "Nothing has been uploaded yet: send the file to the ticket's `url`."),
    "ticket_expired": (409, "The ticket expired before a file arrived: ask for a new one."),
    "ticket_cancelled": (409, "The ticket was given up: ask for a new one."),
    "ticket_completed": (409, "The ticket is completed and can no longer be given up."),
    "verification_in_progress": (409, "The file is being verified: ask again."),
    "resource_gone": (409, "What the file was for has been deleted."),
    "too_large": (413, "The body is too large."),
    "unsupported_media_type": (415, "Send JSON: `Content-Type: application/json`."),
    "size_mismatch": (422, "The size is not the declared one."),
    "content_type_not_allowed": (422, "Files of this type are not accepted here."),
    "content_type_mismatch": (422, "The file is not of the declared type."),
    "checksum_mismatch": (422, "The SHA-256 is not the declared one."),
    "image_invalid": (422, "The picture cannot be opened."),
    "image_too_large": (422, "The picture has too many pixels."),
    "throttled": (429, "Too many requests."),
    "internal": (
        500,
        "Something went wrong on our side. The `X-Request-ID` of this answer finds it in the logs.",
    ),
    "storage_unavailable": (503, "The file store does not answer: try again."),
    "not_ready": (503, "The server cannot work yet: try again."),
    "keys_unavailable": (503, "The keys that verify access tokens cannot be had: try again."),
    "sessions_unavailable": (503, "Whether the session still lives cannot be asked: try again."),
}


#: Errors that are not DRF's, and what they are to a client. The first that fits counts.
FACTS: dict[type[Exception], str] = {
    StorageUnavailable: "storage_unavailable",
    KeysUnavailable: "keys_unavailable",
    SessionsUnavailable: "sessions_unavailable",
    ObjectMissing: "file_missing",
    Http404: "not_found",
    ObjectDoesNotExist: "not_found",
    PermissionDenied: "permission_denied",
    RequestDataTooBig: "too_large",
    SuspiciousOperation: "malformed",
}


def problem_body(code: str, detail: str = "", errors: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """The JSON object of a refusal; `code` is one of PROBLEMS."""
    status, usual = PROBLEMS[code]
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail or usual,
        "code": code,
        "errors": errors or [],
    }


def problem(
    code: str,
    detail: str = "",
    errors: list[dict[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    """A refusal as a response that no renderer, and no cache, has a say in."""
    body = problem_body(code, detail, errors)
    return HttpResponse(
        json.dumps(body),
        status=body["status"],
        headers={"Cache-Control": "no-store", **(headers or {})},
        content_type="application/problem+json",
    )


@csrf_exempt
def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Any path that no route has."""
    hint = "" if request.path.endswith("/") else " Every path of the API ends with a slash."
    return problem("not_found", f"There is no such path.{hint}")


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return problem("malformed")


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return problem("permission_denied")


def server_error(request: HttpRequest) -> HttpResponse:
    return problem("internal")


def answer(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """DRF's exception handler, and the middleware's. None for what nobody foresaw."""
    set_rollback()
    match error:
        case Refused():
            return problem(error.code, error.detail, headers=_retry_after(error.retry_after))
        case exceptions.ValidationError():
            return problem("invalid", errors=list(_flatten(error.get_full_details(), "#")))
        case exceptions.AuthenticationFailed() | exceptions.NotAuthenticated():
            return _unauthorised(error)
        case exceptions.Throttled():
            wait = math.ceil(getattr(error, "wait", None) or 1)
            return problem("throttled", str(error.detail), headers=_retry_after(wait))
        case exceptions.ParseError():
            return problem("malformed", str(error.detail))
        case exceptions.MethodNotAllowed():
            return problem("method_not_allowed", headers=_allow(context))
        case exceptions.APIException() if error.get_codes() in PROBLEMS:
            return problem(str(error.get_codes()))
    code = next((code for kind, code in FACTS.items() if isinstance(error, kind)), None)
    if code is None:
        return None
    if PROBLEMS[code][0] < 500:
        return problem(code)
    logger.warning("unavailable", exc_info=error)  # the client is not told what, the log is
    return problem(code, headers=_retry_after(RETRY_AFTER))


def _unauthorised(error: exceptions.APIException) -> HttpResponse:
    code = str(error.get_codes())
    challenge = 'Bearer realm="vivarium"'
    if code != "not_authenticated":
        challenge += ', error="invalid_token"'  # RFC 6750, 3.1: only when a token was sent
    return problem(code, headers={"WWW-Authenticate": challenge})


def _retry_after(seconds: int | None) -> dict[str, str]:
    return {"Retry-After": str(seconds)} if seconds else {}


def _allow(context: dict[str, Any]) -> dict[str, str]:
    return {"Allow": ", ".join(context["view"].allowed_methods)}


def _flatten(details: Any, pointer: str) -> Iterator[dict[str, str]]:
    """DRF's nested details as a flat list; each pointer is a JSON pointer in URI form (RFC 6901, 6)."""
    if isinstance(details, dict) and {"message", "code"} == details.keys():
        yield {"pointer": pointer, "code": str(details["code"]), "detail": str(details["message"])}
    elif isinstance(details, dict):
        for name, inner in details.items():
            here = pointer if name == "non_field_errors" else f"{pointer}/{name}"
            yield from _flatten(inner, here)
    else:
        for index, inner in enumerate(details):
            leaf = isinstance(inner, dict) and {"message", "code"} == inner.keys()
            yield from _flatten(inner, pointer if leaf else f"{pointer}/{index}")
