"""Who may act. What they may see is the queryset's business."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, IsAuthenticated
from rest_framework.request import Request
from rest_framework.views import APIView


class OwnerOrStaffChanges(IsAuthenticated):
    """Members read what the queryset shows them; only the owner and staff change it."""

    def has_object_permission(self, request: Request, view: APIView, obj: Any) -> bool:
        return request.method in SAFE_METHODS or request.user.is_staff or obj.owner_id == request.user.id


class OwnerChanges(IsAuthenticated):
    """Staff may look at anybody's, but act on their own only."""

    def has_object_permission(self, request: Request, view: APIView, obj: Any) -> bool:
        return request.method in SAFE_METHODS or obj.owner == request.user.id
