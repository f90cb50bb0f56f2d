"""Finds out whose request it is, by the access token."""

import re
from dataclasses import dataclass

import jwt
from django.http import HttpRequest
from rest_framework.exceptions import AuthenticationFailed

from api.auth.local import sessions
from api.auth.local.models import LocalSession, LocalUser
from api.auth.tokens import decode
from api.auth_server.errors import AuthError, Refusal, invalid
from api.base_models import parse_uuid

BEARER = re.compile(r"[Bb]earer (\S+)")
BAD_JWT = Refusal(403, "bad_jwt", "invalid JWT: unable to parse or verify signature")


@dataclass(frozen=True, slots=True)
class Caller:
    """The session is None for a token without one, such as those of `manage.py issue_token`."""

    user: LocalUser
    session: LocalSession | None


def caller(request: HttpRequest) -> Caller:
    """Return whose request it is. Raises AuthError, LocalUser.DoesNotExist, LocalSession.DoesNotExist.

    The checks have the order of the real server, so that the same error comes first.
    """
    bearer = BEARER.fullmatch(request.headers.get("Authorization", ""))
    if bearer is None:
        raise AuthError(Refusal(401, "no_authorization", "This endpoint requires a Bearer token"))
    try:
        claims, _ = decode(bearer[1])
    except (AuthenticationFailed, jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError):
        raise AuthError(BAD_JWT) from None
    user_id = parse_uuid(str(claims["sub"]))
    if user_id is None:
        raise AuthError(Refusal(400, "bad_jwt", "invalid claim: sub claim must be a UUID"))
    user = LocalUser.objects.get(pk=user_id)
    if parse_uuid(str(claims.get("session_id") or user_id)) is None:
        raise AuthError(BAD_JWT)
    session = sessions.find(claims)
    if request.headers.get("X-JWT-AUD", claims["aud"]) != claims["aud"]:
        raise AuthError(invalid("Token audience doesn't match request audience"))
    return Caller(user, session)
