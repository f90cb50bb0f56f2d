"""Recognizes the kind of a Supabase API key by its format. Signatures are not verified."""

import time
from dataclasses import dataclass
from typing import Any, Literal

import jwt
from django.conf import settings

KeyKind = Literal["secret", "publishable", "service_role", "anon", "authenticated", "unknown"]
LEGACY_ROLES: tuple[KeyKind, ...] = ("service_role", "anon", "authenticated")  # `role` of legacy keys (JWTs)
DEMO_ISSUER = "supabase-demo"  # `iss` of the legacy keys that `supabase start` and Docker Compose print


@dataclass(frozen=True, slots=True)
class ApiKey:
    """`ref`: the project reference, "" if unknown; only the legacy keys of hosted projects contain it."""

    kind: KeyKind
    ref: str = ""
    is_demo: bool = False
    is_expired: bool = False

    @property
    def is_secret(self) -> bool:
        """True for a key that has all permissions."""
        return self.kind in ("secret", "service_role")


def parse(key: str) -> ApiKey:
    """Return the kind of the key; an unreadable key is of the kind "unknown"."""
    is_demo = key in settings.WELL_KNOWN
    if key.startswith("sb_secret_"):
        return ApiKey("secret", is_demo=is_demo)
    if key.startswith("sb_publishable_"):
        return ApiKey("publishable", is_demo=is_demo)
    claims = _claims(key)
    kind: KeyKind = next((role for role in LEGACY_ROLES if claims.get("role") == role), "unknown")
    expires = claims.get("exp")
    return ApiKey(
        kind,
        ref=str(claims.get("ref") or ""),
        is_demo=is_demo or claims.get("iss") == DEMO_ISSUER,
        is_expired=isinstance(expires, int | float) and expires < time.time(),
    )


def _claims(key: str) -> dict[str, Any]:
    """Return the unverified claims of a JWT; {} for any other text."""
    try:
        return jwt.decode(key, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        return {}
