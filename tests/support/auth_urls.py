"""The URLs of a development server: those of all settings, and the local Auth server's."""

from django.urls import include, path

from backend.urls import urlpatterns as of_all_settings

urlpatterns = [path("auth/v1/", include("api.auth_server.urls")), *of_all_settings]
