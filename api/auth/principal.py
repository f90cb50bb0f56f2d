"""Principal, the class of `request.user` in requests with an access token."""

from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request

MAX_EMAIL = 320  # characters


@dataclass(frozen=True, slots=True)
class Principal:
    """The user of a verified access token. Made from its claims alone, without a database query."""

    id: UUID
    is_staff: bool = False
    email: str = field(default="", repr=False)

    is_authenticated = True

    @property
    def pk(self) -> UUID:
        return self.id


def principal_from_claims(claims: dict[str, Any]) -> Principal:
    """Return the principal of these verified claims.

    Staff are recognised by `app_metadata.role`, which only servers can write. Anonymous users and OAuth
    clients are never staff.
    """
    app_metadata = claims.get("app_metadata")
    role = app_metadata.get("role") if isinstance(app_metadata, dict) else None
    is_user = not claims.get("is_anonymous") and not claims.get("client_id")
    is_staff = is_user and isinstance(role, str) and role in settings.SUPABASE_STAFF_ROLES
    return Principal(UUID(claims["sub"]), is_staff, _email(claims.get("email")))


def _email(claim: object) -> str:
    """Return the claim if it is an address that can be shown, else ""."""
    is_shown = isinstance(claim, str) and len(claim) <= MAX_EMAIL and "@" in claim and claim.isprintable()
    return str(claim) if is_shown else ""


def principal_of(request: HttpRequest | Request) -> Principal:
    """Return `request.user` with its type, for views whose permissions require an access token."""
    return cast(Principal, request.user)
