"""Which kind of API key a text is, as far as its looks tell: nothing here is verified."""

import time
from dataclasses import dataclass
from typing import Any, Literal

import jwt
from django.conf import settings

Kind = Literal["secret", "publishable", "service_role", "anon", "authenticated", "unknown"]
LEGACY: tuple[Kind, ...] = ("service_role", "anon", "authenticated")  # JSON web tokens; these are their roles
DEMO_ISSUER = "supabase-demo"  # of the legacy keys that `supabase start` and the compose stack print


@dataclass(frozen=True, slots=True)
class ApiKey:
    """`ref`: the project, if the key says; only legacy keys of hosted projects do."""

    kind: Kind
    ref: str = ""
    demo: bool = False
    expired: bool = False

    @property
    def may_do_all(self) -> bool:
        return self.kind in ("secret", "service_role")


def read(key: str) -> ApiKey:
    demo = key in settings.WELL_KNOWN
    if key.startswith("sb_secret_"):
        return ApiKey("secret", demo=demo)
    if key.startswith("sb_publishable_"):
        return ApiKey("publishable", demo=demo)
    claims = _claims(key)
    kind: Kind = next((role for role in LEGACY if claims.get("role") == role), "unknown")
    expires = claims.get("exp")
    return ApiKey(
        kind,
        ref=str(claims.get("ref") or ""),
        demo=demo or claims.get("iss") == DEMO_ISSUER,
        expired=isinstance(expires, int | float) and expires < time.time(),
    )


def _claims(key: str) -> dict[str, Any]:
    try:
        return jwt.decode(key, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        return {}
