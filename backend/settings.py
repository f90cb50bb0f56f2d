"""Django settings, from the environment and `.env`. The environment has precedence; empty means unset.
`NAME_FILE` names a file with the value of NAME.

With DEBUG everything has a working default. Without it, missing and well-known keys raise
ImproperlyConfigured here, because servers do not run Django's system checks.
"""

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

import environ
from corsheaders.defaults import default_headers
from django.core.exceptions import ImproperlyConfigured

from backend import __version__
from backend.logs import logging_config
from backend.secret_files import SecretFiles, UnusableFile
from backend.secret_keys import check_keys, check_webhook_secret
from storage.origins import pattern_regex
from storage.supabase.well_known_keys import JWT_SECRETS

BASE_DIR = Path(__file__).resolve().parent.parent
MIB = 1024 * 1024


@contextmanager
def parsing(name: str) -> Iterator[None]:
    """Raise ImproperlyConfigured for a malformed value, with the name of the setting.

    The value is not shown, because it may be a password.
    """
    try:
        with warnings.catch_warnings(action="error"):
            yield
    except UnusableFile:
        raise
    except (ValueError, KeyError, UserWarning, ImproperlyConfigured):
        raise ImproperlyConfigured(f"{name} has an invalid value.") from None


class Environment(environ.Env):
    """The environment of the process and the file `.env`, without empty values."""

    ENVIRON = {name: value for name, value in os.environ.items() if value.strip()}

    def get_value(  # type: ignore[no-untyped-def]
        self, var, cast=None, default=environ.Env.NOTSET, parse_default=False
    ):
        with parsing(var):
            value = super().get_value(var, cast, default, parse_default)
        return [item.strip() for item in value if item.strip()] if isinstance(value, list) else value

    def count(self, name: str, default: int, maximum: int = 2**62) -> int:
        """Return a whole number from 0 to the maximum."""
        value = int(self.int(name, default))
        if value < 0:
            raise ImproperlyConfigured(f"{name} is negative: set a number, or 0.")
        if value > maximum:
            raise ImproperlyConfigured(f"{name} is too large: set {maximum} at most.")
        return value

    def db_url(self, var, default, engine=None):  # type: ignore[no-untyped-def]
        with parsing(var):
            return super().db_url(var, default, engine)

    def cache_url(self, var, default, backend=None):  # type: ignore[no-untyped-def]
        with parsing(var):
            return super().cache_url(var, default, backend)


env = Environment()
env.read_env(os.environ.get("ENV_FILE") or BASE_DIR / ".env")
env.escape_proxy = True  # a value that begins with `$`, as a secret may, is not the name of a variable
Environment.ENVIRON = SecretFiles(
    {name: value.replace("$", r"\$") for name, value in env.ENVIRON.items() if value.strip()}
)


def first_of(*names: str) -> str:
    """Return the value of the first of these alternative names that is set."""
    return next((env.str(name) for name in names if name in env), "")


def rate(name: str, default: str) -> str:
    """Return a rate of DRF's throttles, such as `300/min`."""
    value = env.str(name, default)
    if not re.fullmatch(r"\d+/(s|sec|second|m|min|minute|h|hour|d|day)", value):
        raise ImproperlyConfigured(f"{name} is not a rate such as 300/min, 10/sec or 5000/day.")
    return value


DEMO_SECRET_KEY = "insecure-development-key-that-production-refuses-to-start-with"
DEMO_JWT_SECRET = JWT_SECRETS[0]  # that of `supabase start`

# --- The process ---------------------------------------------------------------------------------

DEBUG = env.bool("DEBUG", False)
SECRET_KEY = env.str("SECRET_KEY", DEMO_SECRET_KEY if DEBUG else "")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"] if DEBUG else [])
PORT = env.int("PORT", 8000)
if not 0 < PORT < 65536:
    raise ImproperlyConfigured("PORT must be a number from 1 to 65535.")
WEB_CONCURRENCY = env.int("WEB_CONCURRENCY", 1)  # the processes of gunicorn
if WEB_CONCURRENCY < 1:
    raise ImproperlyConfigured("WEB_CONCURRENCY must be at least 1.")
THREADS = env.int("THREADS", 16)  # of each process of gunicorn; half of them may wait for Supabase Storage
if THREADS < 2:
    raise ImproperlyConfigured("THREADS must be at least 2.")
