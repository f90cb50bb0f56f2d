"""The permission class of tickets."""

from rest_framework.permissions import SAFE_METHODS, IsAuthenticated
from rest_framework.request import Request
from rest_framework.views import APIView

from api.auth.sessions import check_session
from api.permissions import DENIED, SESSION, VISITOR, has_active_session
from api.uploads.models import Upload


class IsTicketOwner(IsAuthenticated):
    """The owner of a ticket may act on it, for as long as the owner may change its resource.

    Staff may read the tickets of others (see `UploadQuerySet.visible_to`).
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        return super().has_permission(request, view) and has_active_session(request)

    def has_object_permission(self, request: Request, view: APIView, obj: Upload) -> bool:
        return request.method in SAFE_METHODS or self.may_act(request, obj)

    def may_act(self, request: Request, obj: Upload) -> bool:
        if obj.owner != request.user.pk:
            return False
        return obj.is_settled or obj.resource is None or obj.resource.may_be_changed_by(request.user)

    def problems(self, method: str, is_of_one_row: bool) -> tuple[str, ...]:
        if method in SAFE_METHODS:
            return VISITOR
        return VISITOR + SESSION + (DENIED if is_of_one_row else ())


class MayUseTicket(IsTicketOwner):
    """The same for a response that has the token of the ticket: to read it is to act on the ticket."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not super().has_permission(request, view):
            return False
        return not request.user.is_staff or check_session(request)

    def has_object_permission(self, request: Request, view: APIView, obj: Upload) -> bool:
        return self.may_act(request, obj)

    def problems(self, method: str, is_of_one_row: bool) -> tuple[str, ...]:
        return VISITOR + SESSION + DENIED
