"""The admin of rows with a private file: staff may read and delete them and their files, no more."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import URLPattern
from django.utils.translation import gettext_lazy as _

from api.admin_site.base import file_summary, may_view
from api.admin_site.downloads import download_link, download_url
from api.admin_site.file_deletion import FileAdmin
from api.private_files.models import PrivateFileModel
from api.profiles.models import Profile
from api.search import searched_fields


class PrivateFileAdmin(FileAdmin):
    """The page of a row has all fields that owners change, unless `fieldsets` names others."""

    file_field = "file"
    list_display = ["__str__", "owner", "file_name", "updated_at"]
    list_filter = [("file", admin.EmptyFieldListFilter), "updated_at"]
    list_select_related = ["owner"]
    linked_lookups = ["owner__id__exact"]  # from the page of a profile
    search_fields = ["=id", "=owner__id"]

    def get_urls(self) -> list[URLPattern]:
        return [download_url(self, "file"), *super().get_urls()]

    def get_list_display(self, request: HttpRequest) -> Any:
        return [self._shown(request, name) for name in self.list_display]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return [
            (title, {**options, "fields": [self._shown(request, name) for name in options["fields"]]})
            for title, options in self.fieldsets or self._default_fieldsets()
        ]

    def _default_fieldsets(self) -> Any:
        own = [field.name for field in self.opts.fields if field.editable and field.name != "owner"]
        return [
            (None, {"fields": [*own, "owner"]}),
            (_("File"), {"fields": ["file_link", "sha256"]}),
            (_("Record"), {"fields": ["id", "created_at", "updated_at"]}),
        ]

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        by_name = ["owner__search_text"] if may_view(request, Profile) else []
        return [*searched_fields(self.model), *self.search_fields, *by_name]

    def _shown(self, request: HttpRequest, name: Any) -> Any:
        """Return the field to show: not the name of the owner to those who may not see profiles."""
        return "owner_key" if name == "owner" and not may_view(request, Profile) else name

    @admin.display(description=_("owner"))
    def owner_key(self, row: PrivateFileModel) -> str:
        return str(row.owner_id)

    @admin.display(description=_("file"), ordering="file")
    def file_name(self, row: PrivateFileModel) -> str:
        return file_summary(row.file.facts)

    @admin.display(description=_("file"))
    def file_link(self, row: PrivateFileModel) -> str:
        return download_link(row, "file")

    @admin.display(description="SHA-256")
    def sha256(self, row: PrivateFileModel) -> str:
        facts = row.file.facts
        return (facts and facts["sha256"]) or ""
