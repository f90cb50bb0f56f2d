"""DRF authentication by Supabase access tokens: no database query, and no call once the keys are cached."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from api.auth.principal import Principal
from api.auth.tokens import TokenInvalid
from api.auth.verified_tokens import principal_of_token


class SupabaseAuthentication(BaseAuthentication):
    """`Authorization: Bearer <access token>`. Without the header the request is a visitor's.

    A header that has no valid access token is refused with 401.
    """

    def authenticate(self, request: Request) -> tuple[Principal, str] | None:
        header = request.META.get("HTTP_AUTHORIZATION")
        if header is None:
            return None
        scheme, _, token = header.strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise TokenInvalid("header", "Bearer and an access token")
        return principal_of_token(token.strip()), token.strip()

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="vivarium"'


class BearerScheme(OpenApiAuthenticationExtension):
    """Describes the authentication in the OpenAPI schema."""

    target_class = SupabaseAuthentication
    name = "supabase"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A Supabase access token; locally, `manage.py issue_token` prints one.",
        }
