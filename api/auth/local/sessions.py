"""Starts, refreshes and ends the sessions of the local Auth server, and issues their access tokens."""

import re
import time
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from datetime import timedelta
from hmac import compare_digest
from typing import Any
from uuid import UUID

import jwt
from django.conf import settings
from django.utils import timezone

from api.auth.local.models import COUNTER_SIZE, LocalSession, LocalUser
from api.auth.local.signing_key import sign
from api.base_models import parse_uuid

LIFETIME = 3600  # seconds of an access token
REUSE_INTERVAL = timedelta(seconds=10)  # as in hosted projects
#: Ours, or those of version 1 of Supabase Auth, which are well-formed but unknown here.
REFRESH_TOKEN = re.compile(r"[\w-]{48}|[a-z0-9]{12}", re.ASCII)
UUID_SIZE = 16  # bytes


class RefreshTokenMalformed(Exception):
    """No server has issued this refresh token."""


class RefreshTokenUnknown(Exception):
    """The session of the refresh token has ended, or another server has issued it."""


class RefreshTokenUsed(Exception):
    """The refresh token was used before, and its session is ended now: one of two users has stolen it."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """`expires_at` of the access token, in seconds since 1970."""

    session: LocalSession
    access_token: str
    expires_at: int
    refresh_token: str


def start(user: LocalUser, method: str) -> Tokens:
    """Start a session. `method` is how the user signed in: `password` or `anonymous`."""
    session = LocalSession.objects.create(user=user, method=method)
    user.update({"last_sign_in_at": session.created_at})
    return _issue(session)


def refresh(refresh_token: str) -> Tokens:
    """Return the next tokens of the session.

    A used refresh token gets the current one if it is the one before it, so that a client can repeat a
    request whose response was lost; and any if the session was refreshed within REUSE_INTERVAL, so that
    several tabs can refresh at once. Raises RefreshTokenMalformed, RefreshTokenUnknown, RefreshTokenUsed.
    """
    session, counter = _parse(refresh_token)
    try:
        is_current = session.rotate(counter)
    except LocalSession.DoesNotExist:
        raise RefreshTokenUnknown from None
    if not is_current:
        _check_reuse(session, counter)
    return _issue(session)


def end(user: LocalUser, session: LocalSession | None, scope: str) -> None:
    """End the sessions of the user: `local` only this one, `others` all but this one, `global` all.

    Without a session all end, whatever the scope is.
    """
    sessions = user.sessions.all()
    if session is not None and scope == "local":
        sessions = sessions.filter(pk=session.pk)
    elif session is not None and scope == "others":
        sessions = sessions.exclude(pk=session.pk)
    sessions.delete()


def find(claims: dict[str, Any]) -> LocalSession | None:
    """Return the session of an access token with these claims, None if there is none. Raises DoesNotExist.

    The tokens of `manage.py issue_token` have no session.
    """
    session_id = parse_uuid(str(claims.get("session_id") or UUID(int=0)))
    if session_id is None:
        raise LocalSession.DoesNotExist
    if session_id.int == 0:
        return None
    return LocalSession.objects.get(pk=session_id, user=parse_uuid(str(claims["sub"])))


def is_active(token: str) -> bool:
    """Return False if the session of this access token has ended. The token has been verified before."""
    try:
        find(jwt.decode(token, options={"verify_signature": False}))
    except LocalSession.DoesNotExist:
        return False
    return True


def _issue(session: LocalSession) -> Tokens:
    now = int(time.time())
    claims = _claims(session.user, session) | {"iat": now, "exp": now + LIFETIME}
    return Tokens(session, sign(claims), now + LIFETIME, session.refresh_token())


def _claims(user: LocalUser, session: LocalSession) -> dict[str, Any]:
    """Return the claims without the times, as Supabase Auth writes them."""
    return {
        "iss": settings.SUPABASE_JWT_ISSUER,
        "sub": str(user.pk),
        "aud": settings.SUPABASE_JWT_AUDIENCE,
        "email": user.email,
        "phone": "",
        "app_metadata": user.app_metadata,
        "user_metadata": user.user_metadata,
        "role": "authenticated",
        "aal": "aal1",
        "amr": [{"method": session.method, "timestamp": int(session.created_at.timestamp())}],
        "session_id": str(session.pk),
        "is_anonymous": user.is_anonymous,
    }


def _parse(refresh_token: str) -> tuple[LocalSession, int]:
    """Return the session and the number of the token."""
    if not REFRESH_TOKEN.fullmatch(refresh_token):
        raise RefreshTokenMalformed
    content = urlsafe_b64decode(refresh_token)
    session_id = UUID(bytes=content[:UUID_SIZE].ljust(UUID_SIZE))
    counter = int.from_bytes(content[UUID_SIZE : UUID_SIZE + COUNTER_SIZE], "big")
    session = LocalSession.objects.select_related("user").filter(pk=session_id).first()
    if session is None or not compare_digest(session.refresh_token(counter), refresh_token):
        raise RefreshTokenUnknown
    return session, counter


def _check_reuse(session: LocalSession, counter: int) -> None:
    """Raise RefreshTokenUsed, and end the session, unless the token may be used again.

    Raise RefreshTokenMalformed for a token that will be the current one later: the database was restored.
    """
    if counter > session.counter:
        raise RefreshTokenMalformed
    since = timezone.now() - session.refreshed_at
    if session.counter - counter > 1 and since >= REUSE_INTERVAL:
        session.delete()
        raise RefreshTokenUsed
    LocalSession.objects.filter(pk=session.pk).update(refreshed_at=timezone.now())
