"""A plain Django project of somebody else's, that has installed `storage` and nothing more of ours."""

import json
import os

SECRET_KEY = "only for tests"
SQLITE = {"ENGINE": "django.db.backends.sqlite3", "OPTIONS": {"timeout": 20}}
DATABASES = {"default": {**SQLITE, "NAME": os.environ.get("FOREIGN_DATABASE", ":memory:")}}
if "FOREIGN_ANNEX" in os.environ:
    DATABASES["annex"] = {**SQLITE, "NAME": os.environ["FOREIGN_ANNEX"]}
    DATABASE_ROUTERS = ["tests.foreign.router.Annex"]
INSTALLED_APPS = ["django.contrib.contenttypes", "tests.foreign", "tests.foreign.annex", "storage"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MEDIA_ROOT = os.environ.get("FOREIGN_MEDIA", "")
MEDIA_URL = "/media/"
ALLOWED_HOSTS = ["zoo.example"]
USE_TZ = True

SUPABASE_URL = os.environ.get("FOREIGN_URL", "")
SUPABASE_SECRET_KEY = os.environ.get("FOREIGN_KEY", "")
SUPABASE_STORAGE_BUCKET = os.environ.get("FOREIGN_BUCKET", "media")
MIGRATE_BUCKETS = json.loads(os.environ.get("MIGRATE_BUCKETS", "{}"))
