"""System checks for production, which `manage.py check --deploy` runs: what works, but not for long.

Some ask the database. If it does not answer, they say nothing: `/readyz` does.
"""

import tempfile
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register
from django.db import Error as AnyDatabaseError
from django.db import connection
from django.utils import timezone

from api import sweep_status
from api.auth.local.models import LocalUser
from api.uploads.child_process import ChildFailed, ChildUnavailable, FunctionRaised
from api.uploads.verification import CHECK, CHILDREN, LIMITS

Check = Callable[[], Iterator[CheckMessage]]

MAX_SILENCE = timedelta(hours=1)  # of the sweep
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
THREADS_WITH_CONNECTIONS = 3  # for each of THREADS: requests with long bodies have threads of their own
OTHER_CONNECTIONS = 3  # the sweep, a management command, and a person who looks
#: A PNG with one pixel, in Base64.
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="


def deploy_check(check: Check) -> Check:
    """Register a check for `check --deploy`."""

    @register(deploy=True)
    def run(app_configs: Sequence[Any] | None, **options: Any) -> list[CheckMessage]:
        return list(check())

    return check


def warning(number: int, what: str, cure: str) -> CheckMessage:
    return Warning(what, hint=cure, id=f"api.W{number:03}")


@deploy_check
def check_cache() -> Iterator[CheckMessage]:
    backend = settings.CACHES["default"]["BACKEND"]
    cure = "Set CACHE_URL=redis://…."
    if "locmem" in backend and settings.WEB_CONCURRENCY > 1:
        what = (
            f"The cache is in-process, and WEB_CONCURRENCY is {settings.WEB_CONCURRENCY}: each process "
            "counts requests for itself, so clients can exceed the rates of throttles."
        )
        yield warning(1, what, cure)
    elif "locmem" in backend:
        what = "The cache is in-process: it is lost with each start, and a second server would not share it."
        yield warning(1, what, cure)
    elif "filebased" in backend or "cache.backends.db" in backend:
        what = "The cache loses counts of concurrent requests, so clients can exceed the rates of throttles."
        yield warning(3, what, cure)


@deploy_check
def check_pictures() -> Iterator[CheckMessage]:
    """Open a picture as uploads are opened: in a child process, which alone loads the decoders."""
    try:
        with tempfile.TemporaryFile() as file, CHILDREN.reserve(lambda: None) as child:
            file.write(b64decode(PICTURE))
            file.flush()
            verdict: str = child.run(CHECK, [file], ["PNG", 1], limits=LIMITS, on_wait=lambda: None)
    except (ChildUnavailable, ChildFailed, FunctionRaised, OSError) as error:
        verdict = str(error)
    if verdict != "valid":
        cure = "Install Pillow and pillow_heif again, see that /tmp can be written, and run this check again."
        yield warning(10, f"Pictures cannot be opened, so all uploads of them fail: {verdict}", cure)


@deploy_check
def check_database() -> Iterator[CheckMessage]:
    if connection.vendor == "sqlite" and settings.WEB_CONCURRENCY > 1:
        what = (
            f"The database is SQLite, and WEB_CONCURRENCY is {settings.WEB_CONCURRENCY}: while one process "
            "writes, all others wait, and a second server cannot use it."
        )
        yield warning(4, what, "Set DATABASE_URL=postgres://…, or WEB_CONCURRENCY=1 for a small site.")


@deploy_check
def check_public_url() -> Iterator[CheckMessage]:
    if not settings.PUBLIC_URL:
        what = "PUBLIC_URL is not set, so the URLs in responses start with whatever host a client asks for."
        yield warning(5, what, "Set PUBLIC_URL=https://api.zoo.example.org, the address that clients use.")
    elif urlsplit(settings.PUBLIC_URL).scheme != "https":
        what = "PUBLIC_URL is not https: access tokens and files can be read on their way."
        yield warning(5, what, "Let a proxy do TLS, such as deploy/nginx.conf, and set its https address.")


