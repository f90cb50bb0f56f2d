"""Direct upload from a form of the admin, with the same tickets as the API.

The views answer the admin's script (`upload.js`) in JSON. Users are authenticated by their session, and
errors are `application/problem+json`. The script sends the file straight to storage.
"""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID, uuid5

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.http import Http404
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext, override
from django.views.decorators.cache import cache_control
from rest_framework.authentication import SessionAuthentication
from rest_framework.generics import get_object_or_404
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.exceptions import Refused
from api.throttling import CompletionRateThrottle, TicketRateThrottle
from api.uploads import lifecycle
from api.uploads.models import Upload
from api.uploads.serializers import TicketSerializer, UploadRequestSerializer, UploadSerializer
from api.uploads.tickets import Ticket

#: The UUID namespace of `admin_owner_id`. If it changed, the open tickets would lose their owners.
ADMIN_OWNERS = UUID("e83ff84f-be66-48be-acaf-15e9b71ebc3b")


def admin_owner_id(user: AbstractBaseUser | AnonymousUser) -> UUID:
    """Return the owner of the tickets of a user of the admin, who has no Supabase account.

    It is made from the primary key, so it stays the same if the user name changes. It never equals the id of
    a member: those are random, and this is a hash in a namespace of its own (RFC 9562, 5.5).
    """
    return uuid5(ADMIN_OWNERS, str(user.pk))


class AdminTicketSerializer(TicketSerializer):
    """The API's ticket. `complete_url` is a path in the admin, on the host that the browser uses."""

    def get_complete_url(self, ticket: Ticket) -> str:
        opts = ticket.upload.model()._meta
        name = f"admin:{opts.app_label}_{opts.model_name}_complete"
        return reverse(name, args=[ticket.upload.object_id, ticket.upload.pk])


class HasChangePermission(BasePermission):
    def has_permission(self, request: Request, view: Any) -> bool:
        site, model_admin = view.model_admin.admin_site, view.model_admin
        return bool(site.has_permission(request) and model_admin.has_change_permission(request))


@method_decorator(cache_control(no_store=True), name="dispatch")
class AdminView(APIView):
    schema = None  # not in the OpenAPI schema
    authentication_classes = (SessionAuthentication,)  # requires the CSRF token
    permission_classes = (HasChangePermission,)
    model_admin: Any = None
    field_name = ""
    check: Callable[[Any], None] | None = None

    def permission_denied(self, request: Request, message: Any = None, code: Any = None) -> Any:
        raise Refused("permission_denied", gettext("Log in with an account that may change this."))


class TicketView(AdminView):
    throttle_classes = (TicketRateThrottle,)

    def post(self, request: Request, object_id: str) -> Response:
        """Issue a ticket for the file of this row."""
        row: Model | None = self.model_admin.get_object(request, object_id)
        if row is None:
            raise Http404
        context = {"resource": row, "field_name": self.field_name}
        declared = UploadRequestSerializer(data=request.data, context=context)
        declared.is_valid(raise_exception=True)
        on_create = self.check and partial(_call, self.check, row)
        ticket = declared.save(owner=admin_owner_id(request.user), on_create=on_create)
        return Response(AdminTicketSerializer(ticket, context={"request": request}).data, status=201)


class CompletionView(AdminView):
    throttle_classes = (CompletionRateThrottle,)

    def post(self, request: Request, object_id: str, ticket_id: str) -> Response:
        """Complete a ticket; answer as the API does."""
        own = Upload.objects.filter(owner=admin_owner_id(request.user), field_name=self.field_name)
        content_type = ContentType.objects.get_for_model(self.model_admin.model)
        upload = get_object_or_404(own, pk=ticket_id, object_id=object_id, content_type=content_type)
        completed = lifecycle.complete(upload)
        if not upload.is_settled:
            self._log_added_file(request, completed)
        return Response(UploadSerializer(completed, context={"request": request}).data)

    def _log_added_file(self, request: Request, completed: Upload) -> None:
        if completed.resource is not None:
            with override(None):  # untranslated: Django translates the history when it is displayed
                name = str(completed.field().verbose_name)
            added = [{"added": {"name": name, "object": completed.declared["filename"]}}]
            self.model_admin.log_change(request, completed.resource, added)


def _call(check: Callable[[Any], None], row: Model, ticket_id: UUID) -> None:
    check(row)


def ticket_urls(
    model_admin: Any, field_name: str, *, check: Callable[[Any], None] | None = None
) -> list[URLPattern]:
    """Return the URLs that a form needs to upload files with tickets of this `field_name`.

    `check` is called with the row, in the transaction that creates a ticket, and may raise Refused.
    """
    name = f"{model_admin.opts.app_label}_{model_admin.opts.model_name}"
    options = {"model_admin": model_admin, "field_name": field_name}
    return [
        path("<str:object_id>/ticket/", TicketView.as_view(**options, check=check), name=f"{name}_ticket"),
        path(
            "<str:object_id>/ticket/<str:ticket_id>/complete/",
            CompletionView.as_view(**options),
            name=f"{name}_complete",
        ),
    ]
