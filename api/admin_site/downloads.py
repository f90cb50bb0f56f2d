"""Download of private files in the admin. The URL is signed when the link is followed.

The page itself contains no signed URL, because anybody who sees the page could use it.
"""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from api.admin_site.base import file_summary
from storage.errors import ObjectMissing, StorageUnavailable
from storage.fields import stored_file

HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


def download_url(model_admin: Any, field_name: str) -> URLPattern:
    """Return the URL that redirects to the signed URL of the file."""

    @require_safe
    def download(request: HttpRequest, object_id: str) -> HttpResponse:
        row = model_admin.get_object(request, object_id)
        if not model_admin.has_view_permission(request, row):
            raise PermissionDenied
        try:
            if row is None:
                raise ObjectMissing
            url = stored_file(row, field_name).signed_url(filename="").url
            return HttpResponseRedirect(url, headers=HEADERS)
        except ObjectMissing:
            return _page(model_admin, request, 404, _("There is no file: none was sent, or it was deleted."))
        except StorageUnavailable:
            return _page(model_admin, request, 503, _("The file storage does not answer: try again."))

    view = model_admin.admin_site.admin_view(download)
    return path("<str:object_id>/download/", view, name=_name(model_admin.opts))


def download_link(row: Model, field_name: str) -> str:
    """Return a link to the file with its name, type and size; "" without a file."""
    file = stored_file(row, field_name)
    if not file.key:
        return ""
    url = reverse(f"admin:{_name(row._meta)}", args=[row.pk])
    return format_html('<a href="{}">{}</a>', url, file_summary(file.facts) or _("file"))


def _name(opts: Any) -> str:
    return f"{opts.app_label}_{opts.model_name}_download"


def _page(model_admin: Any, request: HttpRequest, status: int, text: str) -> HttpResponse:
    context = {**model_admin.admin_site.each_context(request), "title": _("No file"), "text": text}
    return TemplateResponse(request, "admin/api/no_file.html", context, status=status, headers=HEADERS)