@deploy_check
def check_proxy() -> Iterator[CheckMessage]:
    if settings.STORAGE == "local" and urlsplit(settings.PUBLIC_URL).scheme != "https":
        what = (
            "STORAGE=local, and nothing tells of a proxy: each slow download occupies one of the "
            f"{settings.THREADS} threads of a process."
        )
        yield warning(
            6, what, "Put a buffering proxy in front, such as deploy/nginx.conf, and set PUBLIC_URL."
        )


@deploy_check
def check_sweep() -> Iterator[CheckMessage]:
    """With SWEEP_EVERY gunicorn runs the sweep."""
    if settings.SWEEP_EVERY:
        return
    try:
        last = sweep_status.last_sweep()
    except AnyDatabaseError:
        return
    if last is None or timezone.now() - last.finished_at > MAX_SILENCE:
        since = f"has not run since {last.finished_at:%Y-%m-%d %H:%M} UTC" if last else "has never run"
        what = (
            f"SWEEP_EVERY=0, and the sweep {since}: files of deleted rows stay in the storage, and uploads "
            "without a callback are never completed."
        )
        yield warning(7, what, "Run `manage.py sweep --every 60` as a service, or unset SWEEP_EVERY.")


@deploy_check
def check_leftovers() -> Iterator[CheckMessage]:
    """What was right on a developer's machine."""
    if settings.DEBUG:
        what = "DEBUG is true: errors show settings and code, and well-known keys are accepted."
        yield warning(8, what, "Unset DEBUG.")
        return
    if local := [origin for origin in settings.CORS_ALLOWED_ORIGINS if _is_local(origin)]:
        what = f"CORS_ALLOWED_ORIGINS has {', '.join(local)}: any program on a computer is such an origin."
        yield warning(8, what, "Remove the origins of this machine.")
    if "*" in settings.ALLOWED_HOSTS:
        yield warning(8, "ALLOWED_HOSTS has *: every host is accepted.", "Name the hosts of this server.")
    for name in ("PUBLIC_SITE_URL", "SUPABASE_URL"):
        if _is_local(getattr(settings, name)):
            what = f"{name} is an address of this machine, which no client can reach."
            yield warning(8, what, f"Set {name} to the address that clients use.")
    try:
        accounts = LocalUser.objects.count()
    except AnyDatabaseError:
        return
    if accounts:
        what = f"The database has {accounts} accounts of the local Auth server, with published passwords."
        yield warning(
            8, what, "They cannot sign in without DEBUG. Use another database than that of development."
        )


@deploy_check
def check_connections() -> Iterator[CheckMessage]:
    """Compare the connections that all processes may open with what PostgreSQL allows."""
    if connection.vendor != "postgresql":
        return
    try:
        allowed = _allowed_connections()
    except AnyDatabaseError:
        return
    each = settings.DATABASE_POOL_SIZE or THREADS_WITH_CONNECTIONS * settings.THREADS
    processes = settings.WEB_CONCURRENCY
    needed = processes * each + OTHER_CONNECTIONS
    if needed <= allowed:
        return
    what = (
        f"This server may open {needed} connections: {each} for each of {processes} processes, and "
        f"{OTHER_CONNECTIONS} for commands. PostgreSQL allows {allowed}, to all servers together."
    )
    cure = "Set THREADS or WEB_CONCURRENCY lower, raise max_connections, or use a transaction pooler."
    if not settings.DATABASE_POOL_SIZE:
        cure = f"Unset DATABASE_POOL_SIZE=0, so that the threads of a process share connections. {cure}"
    yield warning(9, what, cure)


def _allowed_connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('max_connections')::int"
            " - current_setting('superuser_reserved_connections')::int"
        )
        return int(cursor.fetchone()[0])


def _is_local(url: str) -> bool:
    return urlsplit(url).hostname in LOCAL_HOSTS
