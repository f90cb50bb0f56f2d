"""The JSON of users and sessions. Empty times are left out, and other empty values are never null."""

from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from api.auth.local.models import LocalUser
from api.auth.local.sessions import LIFETIME, Tokens


def session_json(tokens: Tokens) -> dict[str, Any]:
    return {
        "access_token": tokens.access_token,
        "token_type": "bearer",
        "expires_in": LIFETIME,
        "expires_at": tokens.expires_at,
        "refresh_token": tokens.refresh_token,
        "user": user_json(tokens.session.user),
    }


def user_json(user: LocalUser) -> dict[str, Any]:
    times = {
        "email_confirmed_at": user.confirmed_at,
        "confirmed_at": user.confirmed_at,
        "last_sign_in_at": user.last_sign_in_at,
    }
    return {
        "id": str(user.pk),
        "aud": settings.SUPABASE_JWT_AUDIENCE,
        "role": "authenticated",
        "email": user.email,
        "phone": "",
        **{name: _time(time) for name, time in times.items() if time},
        "app_metadata": user.app_metadata,
        "user_metadata": user.user_metadata,
        "identities": [] if user.is_anonymous else [_identity(user)],
        "created_at": _time(user.created_at),
        "updated_at": _time(user.updated_at),
        "is_anonymous": user.is_anonymous,
    }


def _identity(user: LocalUser) -> dict[str, Any]:
    about = {"sub": str(user.pk), "email": user.email, "email_verified": True, "phone_verified": False}
    created = user.confirmed_at or user.created_at
    return {
        "identity_id": str(user.identity_id),
        "id": str(user.pk),
        "user_id": str(user.pk),
        "identity_data": {**user.sign_up_data, **about},
        "provider": "email",
        "last_sign_in_at": _time(user.last_sign_in_at or created),
        "created_at": _time(created),
        "updated_at": _time(created),
        "email": user.email,
    }


def _time(time: datetime) -> str:
    """Return the time in RFC 3339, with a fraction and `Z`."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
