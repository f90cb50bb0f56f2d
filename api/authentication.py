"""A Supabase access token becomes a principal: no database query, and no call once the keys are known."""

from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from api.access_tokens import refused, verify


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
            raise refused("token_invalid")
        return principal(verify(token.strip())), token.strip()

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
