"""Direct upload from a form of the admin: the very tickets of the API, for who is logged in there.

JSON for the admin's own script: a session instead of a token, and problems instead of pages. No byte
of a file comes here.
"""

from typing import Any
from uuid import UUID, uuid5

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.http import Http404
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext, override
from rest_framework.authentication import SessionAuthentication
from rest_framework.generics import get_object_or_404
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.exceptions import Refused
from api.throttling import Completions, Tickets
from api.uploads import lifecycle
from api.uploads.models import Upload
from api.uploads.serializers import TicketSerializer, UploadRequest, UploadSerializer
from storage.fields import stored_file

NO_STORE = {"Cache-Control": "no-store"}
#: The namespace of `keeper`. With another one, the tickets that are open would be nobody's.
ADMIN_OWNERS = UUID("e83ff84f-be66-48be-acaf-15e9b71ebc3b")


def admin_owner_id(user: AbstractBaseUser | AnonymousUser) -> UUID:
    """Who owns the tickets of a user of the admin, who is no member and has no UUID of Supabase's.

    Made of the primary key, so that it stays when the name changes, and is never a member's: theirs
    are random, and this one is the hash of a name in a namespace of its own (RFC 9562, 5.5).
    """
    return uuid5(ADMIN_OWNERS, str(user.pk))


class AdminTicketSerializer(TicketSerializer):
    """The API's ticket, which is completed where it was asked for."""

    def get_complete_url(self, ticket: lifecycle.Ticket) -> str:
        opts = ticket.upload.model()._meta
        name = f"admin:{opts.app_label}_{opts.model_name}_complete"
        url: str = self.context["request"].build_absolute_uri(
            reverse(name, args=[ticket.upload.object_id, ticket.upload.pk])
        )
        return url


class HasChangePermission(BasePermission):
    def has_permission(self, request: Request, view: Any) -> bool:
        site, model_admin = view.model_admin.admin_site, view.model_admin
        return bool(site.has_permission(request) and model_admin.has_change_permission(request))


class AdminView(APIView):
    schema = None  # no part of the API
    authentication_classes = (SessionAuthentication,)  # asks for the CSRF token
    permission_classes = (HasChangePermission,)
    model_admin: Any = None
    field_name = ""

    def permission_denied(self, request: Request, message: Any = None, code: Any = None) -> Any:
        raise Refused("permission_denied", gettext("Log in with an account that may change this."))


class TicketView(AdminView):
    throttle_classes = (Tickets,)

    def post(self, request: Request, object_id: str) -> Response:
        """Issue a ticket to send this row's file straight to storage."""
        row: Model | None = self.model_admin.get_object(request, object_id)
        if row is None:
            raise Http404
        declared = UploadRequest(data=request.data, context={"file": stored_file(row, self.field_name)})
        declared.is_valid(raise_exception=True)
        ticket = declared.save(owner=admin_owner_id(request.user))
        shape = AdminTicketSerializer(ticket, context={"request": request})
        return Response(shape.data, status=201, headers=NO_STORE)


class CompletionView(AdminView):
    throttle_classes = (Completions,)

    def post(self, request: Request, object_id: str, ticket_id: str) -> Response:
        """The answer of the API, and where the picture is seen."""
        own = Upload.objects.filter(owner=admin_owner_id(request.user), field_name=self.field_name)
        kind = ContentType.objects.get_for_model(self.model_admin.model)
        upload = get_object_or_404(own, pk=ticket_id, object_id=object_id, content_type=kind)
        completed = lifecycle.complete(upload)
        if not upload.is_settled:
            self._log(request, completed)
        body = UploadSerializer(completed, context={"request": request}).data
        return Response({**body, "image_url": _url(completed)}, headers=NO_STORE)

    def _log(self, request: Request, completed: Upload) -> None:
        if completed.resource is not None:
            with override(None):  # the history is translated where it is read
                changed = [{"changed": {"fields": [str(completed.field().verbose_name)]}}]
            self.model_admin.log_change(request, completed.resource, changed)


def _url(completed: Upload) -> str | None:
    """None when the row was deleted since."""
    file = getattr(completed.resource, completed.field_name, None)
    return file.url if file else None


def ticket_urls(model_admin: Any, field_name: str) -> list[URLPattern]:
    """The routes of a form that sends a file for this field."""
    name = f"{model_admin.opts.app_label}_{model_admin.opts.model_name}"
    options = {"model_admin": model_admin, "field_name": field_name}
    return [
        path("<str:object_id>/ticket/", TicketView.as_view(**options), name=f"{name}_ticket"),
        path(
            "<str:object_id>/ticket/<str:ticket_id>/complete/",
            CompletionView.as_view(**options),
            name=f"{name}_complete",
        ),
    ]
