"""Recognizes the kind of a Supabase API key by its format. Signatures are not verified."""

import re
import time
from dataclasses import dataclass
from typing import Literal

from storage.supabase.well_known_keys import is_published, unverified_claims

KeyKind = Literal["secret", "publishable", "service_role", "anon", "authenticated", "unknown"]
LEGACY_ROLES: tuple[KeyKind, ...] = ("service_role", "anon", "authenticated")  # `role` of legacy keys (JWTs)
#: A prefix, random characters and a checksum. The dashboard makes keys with 31 characters after the prefix.
SECRET_KEY_PATTERN = re.compile(r"sb_secret_[A-Za-z0-9_-]{16,}")


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
    is_demo = is_published(key)
    if key.startswith("sb_secret_"):
        return ApiKey("secret", is_demo=is_demo)
    if key.startswith("sb_publishable_"):
        return ApiKey("publishable", is_demo=is_demo)
    claims = unverified_claims(key)
    kind: KeyKind = next((role for role in LEGACY_ROLES if claims.get("role") == role), "unknown")
    expires = claims.get("exp")
    return ApiKey(
        kind,
        ref=str(claims.get("ref") or ""),
        is_demo=is_demo,
        is_expired=isinstance(expires, int | float) and expires < time.time(),
    )


def has_form_of_secret_key(key: str) -> bool:
    """Return True for `sb_secret_…`, and for a JWT unless its role is one that has few permissions."""
    if SECRET_KEY_PATTERN.fullmatch(key):
        return True
    claims = unverified_claims(key)
    return bool(claims) and claims.get("role") not in ("anon", "authenticated")
