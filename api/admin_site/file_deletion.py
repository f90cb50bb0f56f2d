"""Deletion of the file of a row in the admin. The row stays.

The rows are read-only in the admin. So the permission to change them, which nothing else requires, is the
permission to delete their files.
"""

from typing import Any

from django.contrib import messages
from django.contrib.auth import get_permission_codename
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import override
from django.views.decorators.http import require_http_methods

from api.admin_site.base import ReadOnlyAdmin, file_summary
from api.base_models import Resource
from api.uploads.attachments import delete_file, files_beside
from storage.errors import ObjectMissing
from storage.fields import StoredFile, stored_file


class FileAdmin(ReadOnlyAdmin):
    """Adds a page to the admin of a model that asks, and then deletes the file of the field `file_field`."""

    change_form_template = "admin/api/file_form.html"
    file_field = ""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(
            require_http_methods(["GET", "HEAD", "POST"])(self.delete_file_view)
        )
        url = path("<str:object_id>/delete-file/", view, name=_name(self.opts, "delete_file"))
        return [url, *super().get_urls()]

    def may_delete_file(self, request: HttpRequest) -> bool:
        permission = get_permission_codename("change", self.opts)
        return request.user.has_perm(f"{self.opts.app_label}.{permission}") and self.has_view_permission(
            request
        )

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any
    ) -> Any:
        row = context["original"]
        if self.may_delete_file(request) and _has_file(stored_file(row, self.file_field)):
            context["delete_file_url"] = reverse(f"admin:{_name(self.opts, 'delete_file')}", args=[row.pk])
            context["file_field"] = self.model._meta.get_field(self.file_field)
        return super().render_change_form(request, context, *args, **options)

    def delete_file_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        if not self.may_delete_file(request):
            raise PermissionDenied
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        file = stored_file(row, self.file_field)
        if request.method != "POST" and _has_file(file):
            return self._ask(request, row, file)
        if _has_file(file) and self._delete(request, row, file):
            self.message_user(request, _("The file was deleted."), messages.SUCCESS)
        else:
            text = _("There is no file: none was sent, or it was deleted.")
            self.message_user(request, text, messages.WARNING)
        return HttpResponseRedirect(reverse(f"admin:{_name(self.opts, 'change')}", args=[row.pk]))

    def _ask(self, request: HttpRequest, row: Resource, file: StoredFile) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": _("Delete the file?"),
            "opts": self.opts,
            "original": row,
            "file": file_summary(file.facts) or file.field.verbose_name,
        }
        return TemplateResponse(request, "admin/api/delete_file.html", context)

    def _delete(self, request: HttpRequest, row: Resource, file: StoredFile) -> bool:
        """Delete the file and log it. Returns False if another request has deleted it, or the row."""
        with override(None):  # untranslated: Django translates the history when it is displayed
            name = str(file.field.verbose_name)
        deleted = [{"deleted": {"name": name, "object": file.facts["name"] if file.facts else ""}}]
        try:
            delete_file(row, self.file_field)
        except (ObjectMissing, ObjectDoesNotExist):
            return False
        self.log_change(request, row, deleted)
        return True


def _has_file(file: StoredFile) -> bool:
    return any(each.key for each in (file, *files_beside(file)))


def _name(opts: Any, action: str) -> str:
    return f"{opts.app_label}_{opts.model_name}_{action}"
