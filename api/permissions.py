"""Who may act. What they may see is the queryset's business, and the rule of a row stands on its model."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.views import APIView

from api.auth import sessions


class IsOwnerOrReadOnly(IsAuthenticated):
    """Members read what the queryset shows them, and change what its model lets them."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return super().has_permission(request, view) and session_lives(request)

    def has_object_permission(self, request: Request, view: APIView, obj: Any) -> bool:
        return request.method in SAFE_METHODS or obj.may_be_changed_by(request.user)


class IsStaffOrReadOnly(BasePermission):
    """Everybody reads what the queryset shows them; staff write. Who has no token is asked for one."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if request.method in SAFE_METHODS:
            return True
        return bool(request.user.is_authenticated and request.user.is_staff) and session_lives(request)


def session_lives(request: Request) -> bool:
    """Whoever writes as staff is asked of Supabase Auth, if so configured. Reads, and members, never pay."""
    return request.method in SAFE_METHODS or not request.user.is_staff or sessions.lives(request)
