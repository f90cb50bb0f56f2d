"""The views of documents, with tickets for their files and signed URLs to read them."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.utils.translation import gettext
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import ModelViewSet

from api.auth.principal import principal_of
from api.conditional_requests import ConditionalMixin
from api.documents import creation
from api.documents.filters import DocumentFilters
from api.documents.models import Document
from api.documents.serializers import (
    CreatedDocumentSerializer,
    DocumentSerializer,
    DownloadURLsRequestSerializer,
    DownloadURLsSerializer,
    NewDocumentSerializer,
)
from api.exceptions import Refused
from api.idempotency import IDEMPOTENCY_KEY, RecordKey, run_once
from api.permissions import IsOwnerOrReadOnly
from api.query_parameters import KnownParametersMixin
from api.throttling import FileRateThrottle, check_file_rate, check_ticket_rate
from api.uploads.attachments import delete_file, revoke_urls
from api.uploads.serializers import DownloadURLSerializer
from api.uploads.tickets import Ticket, reissue_created
from api.uploads.views import (
    DELETED,
    NO_STORE,
    DeletionMixin,
    DownloadURLMixin,
    NoStoreMixin,
    UploadURLMixin,
    deleted,
)
from storage.base import SignedURL, store_of

Created = tuple[Document, Ticket | None]

#: The actions whose responses have documents.
SHOWING_DOCUMENTS = ("list", "retrieve", "create", "update", "partial_update")


@extend_schema_view(
    list=extend_schema(summary="List the documents that you may see"),
    create=extend_schema(
        summary="Create a document, and ask for a ticket for its file",
        description="With `upload`, the response has a ticket as `upload-url/` issues it. Document and "
        "ticket are created together, or neither. If the ticket is cancelled, and the document never had a "
        "file, the document is deleted.\n\n"
        "With an `Idempotency-Key`, a repeated request gets the same document, as it is now, and the same "
        "ticket with a new URL; `ticket` is null if there is nothing to send any more.",
        parameters=[IDEMPOTENCY_KEY],
        request=NewDocumentSerializer,
        responses={201: CreatedDocumentSerializer},
    ),
    retrieve=extend_schema(summary="Read a document"),
    update=extend_schema(summary="Replace a document's fields"),
    partial_update=extend_schema(
        summary="Change a document",
        description="A change of `visibility` invalidates all download URLs issued before. 503 until the old "
        "object is deleted: repeat the request.",
    ),
    destroy=extend_schema(summary="Delete a document, its file and its open tickets"),
    upload_url=extend_schema(summary="Ask for a ticket to upload the file"),
    download_url=extend_schema(summary="Get a URL to read the file"),
)
@extend_schema(tags=["documents"])
class DocumentViewSet(
    KnownParametersMixin,
    NoStoreMixin,
    ConditionalMixin,
    DeletionMixin,
    UploadURLMixin,
    DownloadURLMixin,
    ModelViewSet[Document],
):
    upload_field = download_field = "file"
    signed_images = ("owner.avatar",)
    unversioned = ("ticket",)
    serializer_class = DocumentSerializer
    permission_classes = (IsOwnerOrReadOnly,)
    filterset_class = DocumentFilters
    search_fields = ("search_text",)
    ordering_fields = ("title", "category", "created_at", "updated_at")
    problems = {
        "create": ["quota_exceeded", "resource_gone", "storage_unavailable", "throttled"],
        "update": ["file_missing", "storage_unavailable", "throttled"],
        "partial_update": ["file_missing", "storage_unavailable", "throttled"],
        "upload_url": ["quota_exceeded"],
        "file": ["file_missing"],
        "revoke_urls": ["file_missing", "storage_unavailable"],
        "download_urls": ["storage_unavailable"],
    }
    queryset = Document.objects.none()

    def get_queryset(self) -> QuerySet[Document]:
        documents = Document.objects.visible_to(principal_of(self.request))
        return documents.with_owner() if self.action in SHOWING_DOCUMENTS else documents

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        declares_file = _declares_file(request.data)
        if declares_file:
            check_ticket_rate(request, self)
        document, ticket = run_once(request, self._create, self._created_before)
        context = {**self.get_serializer_context(), "ticket": ticket}
        serializer_class = CreatedDocumentSerializer if declares_file else DocumentSerializer
        body = serializer_class(document, context=context).data
        headers = {**self.get_success_headers(body), **(NO_STORE if ticket else {})}
        return Response(body, status=201, headers=headers)

    def _create(self, record_key: RecordKey) -> Created:
        context = {**self.get_serializer_context(), "resource": Document, "field_name": self.upload_field}
        serializer = NewDocumentSerializer(data=self.request.data, context=context)
        serializer.is_valid(raise_exception=True)
        fields = serializer.validated_data
        declared = fields.pop("upload", None)
        return creation.create(principal_of(self.request).id, fields, declared, record_key)

    def _created_before(self, document_id: UUID) -> Created:
        document = self.get_queryset().filter(pk=document_id).first()
        if not document:
            detail = gettext("The document that this request created has been deleted.")
            raise Refused("resource_gone", detail)
        return document, reissue_created(document) if _declares_file(self.request.data) else None

    def get_success_headers(self, data: Any) -> dict[str, str]:
        return {"Location": reverse("document-detail", args=[data["id"]], request=self.request)}

    def perform_update(self, serializer: BaseSerializer[Document]) -> None:
        document: Any = serializer.instance
        if serializer.validated_data.get("visibility", document.visibility) != document.visibility:
            check_file_rate(self.request, self)  # its file is copied
        serializer.save()

    @extend_schema(
        summary="Delete the file",
        description="The document stays. 404 if it has no file.",
        responses=DELETED,
        filters=False,
    )
    @action(detail=True, methods=["delete"])
    def file(self, request: Request, pk: str) -> Response:
        return deleted(delete_file(self.get_object(), "file"))

    @extend_schema(
        summary="Invalidate all download URLs issued before",
        description="The file gets a new key. Ask for a new `download-url/` afterwards. 503 until the old "
        "object is deleted: repeat the request.",
        request=None,
        responses={204: None},
        filters=False,
    )
    @action(detail=True, methods=["post"], url_path="revoke-urls", throttle_classes=[FileRateThrottle])
    def revoke_urls(self, request: Request, pk: str) -> Response:
        revoke_urls(self.get_object(), "file")
        return Response(status=204)

    @extend_schema(
        summary="Get URLs to read up to 100 files",
        request=DownloadURLsRequestSerializer,
        responses=DownloadURLsSerializer,
        filters=False,
    )
    @action(detail=False, methods=["post"], url_path="download-urls", permission_classes=[IsAuthenticated])
    def download_urls(self, request: Request) -> Response:
        serializer = DownloadURLsRequestSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        ids = serializer.validated_data["ids"]
        keys = {document.pk: document.file.key for document in self.get_queryset().filter(pk__in=ids)}
        signed = store_of("documents").sign_downloads(
            [key for key in keys.values() if key], seconds=settings.DOWNLOAD_URL_TTL
        )
        results = [_download_url(document_id, keys.get(document_id), signed) for document_id in ids]
        return Response({"results": results}, headers=NO_STORE)


def _declares_file(body: Any) -> bool:
    return isinstance(body, dict) and body.get("upload") is not None


def _download_url(document_id: UUID, key: str | None, signed: dict[str, SignedURL]) -> dict[str, Any]:
    """Return one result. `key` is None for a document that does not exist or that the caller may not see."""
    if key is None:
        return {"id": document_id, "code": "not_found"}
    if key not in signed:
        return {"id": document_id, "code": "file_missing"}
    return {"id": document_id, **DownloadURLSerializer(signed[key]).data}
