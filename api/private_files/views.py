"""PrivateFileViewSet, the base class of views of rows with a private file."""

from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.utils.translation import gettext, override
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import ModelViewSet

from api.auth.principal import principal_of
from api.compiled_queries import CompiledQueriesMixin
from api.conditional_requests import ConditionalMixin
from api.exceptions import Refused
from api.idempotency import IDEMPOTENCY_KEY, RecordKey, run_once
from api.permissions import IsOwnerOrReadOnly
from api.private_files import creation
from api.private_files.filters import PrivateFileFilters
from api.private_files.models import PrivateFileModel
from api.private_files.serializers import (
    DownloadURLsRequestSerializer,
    DownloadURLsSerializer,
    created_row_serializer,
    new_row_serializer,
)
from api.query_parameters import KnownParametersMixin
from api.throttling import FileRateThrottle, check_file_rate, check_ticket_rate
from api.uploads.attachments import delete_file, revoke_urls
from api.uploads.serializers import url_as_json
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
from storage.base import SignedURL
from storage.fields import UploadField

Created = tuple[PrivateFileModel, Ticket | None]

#: The actions whose responses have rows.
SHOWING_ROWS = ("list", "retrieve", "create", "update", "partial_update")


class PrivateFileViewSet(
    KnownParametersMixin,
    NoStoreMixin,
    ConditionalMixin,
    DeletionMixin,
    UploadURLMixin,
    DownloadURLMixin,
    CompiledQueriesMixin,
    ModelViewSet[Any],
):
    """Members read and change their own rows and files, staff those of all.

    The manager of the model has the method `visible_to`, which decides who may read which rows. A subclass
    sets `queryset` and `serializer_class`. Requests and responses with a file or ticket have serializers made
    from that class, unless it sets `new_serializer_class` and `created_serializer_class` too.
    """

    upload_field = download_field = "file"
    signed_images = ("owner.avatar",)
    unversioned = ("ticket",)
    permission_classes = (IsOwnerOrReadOnly,)
    filterset_class = PrivateFileFilters
    ordering_fields: Sequence[str] = ("created_at", "updated_at")
    new_serializer_class: ClassVar[Any] = None
    created_serializer_class: ClassVar[Any] = None
    problems = {
        "create": ["quota_exceeded", "resource_gone", "storage_unavailable", "throttled"],
        "update": ["file_missing", "storage_unavailable", "throttled"],
        "partial_update": ["file_missing", "storage_unavailable", "throttled"],
        "upload_url": ["quota_exceeded"],
        "file": ["file_missing"],
        "revoke_urls": ["file_missing", "storage_unavailable"],
        "download_urls": ["storage_unavailable"],
    }

    def __init_subclass__(cls, **options: Any) -> None:
        """Make the serializers that are missing, and describe the operations in the schema."""
        super().__init_subclass__(**options)
        if "serializer_class" in vars(cls):
            cls.new_serializer_class = vars(cls).get("new_serializer_class") or new_row_serializer(
                cls.serializer_class
            )
            cls.created_serializer_class = vars(cls).get("created_serializer_class") or (
                created_row_serializer(cls.serializer_class)
            )
            extend_schema_view(**_descriptions(cls))(cls)

    def get_queryset(self) -> QuerySet[Any]:
        rows: Any = self._model().objects.visible_to(principal_of(self.request))
        shown: QuerySet[Any] = rows.with_owner() if self.action in SHOWING_ROWS else rows
        return shown

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        declares_file = _declares_file(request.data)
        if declares_file:
            check_ticket_rate(request, self)
        row, ticket = run_once(request, self._create, self._created_before)
        context = {**self.get_serializer_context(), "ticket": ticket}
        serializer_class = self.created_serializer_class if declares_file else self.get_serializer_class()
        body = serializer_class(row, context=context).data
        headers = {**self.get_success_headers(body), **(NO_STORE if ticket else {})}
        return Response(body, status=201, headers=headers)

    def _create(self, record_key: RecordKey) -> Created:
        model = self._model()
        context = {**self.get_serializer_context(), "resource": model, "field_name": self.upload_field}
        serializer = self.new_serializer_class(data=self.request.data, context=context)
        serializer.is_valid(raise_exception=True)
        fields = serializer.validated_data
        declared = fields.pop("upload", None)
        row = model(owner_id=principal_of(self.request).id, **fields)
        return creation.create(row, declared, record_key)

    def _created_before(self, row_id: UUID) -> Created:
        row = self.get_queryset().filter(pk=row_id).first()
        if not row:
            raise Refused("resource_gone", gettext("What this request created has been deleted."))
        return row, reissue_created(row) if _declares_file(self.request.data) else None

    def get_success_headers(self, data: Any) -> dict[str, str]:
        return {"Location": reverse(f"{self.basename}-detail", args=[data["id"]], request=self.request)}

    def perform_update(self, serializer: BaseSerializer[Any]) -> None:
        row, changes = serializer.instance, serializer.validated_data
        placed_by = self._file_field().placed_by
        if any(changes.get(name, getattr(row, name)) != getattr(row, name) for name in placed_by):
            check_file_rate(self.request, self)  # its file is copied
        serializer.save()

    @extend_schema(
        summary="Delete the file",
        responses=DELETED,
        filters=False,
    )
    @action(detail=True, methods=["delete"])
    def file(self, request: Request, pk: str) -> Response:
        return deleted(delete_file(self.get_object(), self.upload_field))

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
        revoke_urls(self.get_object(), self.upload_field)
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
        keys = {row.pk: row.file.key for row in self.get_queryset().filter(pk__in=ids)}
        signed = self._file_field().storage.sign_downloads(
            [key for key in keys.values() if key], seconds=settings.DOWNLOAD_URL_TTL
        )
        results = [_download_url(row_id, keys.get(row_id), signed) for row_id in ids]
        return Response({"results": results}, headers=NO_STORE)

    def _file_field(self) -> UploadField:
        field: UploadField = self._model().upload_field(self.upload_field)
        return field

    def _model(self) -> Any:
        view: Any = self
        return view.queryset.model