#: The proxies whose `X-Forwarded-…` headers are believed, also by gunicorn: addresses, networks, or `*`.
FORWARDED_ALLOW_IPS = env.list("FORWARDED_ALLOW_IPS", default=["127.0.0.1", "::1"])
with parsing("FORWARDED_ALLOW_IPS"):
    [ip_network(each) for each in FORWARDED_ALLOW_IPS if each != "*"]

METRICS_TOKEN = env.str("METRICS_TOKEN", "")  # with which Prometheus reads /metrics
METRICS_BIND = env.str("METRICS_BIND", "")  # where gunicorn also listens, only for /metrics, without a token
if not re.fullmatch(r"((\[[\da-fA-F:.]+\]|[\w.-]+):[0-9]{1,5})?", METRICS_BIND, re.ASCII):
    raise ImproperlyConfigured("METRICS_BIND is not an address and a port such as 127.0.0.1:9100.")
if METRICS_BIND and not (0 < int(METRICS_BIND.rpartition(":")[2]) < 65536):
    raise ImproperlyConfigured("The port of METRICS_BIND must be a number from 1 to 65535.")
if METRICS_BIND.endswith(f":{PORT}"):
    raise ImproperlyConfigured("METRICS_BIND needs another port than PORT.")

TRACES = env.bool("TRACES", False)
if TRACES and not find_spec("opentelemetry"):
    raise ImproperlyConfigured("TRACES needs OpenTelemetry: pip install -r requirements-traces.txt.")

PUBLIC_URL = env.str("PUBLIC_URL", "").rstrip("/")
if not re.fullmatch(r"(https?://([\w.-]+|\[[\w:.]+\])(:\d{1,5})?(/[\w.~-]+)*)?", PUBLIC_URL, re.ASCII):
    raise ImproperlyConfigured(
        "PUBLIC_URL is not a URL such as https://api.zoo.example.org or https://zoo.example.org/vivarium."
    )
# Never None: then Django would take the prefix from SCRIPT_NAME, which a proxy may take from a header.
FORCE_SCRIPT_NAME = urlsplit(PUBLIC_URL).path

ROOT_URLCONF = "backend.urls"
WSGI_APPLICATION = "backend.wsgi.application"
#: Of each request body, except in the Storage server: the largest valid body, with 1,000 slugs and 20,000
#: characters of text, has less than 400 kB.
DATA_UPLOAD_MAX_MEMORY_SIZE = MIB
APPEND_SLASH = False  # a redirect would lose the body of a POST

