"""URLs of the local Storage server. Mounted at /storage/v1/ with STORAGE=local only."""

from django.urls import re_path

from storage.local.server import gateway

urlpatterns = [re_path("", gateway.storage_api)]
