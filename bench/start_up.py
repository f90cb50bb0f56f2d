"""Measure how long `manage.py check` and a gunicorn worker take to start, beside a bare DRF project.

Run: `python bench/start_up.py [turns]`. It needs PostgreSQL on 127.0.0.1:5432, where root may create
databases, and Redis on 127.0.0.1:6379. The bare project has one model, one viewset and one router, the admin
and a schema, and runs on the same Python with the same packages. A worker has started when it has answered
its first request, a list from the database. Then it is killed, and gunicorn starts another one. Each figure
is the middle of the turns, in which both alternate.
"""

import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # not this folder: it has a module `requests`

from bench.processes import children, empty_database
from bench.requests import BIN, ROOT, environment, free_port, manage

TURNS = 9
WANTED = 1.5
THREADS = 16
SECONDS = 60  # after which a worker that does not answer is given up

MANAGE = """
import os, sys
from django.core.management import execute_from_command_line
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bare.settings")
execute_from_command_line(sys.argv)
"""
SETTINGS = """
import os
import environ
SECRET_KEY = os.environ["SECRET_KEY"]
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "bare.urls"
WSGI_APPLICATION = "bare.wsgi.application"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "corsheaders",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
    "items",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
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
DATABASES = {"default": {**environ.Env.db_url_config(os.environ["DATABASE_URL"]), "CONN_MAX_AGE": 60}}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": os.environ["CACHE_URL"],
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
STATIC_URL = "/static/"
CORS_ALLOWED_ORIGINS = ["https://app.example"]
REST_FRAMEWORK = {
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticatedOrReadOnly"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
    "PAGE_SIZE": 25,
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
"""
URLS = """
from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView
from rest_framework.routers import DefaultRouter
from items.views import ItemViewSet
router = DefaultRouter()
router.register("items", ItemViewSet)
urlpatterns = [
    path("api/v1/", include(router.urls)),
    path("api/schema/", SpectacularAPIView.as_view()),
    path("admin/", admin.site.urls),
]
"""
WSGI = """
import os
from django.core.wsgi import get_wsgi_application
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bare.settings")
application = get_wsgi_application()
"""
MODELS = """
from django.db import models
class Item(models.Model):
    title = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)
    class Meta:
        ordering = ["-created_at"]
"""
ADMIN = """
from django.contrib import admin
from items.models import Item
admin.site.register(Item)
"""
VIEWS = """
from rest_framework import serializers, viewsets
from items.models import Item
class ItemSerializer(serializers.ModelSerializer):
    class Meta:
        model = Item
        fields = ["id", "title", "created_at"]
class ItemViewSet(viewsets.ModelViewSet):
    queryset = Item.objects.all()
    serializer_class = ItemSerializer
    filterset_fields = ["title"]
"""
FILES = {
    "manage.py": MANAGE,
    "bare/__init__.py": "",
    "bare/settings.py": SETTINGS,
    "bare/urls.py": URLS,
    "bare/wsgi.py": WSGI,
    "items/__init__.py": "",
    "items/admin.py": ADMIN,
    "items/models.py": MODELS,
    "items/views.py": VIEWS,
    "items/migrations/__init__.py": "",
}


