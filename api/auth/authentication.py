"""A Supabase access token becomes a principal: no database query, and no call once the keys are known."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from api.auth.principal import Principal, principal
from api.auth.tokens import refused, verify


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
