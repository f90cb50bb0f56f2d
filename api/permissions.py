"""Who may act. What a caller may see is decided by the querysets, and who may change a row by its model."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.views import APIView

from api.auth.sessions import check_session


class IsOwnerOrReadOnly(IsAuthenticated):
    """Members may read what the queryset returns, and change the rows whose model allows it."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return super().has_permission(request, view) and has_active_session(request)

    def has_object_permission(self, request: Request, view: APIView, obj: Any) -> bool:
        return request.method in SAFE_METHODS or obj.may_be_changed_by(request.user)


class IsStaffOrReadOnly(BasePermission):
    """Everybody may read what the queryset returns; staff may write. Visitors get 401, members 403."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if request.method in SAFE_METHODS:
            return True
        return bool(request.user.is_authenticated and request.user.is_staff) and has_active_session(request)


def has_active_session(request: Request) -> bool:
    """Check the session of staff who write. Other requests are never checked, so that they stay fast.

    Raises as `check_session` does.
    """
    return request.method in SAFE_METHODS or not request.user.is_staff or check_session(request)
