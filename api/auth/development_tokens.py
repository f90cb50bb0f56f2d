"""Access tokens such as Supabase Auth would issue, for development and tests."""

import time
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import jwt
from django.conf import settings


def member_id(email: str) -> UUID:
    """The same address is always the same member, on every machine."""
    return uuid5(NAMESPACE_URL, f"mailto:{email.strip().lower()}")


def development_token(
    email: str, *, sub: UUID | None = None, role: str = "", seconds: int = 3600, service: bool = False
) -> str:
    """What Supabase Auth would issue, signed with the JWT secret. `role` goes into `app_metadata`."""
    now = int(time.time())
    claims: dict[str, Any] = {"iss": settings.SUPABASE_JWT_ISSUER, "iat": now, "exp": now + seconds}
    if service:
        claims["role"] = "service_role"
    else:
        claims |= {
            "aud": settings.SUPABASE_JWT_AUDIENCE,
            "sub": str(sub or member_id(email)),
            "role": "authenticated",
            "email": email,
            "phone": "",
            "app_metadata": {"provider": "email", "providers": ["email"]} | ({"role": role} if role else {}),
            "user_metadata": {},
            "aal": "aal1",
            "is_anonymous": False,
        }
    return jwt.encode(claims, settings.SUPABASE_JWT_SECRET, algorithm="HS256")
