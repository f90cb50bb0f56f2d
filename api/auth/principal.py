"""Who is calling: what `request.user` is."""

from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. Made from a verified token alone; the rights of staff never come from the user's own data."""

    id: UUID
    is_staff: bool = False

    is_authenticated = True

    @property
    def pk(self) -> UUID:
        return self.id


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
