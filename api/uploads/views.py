"""Tickets: read, completed and cancelled here; the mixins issue them where the resource is."""

from typing import Any

from django.db.models import QuerySet
from django.utils.decorators import method_decorator
from django.views.decorators.vary import vary_on_headers
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.viewsets import GenericViewSet

from api.auth.principal import principal_of
from api.filters import StrictOrdering
from api.throttling import Completions, Tickets
from api.uploads import lifecycle
from api.uploads.models import Upload
from api.uploads.permissions import IsTicketOwner
from api.uploads.serializers import DownloadURL, TicketSerializer, UploadRequest, UploadSerializer
from storage.fields import stored_file

NO_STORE = {"Cache-Control": "no-store"}
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
    permission_classes = (IsTicketOwner,)
    filter_backends = (StrictOrdering,)
    ordering_fields = ("created_at", "expires_at")
    queryset = Upload.objects.none()

    def get_queryset(self) -> QuerySet[Upload]:
        return Upload.objects.visible_to(principal_of(self.request)).prefetch_related("resource")

    def destroy(self, request: Request, pk: str) -> Response:
        lifecycle.cancel(self.get_object())
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


class UploadURLMixin:
    """Adds `upload-url/` to a viewset: a ticket for the file of the field `upload_field`."""

    upload_field: str

    @extend_schema(request=UploadRequest, responses={201: TicketSerializer})
    @action(detail=True, methods=["post"], url_path="upload-url", throttle_classes=[Tickets])
    def upload_url(self: Any, request: Request, **lookup: str) -> Response:
        file = stored_file(self.get_object(), self.upload_field)
        declared = UploadRequest(data=request.data, context={"file": file})
        declared.is_valid(raise_exception=True)
        ticket = declared.save(owner=principal_of(request).id)
        shape = TicketSerializer(ticket, context=self.get_serializer_context())
        location = reverse("upload-detail", args=[ticket.upload.pk], request=request)
        return Response(shape.data, status=201, headers={**NO_STORE, "Location": location})


class DownloadURLMixin:
    """Adds `download-url/` to a viewset: a signed URL for the file of the field `download_field`."""

    download_field: str

    @extend_schema(parameters=[DOWNLOAD], responses=DownloadURL, filters=False)
    @action(detail=True, methods=["get"], url_path="download-url")
    def download_url(self: Any, request: Request, **lookup: str) -> Response:
        file = stored_file(self.get_object(), self.download_field)
        signed = file.signed_url(request.query_params.get("download"))
        return Response(DownloadURL(signed).data, headers=NO_STORE)
