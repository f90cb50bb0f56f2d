"""Serializers of rows with a private file, of new ones with a ticket, and of download URLs."""

from typing import Any, TypeVar
from uuid import UUID

from drf_spectacular.utils import (
    OpenApiExample,
    PolymorphicProxySerializer,
    extend_schema_field,
    extend_schema_serializer,
)
from rest_framework import serializers

from api import schema_examples
from api.pictures.serializers import IMAGE
from api.private_files.models import PrivateFileModel
from api.profiles.avatars import SignedImageSerializer, avatar_image, shown_rows, signed_avatars
from api.serializer_fields import CanonicalUUIDField, ModelSerializer
from api.uploads.attachments import update_row
from api.uploads.serializers import (
    DECLARATION,
    SIGNED,
    TICKET,
    FileFactsSerializer,
    TicketSerializer,
    UploadRequestSerializer,
)
from storage.fields import FileFacts

#: The fields of every row with a private file, for `Meta.fields`.
FILE_FIELDS = ("owner", "file", "created_at", "updated_at")

OWNER = {
    "id": "6c1f9a52-6f0a-5d7e-9b7e-2f6a3c0d9b11",
    "display_name": "Alice",
    "avatar": {
        **IMAGE,
        "alt": {"en": "Alice", "es": "Alice"},
        "credit": "",
        "expires_at": "2026-11-21T02:50:07Z",
    },
}
FILE = {
    "name": "guía.pdf",
    "size": 5120,
    "content_type": "application/pdf",
    "sha256": "9f86…0a08",
    "uploaded_at": "2026-11-21T02:45:07Z",
}

Row = TypeVar("Row", bound=PrivateFileModel)


class OwnerSerializer(serializers.Serializer[Any]):
    """The member whose document it is."""

    id = serializers.UUIDField()
    display_name = serializers.CharField(allow_blank=True)
    avatar = SignedImageSerializer(allow_null=True)


class PrivateFileSerializer(ModelSerializer[Row]):
    # No docstring: the schema would describe each subclass by it.

    example_values = {"owner": OWNER, "file": FILE}

    owner = serializers.SerializerMethodField()
    file = serializers.SerializerMethodField(help_text="null until a ticket is completed")

    @extend_schema_field(OwnerSerializer)
    def get_owner(self, row: Row) -> dict[str, Any]:
        """Return what members see of the owner. It is made once for all rows of the response."""
        context: Any = self.context
        owners: dict[UUID, dict[str, Any]] = context.setdefault("owners", {})
        shown_owner = owners.get(row.owner_id)
        if shown_owner is None:
            signed = signed_avatars(context, lambda: [shown.owner for shown in shown_rows(self)])
            owner = row.owner
            shown_owner = owners[row.owner_id] = {
                "id": str(owner.pk),
                "display_name": owner.display_name,
                "avatar": avatar_image(owner, signed),
            }
        return shown_owner

    @extend_schema_field(FileFactsSerializer(allow_null=True))
    def get_file(self, row: Row) -> FileFacts | None:
        return row.file.facts

    def update(self, row: Row, changes: dict[str, Any]) -> Row:
        """Save the sent fields only, because an upload may be recorded at the same time."""
        update_row(row, "file", changes)
        return row


class NewRowMixin(serializers.Serializer[Any]):
    # `context` has what `upload` needs of it: see UploadRequestSerializer.

    example_values = {"upload": DECLARATION}

    upload = UploadRequestSerializer(
        required=False, allow_null=True, help_text="The file, if the response shall have a ticket for it."
    )


class CreatedRowMixin(serializers.Serializer[Any]):
    # `context` has the `ticket`, or None.

    may_be_absent = ("ticket",)
    example_values = {"file": None, "ticket": TICKET}

    ticket = serializers.SerializerMethodField(
        help_text="The ticket for the file; null if there is nothing to send. Absent without `upload`."
    )

    @extend_schema_field(TicketSerializer(allow_null=True))
    def get_ticket(self, row: PrivateFileModel) -> Any:
        ticket = self.context["ticket"]
        return ticket and TicketSerializer(ticket, context=self.context).data


def new_row_serializer(of: Any) -> Any:
    """Return the class of the serializer for requests that create a row, with `upload`."""
    return _with_member(of, "New", NewRowMixin, "upload")


def created_row_serializer(of: Any) -> Any:
    """Return the class of the serializer for responses with a new row, with `ticket`."""
    return _with_member(of, "Created", CreatedRowMixin, "ticket")


def _with_member(of: Any, prefix: str, mixin: Any, name: str) -> Any:
    meta = type("Meta", (of.Meta,), {"fields": [*of.Meta.fields, name]})
    members = {"Meta": meta, "__doc__": of.__doc__, "__module__": of.__module__}
    return type(f"{prefix}{of.__name__}", (mixin, of), members)


@extend_schema_serializer(
    component_name="DownloadURLs",  # the schema adds "Request"
    examples=[OpenApiExample("One document", {"ids": [schema_examples.UUID]}, request_only=True)],
)
class DownloadURLsRequestSerializer(serializers.Serializer[Any]):
    ids = serializers.ListField(child=CanonicalUUIDField(), max_length=100)


class DocumentURLSerializer(serializers.Serializer[Any]):
    """A URL to read the file of this document."""

    id = serializers.UUIDField()
    url = serializers.CharField()
    expires_at = serializers.DateTimeField()


class NoDocumentURLSerializer(serializers.Serializer[Any]):
    """There is no file of this document that you may read."""

    id = serializers.UUIDField()
    code = serializers.ChoiceField(["not_found", "file_missing"])


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "One of two",
            {
                "results": [
                    {"id": schema_examples.UUID, **SIGNED},
                    {"id": "01971f6d-1d0a-7c11-9f0e-5b8c2f6f3a11", "code": "not_found"},
                ]
            },
            response_only=True,
        )
    ]
)
class DownloadURLsSerializer(serializers.Serializer[Any]):
    # Only for the schema: the view makes the response.

    results = serializers.SerializerMethodField()

    @extend_schema_field(
        PolymorphicProxySerializer(
            "DownloadURLsItem",
            [DocumentURLSerializer, NoDocumentURLSerializer],
            resource_type_field_name=None,
            many=True,
        )
    )
    def get_results(self, results: Any) -> Any:
        return results
