"""A Supabase access token becomes a principal: no database query, and no call once the keys are known.

What is checked, and why, follows what Supabase Auth puts into its tokens and what else it signs with
the same key: ID tokens, API keys and signed-URL tokens, which only `aud`, `sub` and `role` keep out.
"""

from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import jwt
from django.conf import settings
from django.http import HttpRequest
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from api.signing_keys import public_key

ASYMMETRIC = ["ES256", "RS256", "EdDSA"]
LEEWAY = 20  # seconds that two clocks may differ
MAX_TOKEN = 8192  # characters; Supabase's are about 1,000
REQUIRED = ["exp", "iat", "iss", "aud", "sub", "role"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. Made from a verified token alone; the rights of staff never come from the user's own data."""

    id: UUID
    is_staff: bool = False

    is_authenticated = True

    @property
    def pk(self) -> UUID:
        return self.id


class SupabaseAuthentication(BaseAuthentication):
    """`Authorization: Bearer <access token>`. No header is a visitor; anything else wrong is 401."""

    def authenticate(self, request: Request) -> tuple[Principal, str] | None:
        header = request.META.get("HTTP_AUTHORIZATION")
        if header is None:
            return None
        scheme, _, token = header.strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise _refused("token_invalid")
        return principal(verify(token.strip())), token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="vivarium"'


class BearerScheme(OpenApiAuthenticationExtension):
    """How the OpenAPI schema says it."""

    target_class = SupabaseAuthentication
    name = "supabase"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A Supabase access token; locally, `manage.py issue_token` prints one.",
        }


def verify(token: str) -> dict[str, Any]:
    """The claims of a genuine access token. Raises AuthenticationFailed, KeysUnavailable.

    The two families of keys never meet: each branch has its own key and its own algorithms, so no
    public key can pass for a secret. What the header says only picks the branch.
    """
    if len(token) > MAX_TOKEN:
        raise _refused("token_invalid")
    try:
        header = jwt.get_unverified_header(token)
        algorithm = header.get("alg")
        if algorithm in ASYMMETRIC and settings.SUPABASE_JWKS_URL:
            claims = _decode(token, public_key(header.get("kid", "")), ASYMMETRIC)
        elif algorithm == "HS256" and settings.SUPABASE_JWT_SECRET:
            claims = _decode(token, settings.SUPABASE_JWT_SECRET, ["HS256"])
        else:
            raise _refused("token_invalid")
    except jwt.ExpiredSignatureError:
        raise _refused("token_expired") from None
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError):
        raise _refused("token_invalid") from None
    if claims["role"] != "authenticated" or not _is_uuid(claims["sub"]):
        raise _refused("token_invalid")
    if claims.get("is_anonymous") and not settings.SUPABASE_ALLOW_ANONYMOUS:
        raise _refused("anonymous_not_allowed")
    if claims.get("client_id") and not settings.SUPABASE_ALLOW_OAUTH_CLIENTS:
        raise _refused("client_not_allowed")
    return claims


def principal(claims: dict[str, Any]) -> Principal:
    """Staff by `app_metadata`, which only servers write; never a person unknown, or an app in between."""
    app_metadata = claims.get("app_metadata")
    role = app_metadata.get("role") if isinstance(app_metadata, dict) else None
    direct = not claims.get("is_anonymous") and not claims.get("client_id")
    is_staff = direct and isinstance(role, str) and role in settings.SUPABASE_STAFF_ROLES
    return Principal(UUID(claims["sub"]), is_staff)


def principal_of(request: HttpRequest | Request) -> Principal:
    """`request.user` as what it is wherever a permission has let no visitor in."""
    return cast(Principal, request.user)


def _decode(token: str, key: Any, algorithms: list[str]) -> dict[str, Any]:
    return jwt.decode(
        token,
        key,
        algorithms=algorithms,
        issuer=settings.SUPABASE_JWT_ISSUER,
        audience=settings.SUPABASE_JWT_AUDIENCE,
        leeway=LEEWAY,
        options={"require": REQUIRED},
    )


def _is_uuid(value: Any) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value.lower()
    except ValueError:
        return False


def _refused(code: str) -> AuthenticationFailed:
    return AuthenticationFailed(code=code)
