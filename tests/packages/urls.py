"""The pages of the packages, the files of FileSystemStorage, and the local store."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.static import serve
from wagtail.admin import urls as wagtail_admin_urls
from wagtail.documents import urls as wagtail_document_urls

urlpatterns = [
    path("admin/", admin.site.urls),
    path("avatar/", include("avatar.urls")),
    path("filer/", include("filer.urls")),
    path("cms/", include(wagtail_admin_urls)),
    path("documents/", include(wagtail_document_urls)),
    path("storage/v1/", include("storage.local.server.urls")),
    *(
        path(f"{folder}/<path:path>", serve, {"document_root": f"{settings.FOLDER}/{folder}"})
        for folder in ("media", "private", "compressed", "backups")
    ),
]