@dataclass(frozen=True, slots=True)
class Project:
    """A Django project: its folder, its environment, the options of gunicorn, and the path of a list."""

    name: str
    folder: Path
    environment: dict[str, str]
    gunicorn: list[str]
    path: str


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds by the clock, and of processor time of the process and those that it started."""

    wall: float
    processor: float


def main() -> None:
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else TURNS
    with tempfile.TemporaryDirectory() as name, projects(Path(name)) as both:
        checks: dict[str, list[Taken]] = {project.name: [] for project in both}
        servers: dict[str, list[Taken]] = {project.name: [] for project in both}
        workers: dict[str, list[Taken]] = {project.name: [] for project in both}
        for turn in range(turns + 1):
            for project in both:
                found = check(project), *start(project)
                if turn:  # the first one compiles
                    checks[project.name].append(found[0])
                    servers[project.name].append(found[1])
                    workers[project.name].append(found[2])
    print(f"{'seconds, the middle of ' + str(turns):34} {'bare':>6} {'ours':>6} {'ratio':>6} {'wanted':>6}")
    show("manage.py check", checks, "wall")
    show("manage.py check, processor", checks, "processor")
    show("gunicorn until the first answer", servers, "wall")
    show("gunicorn, processor", servers, "processor")
    show("another worker's first answer", workers, "wall")
    show("another worker, processor", workers, "processor")


def show(title: str, found: dict[str, list[Taken]], what: str) -> None:
    bare, ours = (
        statistics.median(getattr(taken, what) for taken in found[name]) for name in ("bare", "ours")
    )
    print(f"{title:34} {bare:6.2f} {ours:6.2f} {ours / bare:6.2f} {WANTED:6.2f}")


@contextmanager
def projects(folder: Path) -> Iterator[list[Project]]:
    """Yield the bare project and ours, each with an empty database that has its tables."""
    with empty_database("bare") as bare_database, empty_database("ours") as our_database:
        for name, content in FILES.items():
            file = folder / "project" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        bare = environment(folder, DATABASE_URL=bare_database, CACHE_URL="redis://127.0.0.1:6379/10")
        ours = environment(
            folder,
            STORAGE="supabase",
            SUPABASE_URL="http://127.0.0.1:9",  # nothing listens there, and nothing asks it
            SUPABASE_JWKS_URL="",
            SWEEP_EVERY="0",  # it is a program of its own, which would start at the same time
            WEB_CONCURRENCY="1",
            THREADS=str(THREADS),
            DATABASE_URL=our_database,
            CACHE_URL="redis://127.0.0.1:6379/9",
        )
        options = [
            "--no-control-socket",
            "-k",
            "gthread",
            "--threads",
            str(THREADS),
            "--timeout",
            "60",
            "-w",
            "1",
            "bare.wsgi",
        ]
        both = [
            Project("bare", folder / "project", bare, options, "/api/v1/items/"),
            Project("ours", ROOT, ours, [], "/api/v1/species/"),
        ]
        manage(
            {**bare, "PYTHONPATH": str(both[0].folder)}, str(both[0].folder / "manage.py"), "makemigrations"
        )
        for project in both:
            manage(project.environment, str(project.folder / "manage.py"), "migrate", "-v0")
        yield both


def check(project: Project) -> Taken:
    """Run `manage.py check`."""
    before, started = processor_seconds(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=project.folder,
        env=project.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    wall = time.perf_counter() - started
    if done.returncode:
        sys.exit(done.stderr)
    return Taken(wall, processor_seconds() - before)


def start(project: Project) -> tuple[Taken, Taken]:
    """Run gunicorn until its worker has answered, and then until another worker has, in its place."""
    port = free_port()
    bind = [] if project.name == "ours" else ["-b", f"127.0.0.1:{port}"]
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as log:
        running = subprocess.Popen(
            [str(BIN / "gunicorn"), *project.gunicorn, *bind],
            cwd=project.folder,
            env={**project.environment, "PORT": str(port)},
            stdout=log,
            stderr=log,
        )
        try:
            status = first_status(port, project.path)
            wall = time.perf_counter() - started
            [worker] = children(running.pid)
            server = Taken(wall, seconds_of(running.pid) + seconds_of(worker))
            started = time.perf_counter()
            os.kill(worker, signal.SIGKILL)
            status = max(status, first_status(port, project.path))
            wall = time.perf_counter() - started
            other = Taken(wall, sum(seconds_of(pid) for pid in children(running.pid) if pid != worker))
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait()
        if status != 200:
            log.seek(0)
            sys.exit(f"{project.name} answered {status}:\n{log.read()}")
    return server, other


def first_status(port: int, path: str) -> int:
    """Return the status of the first response. The request waits in the socket's queue for the worker."""
    until = time.monotonic() + SECONDS
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
                return int(connection.recv(100).split()[1])
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.005)


def seconds_of(pid: int) -> float:
    """Return the processor time of a process that runs."""
    values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")


def processor_seconds() -> float:
    """Return the processor time of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
