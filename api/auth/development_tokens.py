"""Issues access tokens like those of Supabase Auth, for development and tests."""

import time
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import jwt
from django.conf import settings


def member_id(email: str) -> UUID:
    """Return a UUID made from the email address: the same on every machine."""
    return uuid5(NAMESPACE_URL, f"mailto:{email.strip().lower()}")


def development_token(
    email: str, *, sub: UUID | None = None, role: str = "", seconds: int = 3600, service: bool = False
) -> str:
    """Return an access token signed with SUPABASE_JWT_SECRET, valid for `seconds`.

    `role` is written to `app_metadata`. `service` makes a service key for Storage instead.
    """
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
