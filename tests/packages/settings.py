"""A Django project that uses other people's packages, on the storage that PACKAGES_STORAGE names.

The private bucket `media` is the default storage; `private`, `compressed` and `backups` are buckets, too. For
FileSystemStorage each of them is a folder.
"""

import os
from typing import Any

KIND = os.environ["PACKAGES_STORAGE"]  # filesystem, local or supabase
FOLDER = os.environ["PACKAGES_FOLDER"]
URL = os.environ["PACKAGES_URL"]  # of this project

SECRET_KEY = "only for tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.packages.urls"
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": f"{FOLDER}/db.sqlite3",
        "OPTIONS": {"init_command": "PRAGMA synchronous=OFF"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "storage",
    "tests.packages",
    "avatar",
    "compressor",
    "dbbackup",
    "easy_thumbnails",
    "filer",
    "imagekit",
    "import_export",
    "sorl.thumbnail",
    "stdimage",
    "versatileimagefield",
    "modelcluster",
    "modelsearch",
    "taggit",
    "wagtail",
    "wagtail.admin",
    "wagtail.documents",
    "wagtail.images",
    "wagtail.users",
    "django_cleanup.apps.CleanupSelectedConfig",
]
#: These tables are made from the models: the packages have hundreds of migrations. Those of modelsearch make
#: what is no table.
MIGRATION_MODULES = dict.fromkeys(
    [
        *("admin", "auth", "avatar", "dbbackup", "easy_thumbnails", "filer", "packages", "sessions"),
        *("taggit", "thumbnail", "wagtailadmin", "wagtailcore", "wagtaildocs", "wagtailimages"),
        "wagtailusers",
    ]
)
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [os.path.join(os.path.dirname(__file__), "templates")],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
MEDIA_ROOT = f"{FOLDER}/media"
MEDIA_URL = f"{URL}/media/"
STATIC_URL = "/static/"
STATIC_ROOT = f"{FOLDER}/static"
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "compressor.finders.CompressorFinder",
]
STATICFILES_DIRS = [os.path.join(os.path.dirname(__file__), "static")]

SUPABASE_URL = os.environ.get("PACKAGES_SUPABASE_URL", URL)
SUPABASE_STORAGE_BUCKET = "packages-media"
SUPABASE_SECRET_KEY = os.environ.get("PACKAGES_SUPABASE_KEY", "")

CLASSES = {
    "filesystem": "django.core.files.storage.FileSystemStorage",
    "local": "storage.local.LocalStorage",
    "supabase": "storage.supabase.SupabaseStorage",
}
BACKEND = CLASSES[KIND]


def options(bucket: str, public: bool = False) -> dict[str, Any]:
    """The OPTIONS of a bucket, or of the folder that stands for it."""
    if KIND == "filesystem":
        return {"location": f"{FOLDER}/{bucket}", "base_url": f"{URL}/{bucket}/"}
    return {"bucket": f"packages-{bucket}", "public": public}


OVERWRITE = "allow_overwrite" if KIND == "filesystem" else "file_overwrite"
STORAGES = {
    "default": {"BACKEND": BACKEND},
    "private": {"BACKEND": BACKEND, "OPTIONS": options("private")},
    "compressor": {"BACKEND": BACKEND, "OPTIONS": {**options("compressed", public=True), OVERWRITE: True}},
    "dbbackup": {"BACKEND": BACKEND, "OPTIONS": options("backups")},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

# --- The packages, as their documentation asks for a storage that is not on this disk ---------------------

AVATAR_AUTO_GENERATE_SIZES = (80, 40)
COMPRESS_ROOT = STATIC_ROOT
COMPRESS_STORAGE_ALIAS = COMPRESS_OFFLINE_MANIFEST_STORAGE_ALIAS = "compressor"
COMPRESS_URL = (
    f"{URL}/compressed/"
    if KIND == "filesystem"
    else f"{SUPABASE_URL}/storage/v1/object/public/packages-compressed/"
)
DBBACKUP_HOSTNAME = "zoo"
PRIVATE = "tests.packages.storages.PrivateFiles"
FILER_STORAGES = {
    "public": {
        "main": {"ENGINE": BACKEND, "OPTIONS": {}, "UPLOAD_TO_PREFIX": "filer_public"},
        "thumbnails": {
            "ENGINE": BACKEND,
            "OPTIONS": {},
            "THUMBNAIL_OPTIONS": {"base_dir": "filer_thumbnails"},
        },
    },
    "private": {
        "main": {"ENGINE": PRIVATE, "OPTIONS": {}, "UPLOAD_TO_PREFIX": "filer_private"},
        "thumbnails": {
            "ENGINE": PRIVATE,
            "OPTIONS": {},
            "THUMBNAIL_OPTIONS": {"base_dir": "filer_thumbnails"},
        },
    },
}
IMPORT_EXPORT_TMP_STORAGE_CLASS = "import_export.tmp_storages.MediaStorage"
THUMBNAIL_DEFAULT_STORAGE_ALIAS = "default"  # easy-thumbnails
THUMBNAIL_ALIASES = {"": {"small": {"size": (40, 40), "crop": True}}}
THUMBNAIL_STORAGE = "default"  # sorl-thumbnail
VERSATILEIMAGEFIELD_SETTINGS = {"create_images_on_demand": True}
WAGTAIL_SITE_NAME = "Zoo"
WAGTAILADMIN_BASE_URL = URL
