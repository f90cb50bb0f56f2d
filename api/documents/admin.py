"""The admin of documents: staff may read and delete them and their files, but only owners change them."""

from django.contrib import admin

from api.documents.models import Document
from api.private_files.admin import PrivateFileAdmin


@admin.register(Document)
class DocumentAdmin(PrivateFileAdmin):
    list_display = ["title", "owner", "category", "visibility", "file_name", "updated_at"]
    list_filter = ["visibility", *PrivateFileAdmin.list_filter]
