"""Who may act. What they may see is the queryset's business, and the rule of a row stands on its model."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.views import APIView

from api.uploads.models import Upload


class MayChange(IsAuthenticated):
    """Members read what the queryset shows them, and change what its model lets them."""

    def has_object_permission(self, request: Request, view: APIView, obj: Any) -> bool:
        return request.method in SAFE_METHODS or obj.may_be_changed_by(request.user)


class StaffKeeps(BasePermission):
    """Everybody reads what the queryset shows them; staff write. Who has no token is asked for one."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.method in SAFE_METHODS or bool(request.user.is_authenticated and request.user.is_staff)


class OwnTickets(IsAuthenticated):
    """Staff look at anybody's and act on their own; and a ticket does not outlive the right to it."""

    def has_object_permission(self, request: Request, view: APIView, obj: Upload) -> bool:
        if request.method in SAFE_METHODS:
            return True
        if obj.owner != request.user.pk:
            return False
        return obj.is_settled or obj.resource is None or obj.resource.may_be_changed_by(request.user)
