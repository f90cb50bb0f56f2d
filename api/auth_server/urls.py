"""URLs of the local Auth server. Mounted at /auth/v1/ if LOCAL_AUTH is set."""

from django.urls import re_path

from api.auth_server import gateway

urlpatterns = [re_path("", gateway.auth_api)]
