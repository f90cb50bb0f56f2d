"""The filters of documents."""

from api.documents.models import Document
from api.filters import BooleanFilter
from api.private_files.filters import PrivateFileFilters


class DocumentFilters(PrivateFileFilters):
    has_file = BooleanFilter(method="filter_has_file", label="Documents with a file, or without one.")

    class Meta:
        model = Document
        fields = ["owner", "visibility", "category"]