INSTALLED_APPS = [
    "api",  # before the admin, whose templates it adds to, and before storage, whose commands it extends
    "api.admin_site.apps.VivariumAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "corsheaders",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "storage",
]
MIDDLEWARE = [
    "backend.metrics.MetricsMiddleware",
    "backend.middleware.RequestIDMiddleware",
    "backend.languages.LanguageMiddleware",  # before all middleware that may answer with a text
    "backend.middleware.HostMiddleware",
    "backend.middleware.ProblemMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "backend.middleware.StorageBudgetMiddleware",
    "backend.middleware.APIMiddleware",
    "backend.middleware.AdminSecurityMiddleware",
    "backend.middleware.RequestBodyMiddleware",  # after all that add headers to each response
    "django.middleware.common.CommonMiddleware",
    "backend.admin_middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "backend.admin_middleware.AuthenticationMiddleware",
    "backend.admin_middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "backend" / "templates"],
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

AUTHENTICATION_BACKENDS = ["api.admin_site.site.LimitedBackend"]  # for the admin; the API has access tokens
LOGIN_REDIRECT_URL = "admin:index"  # if `next` is no page of this server
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

LANGUAGES = [("en", "English"), ("es", "Español")]
LANGUAGE_CODE = env.str("LANGUAGE_CODE", "en")
if LANGUAGE_CODE not in dict(LANGUAGES):
    raise ImproperlyConfigured(
        f"LANGUAGE_CODE={LANGUAGE_CODE!r} is not supported by this version: set en or es."
    )
LOCALE_PATHS = [BASE_DIR / "api" / "locale"]  # has precedence over the catalogues of Django and DRF
TIME_ZONE = env.str("TIME_ZONE", "UTC")
USE_TZ = True

# --- Database and cache --------------------------------------------------------------------------

DATABASE_SCHEMA = env.str("DATABASE_SCHEMA", "")
if DATABASE_SCHEMA and not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", DATABASE_SCHEMA):
    raise ImproperlyConfigured("DATABASE_SCHEMA is not a plain lower-case name such as vivarium.")
#: The connections of each process of gunicorn to PostgreSQL; 0: each thread keeps its own.
DATABASE_POOL_SIZE = env.count("DATABASE_POOL_SIZE", THREADS, maximum=1000)
# A request keeps its connection while it waits for the storage, as half of the threads may.
if 0 < DATABASE_POOL_SIZE <= THREADS // 2:
    raise ImproperlyConfigured(
        f"DATABASE_POOL_SIZE must be above half of THREADS ({THREADS}), which may all wait for the storage: "
        "set THREADS lower instead."
    )
DATABASES = {"default": env.db_url("DATABASE_URL", f"sqlite:///{BASE_DIR / 'db.sqlite3'}")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"].setdefault("OPTIONS", {}).update(
        # Transactions take the write lock at once and wait for it. A transaction that only takes it at its
        # first write fails if another one has it.
        transaction_mode="IMMEDIATE",
        timeout=20,
        init_command="PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    )
elif DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    DATABASES["default"]["ENGINE"] = "backend.postgresql"
    # A transaction pooler may use another connection for each transaction: no prepared statements.
    DATABASES["default"].update(CONN_MAX_AGE=60, CONN_HEALTH_CHECKS=True, DISABLE_SERVER_SIDE_CURSORS=True)
    options = DATABASES["default"].setdefault("OPTIONS", {})
    options["prepare_threshold"] = None
    # A server that has vanished from the network is given up, instead of waited for through hours.
    limits = {"connect_timeout": 10, "tcp_user_timeout": 20_000, "keepalives_idle": 30, "keepalives_count": 3}
    for name, value in limits.items():
        options.setdefault(name, value)
    if DATABASE_SCHEMA:
        options["options"] = f"-c search_path={DATABASE_SCHEMA}"

CACHES = {"default": env.cache_url("CACHE_URL", "locmemcache://")}
if CACHES["default"]["BACKEND"] == "django.core.cache.backends.redis.RedisCache":
    CACHES["default"]["BACKEND"] = "backend.redis_cache.RedisCache"
    # A cache that hangs must not hang the requests: they do without it.
    for name in ("socket_timeout", "socket_connect_timeout"):
        CACHES["default"].setdefault("OPTIONS", {}).setdefault(name, 2)

# --- Supabase ------------------------------------------------------------------------------------

STORES = {"local": "storage.local.LocalStorage", "supabase": "storage.supabase.SupabaseStorage"}
STORAGE = env.str("STORAGE", "local")
if STORAGE not in STORES:
    raise ImproperlyConfigured(f"STORAGE={STORAGE[:50]!r} is not supported: set {' or '.join(STORES)}.")

SUPABASE_URL = env.str("SUPABASE_URL", PUBLIC_URL or f"http://127.0.0.1:{PORT}").rstrip("/")
SUPABASE_SECRET_KEY = first_of(
    "SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_KEY", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_KEY"
)
SUPABASE_PUBLISHABLE_KEY = first_of("SUPABASE_PUBLISHABLE_KEY", "SUPABASE_API_KEY", "SUPABASE_ANON_KEY")
# The well-known secret is only a default for this machine, because anybody could sign tokens with it. A
# hosted project has its own secret.
with parsing("SUPABASE_URL"):
    IS_LOCAL = STORAGE == "local" or urlsplit(SUPABASE_URL).hostname in ("127.0.0.1", "localhost")
SUPABASE_JWT_SECRET = env.str("SUPABASE_JWT_SECRET", DEMO_JWT_SECRET if DEBUG and IS_LOCAL else "")
SUPABASE_JWT_ISSUER = env.str("SUPABASE_JWT_ISSUER", f"{SUPABASE_URL}/auth/v1")
SUPABASE_JWT_AUDIENCE = env.str("SUPABASE_JWT_AUDIENCE", "authenticated")
SUPABASE_JWKS_URL = env.str(
    "SUPABASE_JWKS_URL", f"{SUPABASE_JWT_ISSUER}/.well-known/jwks.json" if STORAGE == "supabase" else ""
)
#: Whether this server issues access tokens itself, at `/auth/v1/`, for development. Not with another issuer.
LOCAL_AUTH = (
    DEBUG
    and STORAGE == "local"
    and f"{SUPABASE_URL}/auth/v1" == SUPABASE_JWT_ISSUER
    and not SUPABASE_JWKS_URL
)
SUPABASE_STAFF_ROLES = env.list("SUPABASE_STAFF_ROLES", default=["staff", "admin"])
SUPABASE_ALLOW_ANONYMOUS = env.bool("SUPABASE_ALLOW_ANONYMOUS", False)
SUPABASE_ALLOW_OAUTH_CLIENTS = env.bool("SUPABASE_ALLOW_OAUTH_CLIENTS", False)
SUPABASE_CHECK_SESSIONS = env.bool("SUPABASE_CHECK_SESSIONS", False)
with parsing("STORAGE_TIMEOUT"):  # not `env.float`, which ignores letters
    STORAGE_TIMEOUT = float(env.str("STORAGE_TIMEOUT", "8"))
if not 0 < STORAGE_TIMEOUT <= 300:
    raise ImproperlyConfigured("STORAGE_TIMEOUT must be a number of seconds above 0, and 300 at most.")
SUPABASE_STORAGE_BUCKET = first_of("SUPABASE_STORAGE_BUCKET", "SUPABASE_BUCKET") or "media"
SUPABASE_SIGNING = env.str("SUPABASE_SIGNING", "server")
if SUPABASE_SIGNING not in ("server", "secret"):
    raise ImproperlyConfigured("SUPABASE_SIGNING must be server or secret.")

STORAGE_WEBHOOK_SECRET = env.str("STORAGE_WEBHOOK_SECRET", "")
STORAGE_WEBHOOK_URL = env.str(
    "STORAGE_WEBHOOK_URL", f"http://127.0.0.1:{PORT}/api/v1/webhooks/storage/"
)  # of the local store; `setup_supabase --webhook` has that of a project
if not re.fullmatch(r"https?://[^\s/?#]+/[^\s#]*", STORAGE_WEBHOOK_URL):
    raise ImproperlyConfigured(
        "STORAGE_WEBHOOK_URL is not a URL such as https://api.zoo.example.org/api/v1/webhooks/storage/."
    )

CHECKED_SETTINGS = {
    "SECRET_KEY": SECRET_KEY,
    "SUPABASE_URL": env.str("SUPABASE_URL", ""),
    "SUPABASE_SECRET_KEY": SUPABASE_SECRET_KEY,
    "SUPABASE_JWT_SECRET": SUPABASE_JWT_SECRET,
    "SUPABASE_PUBLISHABLE_KEY": SUPABASE_PUBLISHABLE_KEY,
    "STORAGE_WEBHOOK_SECRET": STORAGE_WEBHOOK_SECRET,
    "METRICS_TOKEN": METRICS_TOKEN,
}
REQUIRED = ["SECRET_KEY"]
if STORAGE == "supabase":
    REQUIRED += ["SUPABASE_URL", "SUPABASE_SECRET_KEY"]
if STORAGE == "local" or SUPABASE_SIGNING == "secret":
    REQUIRED += ["SUPABASE_JWT_SECRET"]  # URLs are signed with it
if MISSING := [name for name in REQUIRED if not CHECKED_SETTINGS[name]]:
    raise ImproperlyConfigured(f"Set {' and '.join(MISSING)}: there is no default for this.")
if STORAGE_WEBHOOK_SECRET:
    check_webhook_secret(STORAGE_WEBHOOK_SECRET)
if not DEBUG:
    check_keys({name: value for name, value in CHECKED_SETTINGS.items() if name != "SUPABASE_URL"})

# --- The public site -----------------------------------------------------------------------------

PUBLIC_SITE_URL = env.str("PUBLIC_SITE_URL", f"http://127.0.0.1:{PORT}").strip().rstrip("/")
if not re.fullmatch(r"https?://[^\s/?#][^\s?#]*", PUBLIC_SITE_URL) or not PUBLIC_SITE_URL.isascii():
    # It is in QR codes that are printed on signs, and scanners treat non-ASCII characters differently.
    raise ImproperlyConfigured("PUBLIC_SITE_URL is not a URL in ASCII such as https://zoo.example.org.")

# --- Files ---------------------------------------------------------------------------------------

MEDIA_ROOT = env.str("MEDIA_ROOT", str(BASE_DIR / "media"))
#: The internal location of nginx from which it sends the files of the local store itself.
ACCEL_REDIRECT = env.str("ACCEL_REDIRECT", "")
if not re.fullmatch(r"((/[A-Za-z0-9_-]+)+/)?", ACCEL_REDIRECT):
    raise ImproperlyConfigured("ACCEL_REDIRECT is not a path such as /internal-objects/.")

BUCKETS = {  # with the options of `storage.base.SignedStorage`
    "uploads": {"incoming": True},
    "documents": {"owned": True, "shared": True},
    "user-profiles": {"owned": True},
    "originals": {},  # only staff may read the pictures as they were sent
    "species": {"public": True},
    "exhibitions": {"public": True},
    "educational-services": {"public": True},
}


def store(bucket: str, **options: bool) -> dict[str, object]:
    """Return an entry of STORAGES for this bucket."""
    return {"BACKEND": STORES[STORAGE], "OPTIONS": {"bucket": bucket, **options}}


if (
    not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", SUPABASE_STORAGE_BUCKET)
    or SUPABASE_STORAGE_BUCKET in BUCKETS
):
    raise ImproperlyConfigured(
        f"SUPABASE_STORAGE_BUCKET must be a plain name, and not one of {', '.join(BUCKETS)}."
    )

STORAGES = {
    "default": store(SUPABASE_STORAGE_BUCKET),
    **{bucket: store(bucket, **options) for bucket, options in BUCKETS.items()},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
UPLOAD_URL_TTL = env.int("UPLOAD_URL_TTL", 1800)
DOWNLOAD_URL_TTL = env.int("DOWNLOAD_URL_TTL", 300)
STORAGE_FILE_SIZE_LIMIT = env.int("STORAGE_FILE_SIZE_LIMIT", 50 * MIB)
DOCUMENT_MAX_BYTES = env.int("DOCUMENT_MAX_BYTES", 50 * MIB)
DOCUMENT_TYPES = env.list("DOCUMENT_TYPES", default=["application/pdf", "image/jpeg", "image/png"])
IMAGE_MAX_BYTES = env.int("IMAGE_MAX_BYTES", 10 * MIB)
IMAGE_TYPES = env.list("IMAGE_TYPES", default=["image/jpeg", "image/png", "image/webp"])
KNOWN_IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp", "image/heic", "image/heif")
if not IMAGE_TYPES or not set(IMAGE_TYPES) <= set(KNOWN_IMAGE_TYPES):
    raise ImproperlyConfigured(f"IMAGE_TYPES can have {', '.join(KNOWN_IMAGE_TYPES)}.")
if {"image/heic", "image/heif"} & set(IMAGE_TYPES) and not find_spec("pillow_heif"):
    raise ImproperlyConfigured("IMAGE_TYPES has HEIC pictures: pip install pillow-heif to open them.")
AVATAR_MAX_BYTES = env.int("AVATAR_MAX_BYTES", 10 * MIB)
PICTURES_PER_ENTRY = env.count("PICTURES_PER_ENTRY", 20)
IMAGE_MAX_PIXELS = env.int("IMAGE_MAX_PIXELS", 50_000_000)
CHECKSUM_MAX_BYTES = env.int("CHECKSUM_MAX_BYTES", 100 * MIB)
QUOTA_BYTES = env.count("QUOTA_BYTES", 1024 * MIB)
QUOTA_OPEN_TICKETS = env.count("QUOTA_OPEN_TICKETS", 50)

UPLOAD_SCANNER = env.str("UPLOAD_SCANNER", "")  # imported at start-up: see api/apps.py
CLAMAV_ADDRESS = env.str("CLAMAV_ADDRESS", "127.0.0.1:3310")
if not re.fullmatch(r"\S+:[0-9]{1,5}", CLAMAV_ADDRESS) or int(CLAMAV_ADDRESS.rpartition(":")[2]) > 65535:
    raise ImproperlyConfigured("CLAMAV_ADDRESS is not a host and a port such as 127.0.0.1:3310.")
SWEEP_EVERY = env.count("SWEEP_EVERY", 60, maximum=24 * 3600)  # seconds; gunicorn then runs `manage.py sweep`
TICKET_RETENTION_DAYS = env.count("TICKET_RETENTION_DAYS", 30, maximum=36500)

#: The buckets that `migrate_to_supabase` uses instead of those of the storages: `app.Model.field=bucket`.
MIGRATE_BUCKETS = env.dict("MIGRATE_BUCKETS", default={})

STATIC_URL = f"{FORCE_SCRIPT_NAME}/static/"
WHITENOISE_USE_FINDERS = True  # serves the files of the installed packages without `collectstatic`

# --- The API -------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["api.auth.authentication.SupabaseAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["api.parsers.StrictJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "api.parsers.IgnoreClientContentNegotiation",
    "DEFAULT_PAGINATION_CLASS": "api.pagination.StandardPagination",
    "DEFAULT_FILTER_BACKENDS": [
        "api.filters.FilterBackend",
        "api.filters.BoundedSearchFilter",
        "api.filters.StrictOrderingFilter",
    ],
    "DEFAULT_THROTTLE_RATES": {
        "tickets": rate("THROTTLE_TICKETS", "300/min"),
        "complete": rate("THROTTLE_COMPLETE", "600/min"),
        "files": rate("THROTTLE_FILES", "300/min"),
    },
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS is only for CORS preflight requests
    "DEFAULT_SCHEMA_CLASS": "api.schema.ProblemAutoSchema",
    "EXCEPTION_HANDLER": "api.errors.exception_handler",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Vivarium",
    "VERSION": __version__,
    "DESCRIPTION": (
        "The backend of a zoo, aquarium or botanical garden. File bytes never pass through it: ask "
        "for a ticket, send the file straight to storage, then call `complete_url`."
    ),
    "TAGS": [
        {"name": "species", "description": "The catalogue of species."},
        {"name": "exhibitions", "description": "What is shown, where and when."},
        {"name": "educational services", "description": "What visitors may book."},
        {"name": "documents", "description": "Private and shared documents of the members."},
        {"name": "profiles", "description": "The profiles of the members, with their avatars."},
        {"name": "uploads", "description": "Tickets for file uploads, and their completion."},
        {"name": "health", "description": "For load balancers and orchestrators."},
    ],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVERS": [{"url": PUBLIC_URL}] if PUBLIC_URL else [],
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"persistAuthorization": True, "displayRequestDuration": True},
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    # Named, so that a new field with other choices does not rename them for clients.
    "ENUM_NAME_OVERRIDES": {
        "ConservationStatusEnum": "api.catalog.models.Species.ConservationStatus",
        "LicenceEnum": "api.catalog.pictures.Licence",
        "ProblemOfCompletionCodeEnum": "api.uploads.problems.COMPLETION_FAILED",
        "ProblemOfUploadCodeEnum": "api.uploads.problems.UPLOAD_FAILED",
        "UploadStateEnum": "api.uploads.models.Upload.State",
        "VisibilityEnum": "api.documents.models.Document.Visibility",
    },
    "DEFAULT_GENERATOR_CLASS": "api.schema.EnglishSchemaGenerator",
}

CORS_URLS_REGEX = r"^/api/"  # /storage/v1/ allows every origin, as Supabase's gateway does
CORS_ALLOWED_ORIGINS = env.list(
    "CORS_ALLOWED_ORIGINS",
    default=[f"http://{host}:{port}" for host in ("localhost", "127.0.0.1") for port in (3000, 5173)]
    if DEBUG
    else [],
)
CORS_ALLOWED_ORIGIN_PATTERNS = env.list("CORS_ALLOWED_ORIGIN_PATTERNS", default=[])
CORS_ALLOWED_ORIGIN_REGEXES = [pattern_regex(pattern) for pattern in CORS_ALLOWED_ORIGIN_PATTERNS]
CORS_ALLOW_HEADERS = [
    *default_headers,
    *("idempotency-key", "if-match", "if-none-match"),
    *("traceparent", "tracestate"),  # as OpenTelemetry sends
    "x-request-id",
    *("apikey", "x-client-info"),  # as supabase-js sends
]
CORS_EXPOSE_HEADERS = ["Location", "ETag", "Retry-After", "X-Request-ID"]

# --- Security and logs ---------------------------------------------------------------------------

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEBUG
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = f"{FORCE_SCRIPT_NAME}/"  # other sites of the host keep their own
SECURE_HSTS_SECONDS = 0 if DEBUG else 365 * 24 * 3600
SECURE_HSTS_INCLUDE_SUBDOMAINS = not DEBUG
SILENCED_SYSTEM_CHECKS = [
    "security.W008",  # no redirect to https: the token would already have been sent in the clear
    "security.W021",  # the owner of the domain decides about the HSTS preload list
    *("corsheaders.E013", "corsheaders.E014"),  # storage.E016 says the same, with the cure
]

LOGGING = logging_config(
    pretty=DEBUG,
    secrets=[SECRET_KEY, SUPABASE_JWT_SECRET, SUPABASE_SECRET_KEY, STORAGE_WEBHOOK_SECRET, METRICS_TOKEN],
)
