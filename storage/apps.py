"""The app `storage`, and the default values of its settings. Any Django project can install it."""

from contextlib import suppress
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.crypto import salted_hmac

#: For settings that the project does not define.
DEFAULTS = {
    "SUPABASE_URL": "",
    "SUPABASE_SECRET_KEY": "",
    "SUPABASE_PUBLISHABLE_KEY": "",
    "SUPABASE_SIGNING": "server",
    "SUPABASE_STORAGE_BUCKET": "media",
    "STORAGE_WEBHOOK_SECRET": "",
    "STORAGE_WEBHOOK_URL": "",  # where the local store posts
    "ACCEL_REDIRECT": "",  # of the local store behind nginx
    "STORAGE_FILE_SIZE_LIMIT": 50 * 1024 * 1024,  # bytes, of the local store
    "UPLOAD_URL_TTL": 1800,  # seconds
    "DOWNLOAD_URL_TTL": 300,  # seconds
    "MIGRATE_BUCKETS": {},
}


class StorageConfig(AppConfig):
    name = "storage"

    def __init__(self, *args: Any) -> None:
        """Set the defaults here, because model fields read the settings when the models are imported."""
        super().__init__(*args)
        for name, value in DEFAULTS.items():
            if not hasattr(settings, name):
                setattr(settings, name, value)
        if not hasattr(settings, "SUPABASE_JWT_SECRET"):  # it signs the URLs of the local store
            with suppress(ImproperlyConfigured):  # some commands run without a SECRET_KEY
                settings.SUPABASE_JWT_SECRET = salted_hmac(
                    "storage.tokens", "", algorithm="sha256"
                ).hexdigest()

    def ready(self) -> None:
        from storage import checks  # noqa: F401  (registers the system checks)
