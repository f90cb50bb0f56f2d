"""Who may read and act on a ticket."""

from rest_framework.permissions import SAFE_METHODS, IsAuthenticated
from rest_framework.request import Request
from rest_framework.views import APIView

from api.permissions import session_lives
from api.uploads.models import Upload


class IsTicketOwner(IsAuthenticated):
    """Staff look at anybody's and act on their own; and a ticket does not outlive the right to it."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return super().has_permission(request, view) and session_lives(request)

    def has_object_permission(self, request: Request, view: APIView, obj: Upload) -> bool:
        if request.method in SAFE_METHODS:
            return True
        if obj.owner != request.user.pk:
            return False
        return obj.is_settled or obj.resource is None or obj.resource.may_be_changed_by(request.user)
