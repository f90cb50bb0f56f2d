"""Serializers of documents."""

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer

from api import schema_examples
from api.documents.models import Document
from api.private_files.serializers import (
    FILE,
    FILE_FIELDS,
    OWNER,
    PrivateFileSerializer,
    created_row_serializer,
    new_row_serializer,
)
from api.uploads.serializers import DECLARATION, TICKET

DOCUMENT = {
    "id": schema_examples.UUID,
    "title": "Feeding plan",
    "description": "Penguins, winter.",
    "category": "care",
    "visibility": "private",
    "owner": OWNER,
    "file": FILE,
    "created_at": "2026-11-21T02:44:00Z",
    "updated_at": "2026-11-21T02:45:07Z",
}


@extend_schema_serializer(
    examples=[
        OpenApiExample("A new document", {"title": "Feeding plan", "category": "care"}, request_only=True),
        OpenApiExample("A document", DOCUMENT, response_only=True),
    ]
)
class DocumentSerializer(PrivateFileSerializer[Document]):
    class Meta:
        model = Document
        fields = ["id", "title", "description", "category", "visibility", *FILE_FIELDS]


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
class NewDocumentSerializer(new_row_serializer(DocumentSerializer)):  # type: ignore[misc]
    pass


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "The document and the ticket",
            {**DOCUMENT, "file": None, "updated_at": DOCUMENT["created_at"], "ticket": TICKET},
            response_only=True,
        ),
    ]
)
class CreatedDocumentSerializer(created_row_serializer(DocumentSerializer)):  # type: ignore[misc]
    pass
