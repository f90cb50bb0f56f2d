"""Permission classes.

Querysets decide which rows a caller may see, and `may_be_changed_by` of a row decides who may change it.

`problems(method, is_of_one_row)` returns the codes of the problems that a permission leads to, for the
OpenAPI schema.
"""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.views import APIView

from api.auth.principal import Principal
from api.auth.sessions import check_session
from api.base_models import owned_models

VISITOR = ("not_authenticated",)
SESSION = ("session_revoked", "sessions_unavailable")
DENIED = ("permission_denied",)


class IsOwnerOrReadOnly(IsAuthenticated):
    """Members may read what the queryset returns, and change the rows whose model allows it."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return super().has_permission(request, view) and has_active_session(request)

    def has_object_permission(self, request: Request, view: APIView, obj: Any) -> bool:
        return request.method in SAFE_METHODS or obj.may_be_changed_by(request.user)

    def problems(self, method: str, is_of_one_row: bool) -> tuple[str, ...]:
        if method in SAFE_METHODS:
            return VISITOR
        return VISITOR + SESSION + (DENIED if is_of_one_row else ())


class IsStaffOrReadOnly(BasePermission):
    """Everybody may read what the queryset returns; staff may write. Visitors get 401, members 403."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if request.method in SAFE_METHODS:
            return True
        return bool(request.user.is_authenticated and request.user.is_staff) and has_active_session(request)

    def problems(self, method: str, is_of_one_row: bool) -> tuple[str, ...]:
        return () if method in SAFE_METHODS else VISITOR + SESSION + DENIED


class IsStaff(BasePermission):
    """Staff only. Visitors get 401, members 403."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return bool(request.user.is_authenticated and request.user.is_staff)

    def problems(self, method: str, is_of_one_row: bool) -> tuple[str, ...]:
        return VISITOR + DENIED


def permissions_of(principal: Principal) -> list[str]:
    """Return what the API lets this member do, for clients that show what is possible."""
    return staff_permissions() if principal.is_staff else member_permissions()


def member_permissions() -> list[str]:
    return [f"add_{name}" for name in _owned()]


def staff_permissions() -> list[str]:
    change = ("change_catalogue", *(f"change_all_{name}s" for name in _owned()))
    return [*member_permissions(), *change, "view_all_profiles", "view_all_uploads"]


def _owned() -> list[str]:
    """Return the names of the models whose rows belong to members, as documents do."""
    return [str(model._meta.model_name) for model in owned_models()]


def has_active_session(request: Request) -> bool:
    """Return True if the session is active. Only write requests by staff are checked: others stay fast.

    Raises the same errors as `check_session`.
    """
    return request.method in SAFE_METHODS or not request.user.is_staff or check_session(request)
