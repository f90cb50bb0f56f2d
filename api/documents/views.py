"""The views of documents, with tickets for their files and signed URLs to read them."""

from drf_spectacular.utils import extend_schema, extend_schema_view

from api.documents.filters import DocumentFilters
from api.documents.models import Document
from api.documents.serializers import CreatedDocumentSerializer, DocumentSerializer, NewDocumentSerializer
from api.private_files.views import PrivateFileViewSet


@extend_schema_view(
    partial_update=extend_schema(
        description="A change of `visibility` invalidates all download URLs issued before. 503 until the old "
        "object is deleted: repeat the request.",
    ),
)
class DocumentViewSet(PrivateFileViewSet, compiles_queries=True):
    queryset = Document.objects.none()
    serializer_class = DocumentSerializer
    new_serializer_class = NewDocumentSerializer
    created_serializer_class = CreatedDocumentSerializer
    filterset_class = DocumentFilters
    ordering_fields = ("title", "category", "created_at", "updated_at")
