"""The front door: which room answers which path."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerView

from api import errors
from api.health import Live, Ready
from api.parsers import YAMLOrJSON

schema = SpectacularAPIView.as_view(content_negotiation_class=YAMLOrJSON)

urlpatterns = [
    path("api/v1/", include("api.urls")),
    path("api/schema/", schema, name="schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("api/redoc/", SpectacularRedocView.as_view(url_name="schema", template_name="redoc.html")),
    path("livez", Live.as_view()),
    path("readyz", Ready.as_view()),
    path("admin/", admin.site.urls),
]
if settings.STORAGE == "local":
    urlpatterns.append(path("storage/v1/", include("storage.local.server.urls")))
urlpatterns.append(re_path("", errors.not_found))

handler400 = errors.bad_request
handler403 = errors.permission_denied
handler404 = errors.not_found
handler500 = errors.server_error
