"""The admin of documents: staff may read and delete them, but only owners change them."""

from django.contrib import admin
from django.urls import URLPattern
from django.utils.translation import gettext_lazy as _

from api.admin_site.base import ReadOnlyAdmin, file_summary
from api.admin_site.downloads import download_link, download_url
from api.documents.models import Document


@admin.register(Document)
class DocumentAdmin(ReadOnlyAdmin):
    list_display = ["title", "owner", "category", "visibility", "file_name", "updated_at"]
    list_filter = ["visibility", ("file", admin.EmptyFieldListFilter), "updated_at"]
    list_select_related = ["owner"]
    search_fields = ["search_text", "owner__search_text", "=id", "=owner__id"]
    fieldsets = [
        (None, {"fields": ["title", "description", "category", "visibility", "owner"]}),
        (_("File"), {"fields": ["file_link", "sha256"]}),
        (_("Record"), {"fields": ["id", "created_at", "updated_at"]}),
    ]

    def get_urls(self) -> list[URLPattern]:
        return [download_url(self, "file"), *super().get_urls()]

    @admin.display(description=_("file"), ordering="file")
    def file_name(self, document: Document) -> str:
        return file_summary(document.file.facts)

    @admin.display(description=_("file"))
    def file_link(self, document: Document) -> str:
        return download_link(document, "file")

    @admin.display(description="SHA-256")
    def sha256(self, document: Document) -> str:
        facts = document.file.facts
        return (facts and facts["sha256"]) or ""
