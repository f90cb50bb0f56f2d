"""The admin of pending removals, read-only: what storage has not deleted yet, and why."""

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from api.admin_site.base import ReadOnlyAdmin
from api.uploads.models import Removal


@admin.register(Removal)
class RemovalAdmin(ReadOnlyAdmin):
    list_display = ["bucket", "key", "attempts", "last_error", "due_at", "created_at"]
    list_display_links = ["key"]
    list_filter = ["bucket"]
    search_fields = ["search_text", "=resource_id"]
    folded_fields = ("key",)
    fields = ["bucket", "key", "attempts", "last_error", "due_at", "created_at"]

    def get_queryset(self, request: HttpRequest):  # type: ignore[no-untyped-def]
        return super().get_queryset(request).filter(is_reservation=False)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
