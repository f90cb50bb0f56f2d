"""The root URLconf."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularRedocView, SpectacularSwaggerView

from api import errors
from api.health import LivenessView, ReadinessView
from api.schema_view import SchemaView
from backend import pages

urlpatterns = [
    path("", pages.start, name="start"),
    path("api/", pages.start),
    re_path(r"^species/(?P<slug>[-a-zA-Z0-9_]+)/?$", pages.species),
    path("api/v1/", include("api.urls")),
    path("api/schema/", SchemaView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path(
        "api/redoc/",
        SpectacularRedocView.as_view(url_name="schema", template_name="redoc.html"),
        name="redoc",
    ),
    path("livez", LivenessView.as_view()),
    path("readyz", ReadinessView.as_view()),
    path("admin/", admin.site.urls),
]
if settings.STORAGE == "local":
    urlpatterns.append(path("storage/v1/", include("storage.local.server.urls")))
if settings.LOCAL_AUTH:
    urlpatterns.append(path("auth/v1/", include("api.auth_server.urls")))
urlpatterns.append(re_path("", errors.not_found))

handler400 = errors.bad_request
handler403 = errors.permission_denied
handler404 = errors.not_found
handler500 = errors.server_error
