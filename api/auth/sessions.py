"""Whether the session behind a token still lives: asked of Supabase Auth before what weighs most.

A signature says that a token was good when it was issued, for up to an hour. With SUPABASE_CHECK_SESSIONS,
writes by staff and erasing ask whether its user has logged out or been banned since.
"""

import json
from datetime import datetime
from hashlib import sha256
from typing import Any

import structlog
from django.conf import settings
from django.core.cache import cache
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rest_framework.request import Request

from api.auth import supabase_auth
from api.auth.tokens import refused

KEPT = 10  # seconds that an answer counts for
DOWN = 5  # seconds without a new attempt after one that failed
REFUSALS = {401, 403, 404}  # no such session, a banned user, no such user

logger = structlog.get_logger("api.auth.sessions")


class SessionsUnavailable(Exception):
    """Supabase Auth did not say: this says nothing of the session."""


def lives(request: Request) -> bool:
    """True. Raises AuthenticationFailed for a session that has ended, SessionsUnavailable."""
    if settings.SUPABASE_CHECK_SESSIONS and not _is_alive(str(request.auth), str(request.user.pk)):
        raise refused("session_revoked")
    return True


def _is_alive(token: str, user: str) -> bool:
    name = f"session:{sha256(token.encode()).hexdigest()}"  # nobody who reads the cache can use it
    known = _cached(name)
    if known is None:
        if _cached("session:down"):
            raise SessionsUnavailable
        known = _asked(token, user)
        _keep(name, known, KEPT)
    return bool(known)


def _asked(token: str, user: str) -> bool:
    try:
        answer = supabase_auth.get(f"{settings.SUPABASE_JWT_ISSUER.rstrip('/')}/user", token)
        return _understood(answer, user)
    except (supabase_auth.SupabaseAuthUnavailable, ValueError, RecursionError) as error:
        logger.warning("session_not_checked", reason=str(error))
        _keep("session:down", True, DOWN)
        raise SessionsUnavailable from error


def _understood(answer: supabase_auth.Response, user: str) -> bool:
    """What `/user` says. Raises ValueError for what only a gateway, or another server, would answer.

    Supabase Auth puts `msg` into its refusals, gateways put `message`. Its versions before August 2026
    answer 200 for a banned user, with `banned_until`.
    """
    said = json.loads(answer.body)
    if answer.status in REFUSALS and isinstance(said, dict) and "msg" in said:
        return False
    if answer.status != 200 or not isinstance(said, dict) or said.get("id") != user:
        raise ValueError(f"status {answer.status}, and not about this user")
    return not _is_ahead(said.get("banned_until"))


def _is_ahead(moment: Any) -> bool:
    """Of a time in ISO 8601; one that cannot be read might be."""
    if not moment:
        return False
    read: datetime | None = parse_datetime(str(moment))
    return read is None or read.tzinfo is None or read > timezone.now()


def _cached(name: str) -> Any:
    try:
        return cache.get(name)
    except Exception as error:  # each cache raises its own
        logger.warning("sessions_not_cached", exc_info=error)
        return None


def _keep(name: str, value: bool, seconds: int) -> None:
    try:
        cache.set(name, value, timeout=seconds)
    except Exception as error:
        logger.warning("sessions_not_cached", exc_info=error)
