"""The admin of tickets, read-only."""

from typing import Any

from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, Q, QuerySet
from django.db.models.fields.json import KT
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from api.admin_site.base import ReadOnlyAdmin, may_view
from api.uploads.models import Upload


class ShownStateFilter(admin.SimpleListFilter):
    """Filters by `Upload.shown_state`, in which a pending ticket past `expires_at` is expired."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(Upload.State.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        pending, is_past = Q(state=Upload.State.PENDING), Q(expires_at__lte=timezone.now())
        match self.value():
            case None:
                return queryset
            case Upload.State.EXPIRED:
                return queryset.filter((pending & is_past) | Q(state=Upload.State.EXPIRED))
            case Upload.State.PENDING:
                return queryset.filter(pending & ~is_past)
        return queryset.filter(state=self.value())


@admin.register(Upload)
class TicketAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "filename", "purpose", "shown_state", "problem_code", "owner", "expires_at"]
    list_filter = [ShownStateFilter]
    search_fields = ["=id", "=owner", "=object_id", "search_text"]
    folded_fields = (KT("declared__filename"),)
    fieldsets = [
        (None, {"fields": ["shown_state", "problem_shown", "purpose", "resource_link", "owner"]}),
        (_("File"), {"fields": ["filename", "declared_shown", "found_shown"]}),
        (_("Record"), {"fields": ["id", "created_at", "updated_at", "expires_at"]}),
    ]

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """Return the ticket, which knows whether the user of this request may see its resource."""
        upload: Any = super().get_object(request, object_id, from_field)
        if upload is not None:
            upload.resource_is_visible = may_view(request, upload.model())
        return upload

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.display(description=_("file name"))
    def filename(self, upload: Upload) -> str:
        return str(upload.declared["filename"])

    @admin.display(description=_("for"))
    def purpose(self, upload: Upload) -> str:
        # `get_for_id` caches; `upload.content_type` would be a query for every row of the list.
        content_type = ContentType.objects.get_for_id(upload.content_type_id)
        return f"{content_type.name}: {upload.field().verbose_name}"

    @admin.display(description=_("state"), ordering="state")
    def shown_state(self, upload: Upload) -> str:
        return str(Upload.State(upload.shown_state).label)

    @admin.display(description=_("problem"))
    def problem_code(self, upload: Upload) -> str:
        return (upload.problem or {}).get("code", "")

    @admin.display(description=_("problem"))
    def problem_shown(self, upload: Upload) -> str:
        problem = upload.shown_problem
        return ": ".join(filter(None, (problem["code"], problem["detail"]))) if problem else ""

    @admin.display(description=_("declared"))
    def declared_shown(self, upload: Upload) -> str:
        return _summary(upload.declared)

    @admin.display(description=_("found"))
    def found_shown(self, upload: Upload) -> str:
        return _summary(upload.found)

    @admin.display(description=_("resource"))
    def resource_link(self, upload: Upload) -> str:
        if not getattr(upload, "resource_is_visible", False):
            return str(upload.object_id)
        opts = upload.model()._meta
        try:
            url = reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[upload.object_id])
        except NoReverseMatch:
            return str(upload.object_id)
        return format_html('<a href="{}">{}</a>', url, upload.resource or upload.object_id)


def _summary(facts: dict[str, Any] | None) -> str:
    if not facts:
        return ""
    sha256 = facts["sha256"]
    return f"{facts['content_type']}, {filesizeformat(facts['size'])}" + (
        f", SHA-256 {sha256}" if sha256 else ""
    )
