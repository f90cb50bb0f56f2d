"""Tickets: read them, complete them, give them up. They are issued where the resource is."""

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils.decorators import method_decorator
from django.views.decorators.vary import vary_on_headers
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet

from api.authentication import principal_of
from api.lists import StrictOrdering
from api.permissions import OwnTickets
from api.refusals import Refused
from api.throttles import Completions
from api.uploads import lifecycle
from api.uploads.models import Upload
from api.uploads.serializers import DownloadURL, TicketSerializer, UploadRequest, UploadSerializer

DOWNLOAD = OpenApiParameter(
    "download",
    str,
    description="Absent: the browser shows the file. Empty: it saves it under its original name. "
    "Else: under this name.",
    allow_blank=True,
)


@extend_schema_view(
    list=extend_schema(summary="List your tickets"),
    retrieve=extend_schema(summary="Read a ticket"),
    destroy=extend_schema(summary="Give a ticket up", description="Repeatable. 409 once it is completed."),
)
@extend_schema(tags=["uploads"])
@method_decorator(vary_on_headers("Accept-Language"), name="dispatch")  # why one was refused is told in words
class UploadViewSet(mixins.RetrieveModelMixin, mixins.ListModelMixin, GenericViewSet[Upload]):
    serializer_class = UploadSerializer
    permission_classes = (OwnTickets,)
    filter_backends = (StrictOrdering,)
    ordering_fields = ("created_at", "expires_at")
    queryset = Upload.objects.none()

    def get_queryset(self) -> QuerySet[Upload]:
        return Upload.objects.visible_to(principal_of(self.request)).prefetch_related("resource")

    def destroy(self, request: Request, pk: str) -> Response:
        lifecycle.give_up(self.get_object())
        return Response(status=204)

    @extend_schema(
        summary="Complete a ticket",
        description=(
            "Call this after the file is sent: it is verified, and recorded on its resource. The answer is "
            "the same however often you ask."
        ),
        request=None,
        responses=UploadSerializer,
    )
    @action(detail=True, methods=["post"], throttle_classes=[Completions])
    def complete(self, request: Request, pk: str) -> Response:
        upload = lifecycle.complete(self.get_object())
        return Response(self.get_serializer(upload).data)


def issue_ticket(view: GenericViewSet[Any], field_name: str) -> Response:
    """The answer of every `upload-url/`: a ticket for this field of the view's object."""
    resource = view.get_object()
    announced = UploadRequest(data=view.request.data, context={"field": resource._meta.get_field(field_name)})
    announced.is_valid(raise_exception=True)
    ticket = lifecycle.issue(resource, field_name, principal_of(view.request).id, **announced.validated_data)
    shape: BaseSerializer[Any] = TicketSerializer(ticket, context=view.get_serializer_context())
    location = reverse("upload-detail", args=[ticket.upload.pk], request=view.request)
    return Response(shape.data, status=201, headers={"Location": location, "Cache-Control": "no-store"})


def issue_download(view: GenericViewSet[Any], field_name: str) -> Response:
    """The answer of every `download-url/`: where this file of the view's object is read for a while."""
    resource = view.get_object()
    field = resource._meta.get_field(field_name)
    key = field.key_of(resource)
    if not key:
        raise Refused("file_missing")
    name = view.request.query_params.get("download")
    if name == "":
        name = (getattr(resource, field.facts_field) or {}).get("name", "")
    signed = field.storage.sign_download(key, seconds=settings.DOWNLOAD_URL_TTL, filename=name)
    return Response(DownloadURL(signed).data, headers={"Cache-Control": "no-store"})
