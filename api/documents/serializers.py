"""Serializers of documents and their download URLs."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import (
    OpenApiExample,
    PolymorphicProxySerializer,
    extend_schema_field,
    extend_schema_serializer,
)
from rest_framework import serializers

from api.documents.models import Document
from api.pictures.serializers import IMAGE
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

DOCUMENT = {
    "id": "01971f6d-1d0a-7c11-9f0e-5b8c2f6f3a10",
    "title": "Feeding plan",
    "description": "Penguins, winter.",
    "category": "care",
    "visibility": "private",
    "owner": {
        "id": "6c1f9a52-6f0a-5d7e-9b7e-2f6a3c0d9b11",
        "display_name": "Alice",
        "avatar": {
            **IMAGE,
            "alt": {"en": "Alice", "es": "Alice"},
            "credit": "",
            "expires_at": "2026-11-21T02:50:07Z",
        },
    },
    "file": {
        "name": "guía.pdf",
        "size": 5120,
        "content_type": "application/pdf",
        "sha256": "9f86…0a08",
        "uploaded_at": "2026-11-21T02:45:07Z",
    },
    "created_at": "2026-11-21T02:44:00Z",
    "updated_at": "2026-11-21T02:45:07Z",
}


class OwnerSerializer(serializers.Serializer[Any]):
    """The member whose document it is."""

    id = serializers.UUIDField()
    display_name = serializers.CharField(allow_blank=True)
    avatar = SignedImageSerializer(allow_null=True)


@extend_schema_serializer(
    examples=[
        OpenApiExample("A new document", {"title": "Feeding plan", "category": "care"}, request_only=True),
        OpenApiExample("A document", DOCUMENT, response_only=True),
    ]
)
class DocumentSerializer(ModelSerializer[Document]):
    owner = serializers.SerializerMethodField()
    file = serializers.SerializerMethodField(help_text="null until a ticket is completed")

    class Meta:
        model = Document
        fields = [
            "id",
            "title",
            "description",
            "category",
            "visibility",
            "owner",
            "file",
            "created_at",
            "updated_at",
        ]

    @extend_schema_field(OwnerSerializer)
    def get_owner(self, document: Document) -> dict[str, Any]:
        """Return what members see of the owner. It is made once for all documents of the response."""
        context: Any = self.context
        owners: dict[UUID, dict[str, Any]] = context.setdefault("owners", {})
        if document.owner_id not in owners:
            signed = signed_avatars(context, lambda: [shown.owner for shown in shown_rows(self)])
            owner = document.owner
            owners[document.owner_id] = {
                "id": str(owner.pk),
                "display_name": owner.display_name,
                "avatar": avatar_image(owner, signed),
            }
        return owners[document.owner_id]

    @extend_schema_field(FileFactsSerializer(allow_null=True))
    def get_file(self, document: Document) -> FileFacts | None:
        return document.file.facts

    def update(self, document: Document, changes: dict[str, Any]) -> Document:
        """Save the sent fields only, because an upload may be recorded at the same time."""
        update_row(document, "file", changes)
        return document


@extend_schema_serializer(
    examples=[
        OpenApiExample("A new document", {"title": "Feeding plan", "category": "care"}, request_only=True),
        OpenApiExample(
            "A new document and a ticket for its file",
            {"title": "Feeding plan", "category": "care", "upload": DECLARATION},
            request_only=True,
        ),
    ]
)
class NewDocumentSerializer(DocumentSerializer):
    # `context` has what `upload` needs of it: see UploadRequestSerializer.

    upload = UploadRequestSerializer(
        required=False, allow_null=True, help_text="The file, if the response shall have a ticket for it."
    )

    class Meta(DocumentSerializer.Meta):
        fields = [*DocumentSerializer.Meta.fields, "upload"]


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "The document and the ticket",
            {**DOCUMENT, "file": None, "updated_at": DOCUMENT["created_at"], "ticket": TICKET},
            response_only=True,
        ),
    ]
)
class CreatedDocumentSerializer(DocumentSerializer):
    # `context` has the `ticket`, or None.

    may_be_absent = ("ticket",)

    ticket = serializers.SerializerMethodField(
        help_text="The ticket for the file; null if there is nothing to send. Absent without `upload`."
    )

    class Meta(DocumentSerializer.Meta):
        fields = [*DocumentSerializer.Meta.fields, "ticket"]

    @extend_schema_field(TicketSerializer(allow_null=True))
    def get_ticket(self, document: Document) -> Any:
        ticket = self.context["ticket"]
        return ticket and TicketSerializer(ticket, context=self.context).data


@extend_schema_serializer(
    component_name="DownloadURLs",  # the schema adds "Request"
    examples=[OpenApiExample("One document", {"ids": [DOCUMENT["id"]]}, request_only=True)],
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
                    {"id": DOCUMENT["id"], **SIGNED},
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
