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


#: What the API lets members and staff do, for clients that show what is possible.
MEMBER_PERMISSIONS = ("add_document",)
STAFF_PERMISSIONS = (
    *MEMBER_PERMISSIONS,
    "change_catalogue",
    "change_all_documents",
    "view_all_profiles",
    "view_all_uploads",
)


def permissions_of(principal: Principal) -> list[str]:
    return list(STAFF_PERMISSIONS if principal.is_staff else MEMBER_PERMISSIONS)


def has_active_session(request: Request) -> bool:
    """Return True if the session is active. Only write requests by staff are checked: others stay fast.

    Raises the same errors as `check_session`.
    """
    return request.method in SAFE_METHODS or not request.user.is_staff or check_session(request)
