"""The app that any Django project can install for its files."""

from typing import Any

from django.apps import AppConfig
from django.conf import settings

#: What a project that has installed this app need not say.
DEFAULTS = {
    "SUPABASE_URL": "",
    "SUPABASE_SECRET_KEY": "",
    "SUPABASE_SIGNING": "server",
    "SUPABASE_STORAGE_BUCKET": "media",
    "STORAGE_FILE_SIZE_LIMIT": 50 * 1024 * 1024,  # bytes, of the local store
    "UPLOAD_URL_TTL": 1800,  # seconds
    "DOWNLOAD_URL_TTL": 300,
    "MIGRATE_BUCKETS": {},
}


class StorageConfig(AppConfig):
    name = "storage"

    def __init__(self, *args: Any) -> None:
        """Before any model is made, whose fields may ask."""
        super().__init__(*args)
        for name, value in DEFAULTS.items():
            if not hasattr(settings, name):
                setattr(settings, name, value)

    def ready(self) -> None:
        from storage import checks  # noqa: F401  (registers the system checks)