def _descriptions(viewset: Any) -> dict[str, Any]:
    """Return the descriptions of the operations, with the name of the model: for `extend_schema_view`."""
    options = viewset.queryset.model._meta
    with override(None):
        one, many = str(options.verbose_name), str(options.verbose_name_plural)
    a = "an" if one[0] in "aeiou" else "a"
    return {
        "list": extend_schema(summary=f"List the {many} that you may see"),
        "create": extend_schema(
            summary=f"Create {a} {one}, and ask for a ticket for its file",
            description=f"With `upload`, the response has a ticket as `upload-url/` issues it. "
            f"{one.capitalize()} and ticket are created together, or neither. If the ticket is cancelled, "
            f"and the {one} never had a file, the {one} is deleted.\n\n"
            f"With an `Idempotency-Key`, a repeated request gets the same {one}, as it is now, and the same "
            "ticket with a new URL; `ticket` is null if there is nothing to send any more.",
            parameters=[IDEMPOTENCY_KEY],
            request=viewset.new_serializer_class,
            responses={201: viewset.created_serializer_class},
        ),
        "retrieve": extend_schema(summary=f"Read {a} {one}"),
        "update": extend_schema(summary=f"Replace {a} {one}'s fields"),
        "partial_update": extend_schema(summary=f"Change {a} {one}"),
        "destroy": extend_schema(summary=f"Delete {a} {one}, its file and its open tickets"),
        "upload_url": extend_schema(summary="Ask for a ticket to upload the file"),
        "download_url": extend_schema(summary="Get a URL to read the file"),
        "file": extend_schema(description=f"The {one} stays. 404 if it has no file."),
    }


def _declares_file(body: Any) -> bool:
    return isinstance(body, dict) and body.get("upload") is not None


def _download_url(row_id: UUID, key: str | None, signed: dict[str, SignedURL]) -> dict[str, Any]:
    """Return one result. `key` is None for a row that does not exist or that the caller may not see."""
    if key is None:
        return {"id": row_id, "code": "not_found"}
    if key not in signed:
        return {"id": row_id, "code": "file_missing"}
    return {"id": row_id, **url_as_json(signed[key])}
