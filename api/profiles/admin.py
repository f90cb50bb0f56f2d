"""The admin of profiles, read-only but for their avatars. To erase a member, use `manage.py erase_member`."""

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.urls import URLPattern, reverse
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _

from api.admin_site.base import BoundedAdmin
from api.admin_site.downloads import download_link, download_url
from api.admin_site.file_deletion import FileAdmin
from api.base_models import owned_models
from api.profiles.models import Profile


@admin.register(Profile)
class ProfileAdmin(FileAdmin):
    file_field = "avatar"
    list_display = ["display_name", "id", "language", "created_at", "updated_at"]
    list_display_links = ["display_name", "id"]
    list_filter = [("avatar", admin.EmptyFieldListFilter), "created_at"]
    search_fields = ["search_text", "=id"]
    fieldsets = [
        (None, {"fields": ["display_name", "bio", "language", "avatar_link", "owned_links"]}),
        (_("Record"), {"fields": ["id", "created_at", "updated_at"]}),
    ]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        return [download_url(self, "avatar"), *super().get_urls()]

    @admin.display(description=_("avatar"))
    def avatar_link(self, profile: Profile) -> str:
        return download_link(profile, "avatar")

    @admin.display(description=_("of this member"))
    def owned_links(self, profile: Profile) -> str:
        """Return links to the lists of the documents, and of other resources, of this member."""
        admins = [(model, admin.site._registry.get(model)) for model in owned_models()]
        names = [
            (f"{model._meta.app_label}_{model._meta.model_name}", model._meta.verbose_name_plural)
            for model, page in admins
            if isinstance(page, BoundedAdmin) and "owner__id__exact" in page.linked_lookups
        ]
        return format_html_join(
            ", ",
            '<a href="{}?owner__id__exact={}">{}</a>',
            ((reverse(f"admin:{name}_changelist"), profile.pk, many) for name, many in names),
        )
