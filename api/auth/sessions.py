"""Checks with Supabase Auth that the session of an access token is still active, before important actions.

A signature only proves that the token was valid when it was issued, up to an hour ago. With
SUPABASE_CHECK_SESSIONS, writes by staff and the erasure of a member also check that the user has not logged
out or been banned since.
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
from api.auth.local import sessions as local_sessions
from api.auth.tokens import authentication_failed

CACHE_SECONDS = 10  # for which an answer is cached
COOLDOWN = 5  # seconds without a new call after one that failed
INACTIVE_STATUSES = {401, 403, 404}  # no such session, a banned user, no such user

logger = structlog.get_logger("api.auth.sessions")


class SessionsUnavailable(Exception):
    """Supabase Auth gave no usable answer. This says nothing about the session."""


def check_session(request: Request) -> bool:
    """Return True if the session is active, or is not to be checked.

    Raises AuthenticationFailed if it has ended, and SessionsUnavailable.
    """
    if settings.SUPABASE_CHECK_SESSIONS and not _is_active(str(request.auth), str(request.user.pk)):
        raise authentication_failed("session_revoked")
    return True


def _is_active(token: str, user: str) -> bool:
    if settings.LOCAL_AUTH:  # a request to this server itself could wait for ever
        return local_sessions.is_active(token)
    name = f"session:{sha256(token.encode()).hexdigest()}"  # a hash: the cache must not hold tokens
    active = _cache_get(name)
    if active is None:
        if _cache_get("session:down"):
            raise SessionsUnavailable
        active = _fetch_is_active(token, user)
        _cache_set(name, active, CACHE_SECONDS)
    return bool(active)


def _fetch_is_active(token: str, user: str) -> bool:
    try:
        response = supabase_auth.get(f"{settings.SUPABASE_JWT_ISSUER.rstrip('/')}/user", token)
        return _parse(response, user)
    except (supabase_auth.SupabaseAuthUnavailable, ValueError, RecursionError) as error:
        logger.warning("session_check_failed", outage="auth", exc_info=error)
        _cache_set("session:down", True, COOLDOWN)
        raise SessionsUnavailable from error


def _parse(response: supabase_auth.Response, user: str) -> bool:
    """Return True if `/user` says that the session is active. Raises ValueError for any other answer.

    Supabase Auth has `msg` in its errors; an error without it comes from a gateway, which writes `message`.
    Versions of Supabase Auth before August 2026 answer 200 for a banned user, with `banned_until`.
    """
    body = json.loads(response.body)
    if response.status in INACTIVE_STATUSES and isinstance(body, dict) and "msg" in body:
        return False
    if response.status != 200 or not isinstance(body, dict) or body.get("id") != user:
        raise ValueError(f"status {response.status}, and not about this user")
    return not _is_in_future(body.get("banned_until"))


def _is_in_future(value: Any) -> bool:
    """Return True if the ISO 8601 time is in the future; unreadable values count as future."""
    if not value:
        return False
    time: datetime | None = parse_datetime(str(value))
    return time is None or time.tzinfo is None or time > timezone.now()


def _cache_get(name: str) -> Any:
    try:
        return cache.get(name)
    except Exception as error:  # each cache backend has its own exceptions
        logger.warning("session_cache_failed", outage="cache", exc_info=error)
        return None


def _cache_set(name: str, value: bool, seconds: int) -> None:
    try:
        cache.set(name, value, timeout=seconds)
    except Exception as error:
        logger.warning("session_cache_failed", outage="cache", exc_info=error)
