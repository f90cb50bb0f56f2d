"""The views of tickets, and mixins that add tickets and download URLs to the viewset of a resource."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from django.utils.decorators import method_decorator
from django.views.decorators.vary import vary_on_headers
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.throttling import BaseThrottle
from rest_framework.viewsets import GenericViewSet

from api.auth.principal import principal_of
from api.base_models import Resource
from api.compiled_queries import CompiledQueriesMixin
from api.conditional_requests import ConditionalMixin
from api.filters import FilterBackend, StrictOrderingFilter
from api.idempotency import IDEMPOTENCY_KEY, RecordKey, record_nothing, run_once
from api.query_parameters import KnownParametersMixin
from api.text import drop_invisible
from api.throttling import CompletionRateThrottle, TicketRateThrottle, check_completion_rate
from api.uploads import lifecycle, tickets
from api.uploads.attachments import delete_row
from api.uploads.completions import complete_all
from api.uploads.filters import UploadFilters
from api.uploads.models import Upload
from api.uploads.permissions import IsTicketOwner, MayUseTicket
from api.uploads.problems import NOT_COMPLETED, NOTHING_TO_SEND
from api.uploads.serializers import (
    CompletionsRequestSerializer,
    CompletionsSerializer,
    DownloadURLSerializer,
    TicketSerializer,
    UploadRequestSerializer,
    UploadSerializer,
    url_as_json,
)
from api.uploads.tickets import Ticket
from storage.fields import StoredFile, stored_file

Check = Callable[[], None]

NO_STORE = {"Cache-Control": "no-store"}
DELETED = {
    204: OpenApiResponse(description="Deleted, and so are the files."),
    202: OpenApiResponse(description="Deleted. The file storage failed: the files are deleted soon."),
}
TICKET: dict[str, Any] = {  # the schema of requests for a ticket
    "parameters": [IDEMPOTENCY_KEY],
    "request": UploadRequestSerializer,
    "responses": {201: TicketSerializer, 200: UploadSerializer},
}
DOWNLOAD = OpenApiParameter(
    "download",
    str,
    description="Absent: browsers show the file. Empty: they save it under its original name. "
    "Otherwise: they save it under this name.",
    allow_blank=True,
)


@extend_schema_view(
    list=extend_schema(summary="List your tickets"),
    retrieve=extend_schema(summary="Read a ticket"),
    destroy=extend_schema(
        operation_id="cancelUpload",
        summary="Cancel a ticket",
        description="Idempotent. 409 if it is completed. If a document was created together with the ticket, "
        "never had a file, and has no other ticket that may bring one, it is deleted too.",
        responses=DELETED,
    ),
)
@extend_schema(tags=["uploads"])
@method_decorator(vary_on_headers("Accept-Language"), name="dispatch")  # `problem.detail` is translated
class UploadViewSet(
    KnownParametersMixin,
    ConditionalMixin,
    CompiledQueriesMixin,
    mixins.RetrieveModelMixin,
    mixins.ListModelMixin,
    GenericViewSet[Upload],
    compiles_queries=True,
):
    serializer_class = UploadSerializer
    permission_classes = (IsTicketOwner,)
    filter_backends = (FilterBackend, StrictOrderingFilter)
    filterset_class = UploadFilters
    ordering_fields = ("created_at", "updated_at", "expires_at")
    problems = {
        "destroy": ["ticket_completed", "verification_in_progress"],
        "complete": NOT_COMPLETED,
        "complete_many": ["throttled"],
        "ticket": NOTHING_TO_SEND,
    }
    queryset = Upload.objects.none()

    def get_queryset(self) -> QuerySet[Upload]:
        tickets = Upload.objects.visible_to(principal_of(self.request))
        return tickets.with_processing().prefetch_related("resource")

    def get_throttles(self) -> list[BaseThrottle]:
        return [CompletionRateThrottle()] if self.action == "destroy" else super().get_throttles()

    def destroy(self, request: Request, pk: str) -> Response:
        upload = self.get_object()
        lifecycle.cancel(upload)
        return deleted(lifecycle.remove_objects(upload))

    @extend_schema(
        summary="Complete a ticket",
        description=(
            "Call this after the file is sent: the file is verified and recorded on its resource. "
            "Idempotent: repeated calls get the same answer."
        ),
        request=None,
        responses=UploadSerializer,
    )
    @action(detail=True, methods=["post"], throttle_classes=[CompletionRateThrottle])
    def complete(self, request: Request, pk: str) -> Response:
        upload = lifecycle.complete(self.get_object())
        return Response(self.get_serializer(upload).data)

    @extend_schema(
        summary="Complete up to 50 tickets",
        description=(
            "The results are in the order of `ids`. Each is what the request for this ticket alone would "
            "have got; the failure of one changes nothing for the others. What there was no time for has the "
            "problem `not_ready`: ask again for these. 429 if so many are not allowed now: nothing is done."
        ),
        request=CompletionsRequestSerializer,
        responses=CompletionsSerializer,
        filters=False,
    )
    @action(detail=False, methods=["post"], url_path="complete")
    def complete_many(self, request: Request) -> Response:
        asked = CompletionsRequestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        ids = asked.validated_data["ids"]
        check_completion_rate(request, self, len(ids))
        found = self.get_queryset().in_bulk(ids)

        def get_upload(upload_id: UUID) -> Upload:
            if upload_id not in found:
                raise Http404
            self.check_object_permissions(request, found[upload_id])
            return found[upload_id]

        results = {"results": complete_all(ids, get_upload)}
        return Response(CompletionsSerializer(results, context=self.get_serializer_context()).data)

    @extend_schema(
        summary="Get an open ticket again",
        description=(
            "The ticket with a new URL for the same `path`, for a client that has lost it or whose URL has "
            "expired; a resumable upload that was interrupted goes on there. The ticket then expires later. "
            "Only for the owner of the ticket. 409, or the 422 of `complete`, if there is nothing to send."
        ),
        responses=TicketSerializer,
        filters=False,
    )
    @action(
        detail=True,
        methods=["get"],
        throttle_classes=[TicketRateThrottle],
        permission_classes=[MayUseTicket],
    )
    def ticket(self, request: Request, pk: str) -> Response:
        ticket = tickets.sign_anew(self.get_object())
        return Response(TicketSerializer(ticket, context={"request": request}).data, headers=NO_STORE)


def deleted(is_gone: bool) -> Response:
    """Return 204 if all objects are gone, 202 if the sweep deletes them."""
    return Response(status=204 if is_gone else 202)


class DeletionMixin:
    """Deletes a row of a viewset together with its objects and open tickets."""

    @extend_schema(responses=DELETED)
    def destroy(self: Any, request: Request, **lookup: str) -> Response:
        return deleted(delete_row(self.get_object()))


class TicketMixin:
    """Issues tickets for the files of resources."""

    def issue_ticket(
        self: Any, request: Request, resource: Resource, field_name: str, check: Check | None = None
    ) -> Response:
        """Issue a ticket. `check` is called in the transaction that creates it, and may raise Refused."""
        issue = partial(_issue, request, resource, field_name, check)
        found = run_once(request, issue, partial(tickets.reissue, resource=resource))
        context = self.get_serializer_context()
        if isinstance(found, Upload):
            location = reverse("upload-detail", args=[found.pk], request=request)
            body, status = UploadSerializer(found, context=context).data, 200
        else:
            body, status = TicketSerializer(found, context=context).data, 201
            location = body["complete_url"].removesuffix("complete/")
        return Response(body, status=status, headers={**NO_STORE, "Location": location})


class UploadURLMixin(TicketMixin):
    """Adds `upload-url/` to a viewset, which issues a ticket for the field `upload_field`.

    `upload_fields` are all fields that clients have tickets for: `upload-rules/` has their rules.
    """

    upload_field: str
    upload_fields: Sequence[str] = ()  # by default `upload_field`
    problems = {"upload_url": ["storage_unavailable"]}

    @extend_schema(
        description="With an `Idempotency-Key`, a repeated request gets the same ticket, with a new URL. "
        "If there is nothing to send any more, it gets 200 and the upload: call `uploads/{id}/complete/`.",
        **TICKET,
    )
    @action(detail=True, methods=["post"], url_path="upload-url", throttle_classes=[TicketRateThrottle])
    def upload_url(self: Any, request: Request, **lookup: str) -> Response:
        ticket: Response = self.issue_ticket(request, self.get_object(), self.upload_field)
        return ticket


def _issue(
    request: Request, resource: Resource, field_name: str, check: Check | None, record_key: RecordKey
) -> Ticket | Upload:
    """Validate the request and issue a ticket."""

    def on_create(upload_id: UUID) -> None:
        record_key(upload_id)
        if check:
            check()

    context = {"resource": resource, "field_name": field_name}
    declared = UploadRequestSerializer(data=request.data, context=context)
    declared.is_valid(raise_exception=True)
    does_nothing = check is None and record_key is record_nothing
    ticket: Ticket = declared.save(
        owner=principal_of(request).id, on_create=None if does_nothing else on_create
    )
    return ticket


class NoStoreMixin:
    """For views whose responses may have signed URLs, which no cache may keep.

    A serializer that signs some sets `has_signed_urls`.
    """

    has_signed_urls = False

    def finalize_response(self, request: Request, response: Any, *args: Any, **options: Any) -> Any:
        response = super().finalize_response(request, response, *args, **options)  # type: ignore[misc]
        if self.has_signed_urls:
            response.headers.setdefault("Cache-Control", "no-store")
        return response


class DownloadURLMixin:
    """Adds `download-url/` to a viewset, which returns a signed URL for the field `download_field`."""

    download_field: str
    problems = {"download_url": ["file_missing", "storage_unavailable"]}

    @extend_schema(parameters=[DOWNLOAD], responses=DownloadURLSerializer, filters=False)
    @action(detail=True, methods=["get"], url_path="download-url", query_parameters=["download"])
    def download_url(self: Any, request: Request, **lookup: str) -> Response:
        return signed_url(request, stored_file(self.get_object(), self.download_field))


def signed_url(request: Request, file: StoredFile) -> Response:
    """Return a URL to read the file, under the name that the query parameter `download` asks for."""
    name = request.query_params.get("download")
    signed = file.signed_url(name and drop_invisible(name))
    return Response(url_as_json(signed), headers=NO_STORE)
