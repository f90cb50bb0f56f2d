"""A plain Django project of somebody else's, that has installed `storage` and nothing more of ours."""

import json
import os

SECRET_KEY = "only for tests"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("FOREIGN_DATABASE", ":memory:"),
        "OPTIONS": {"timeout": 20},
    }
}
INSTALLED_APPS = ["django.contrib.contenttypes", "tests.foreign", "tests.foreign.annex", "storage"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MEDIA_ROOT = os.environ.get("FOREIGN_MEDIA", "")
USE_TZ = True

SUPABASE_URL = os.environ.get("FOREIGN_URL", "")
SUPABASE_SECRET_KEY = os.environ.get("FOREIGN_KEY", "")
SUPABASE_STORAGE_BUCKET = os.environ.get("FOREIGN_BUCKET", "media")
MIGRATE_BUCKETS = json.loads(os.environ.get("MIGRATE_BUCKETS", "{}"))
