"""What `check --deploy` says of a configuration that works, but not for long."""

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import connection
from django.utils import timezone

from api import sweep_status
from api.auth.local.models import LocalUser
from api.uploads.child_process import ChildProcesses
from tests.backend.test_settings import PRODUCTION as ENVIRONMENT
from tests.backend.test_settings import python
from tests.support import child_functions
from tests.support.child_functions import called

PRODUCTION = {
    "DEBUG": False,
    "WEB_CONCURRENCY": 4,
    "PUBLIC_URL": "https://api.zoo.example.org",
    "PUBLIC_SITE_URL": "https://zoo.example.org",
    "SUPABASE_URL": "https://api.zoo.example.org",
    "ALLOWED_HOSTS": ["api.zoo.example.org"],
    "CORS_ALLOWED_ORIGINS": ["https://zoo.example.org"],
    "SWEEP_EVERY": 60,
    "DATABASE_POOL_SIZE": 16,
    "CACHES": {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:6379/0",
        }
    },
}
CACHE = "django.core.cache.backends"
ELSEWHERE = str(Path(tempfile.gettempdir()) / "vivarium-deploy-checks")


@pytest.fixture
def production(settings, db, monkeypatch) -> Any:
    for name, value in PRODUCTION.items():
        setattr(settings, name, value)
    if connection.vendor == "sqlite":
        settings.WEB_CONCURRENCY = 1
    return settings


def told() -> dict[str, str]:
    """Each warning of ours with its cure."""
    found = [each for each in run_checks(include_deployment_checks=True) if each.id.startswith("api.W")]
    return {f"{each.id} {each.msg}": each.hint for each in found}


def test_a_well_configured_production_has_nothing_to_be_told(production):
    assert told() == {}


@pytest.mark.parametrize(
    ("changed", "message", "cure"),
    [
        (
            {"CACHES": {"default": {"BACKEND": f"{CACHE}.locmem.LocMemCache"}}},
            "api.W001 The cache is",
            "redis://",
        ),
        (
            {"CACHES": {"default": {"BACKEND": f"{CACHE}.locmem.LocMemCache"}}, "WEB_CONCURRENCY": 4},
            "WEB_CONCURRENCY is 4: each process counts",
            "redis://",
        ),
        (
            {"CACHES": {"default": {"BACKEND": f"{CACHE}.filebased.FileBasedCache", "LOCATION": ELSEWHERE}}},
            "api.W003 The cache loses counts",
            "redis://",
        ),
        (
            {"CACHES": {"default": {"BACKEND": f"{CACHE}.db.DatabaseCache", "LOCATION": ELSEWHERE}}},
            "api.W003 The cache loses counts",
            "redis://",
        ),
        ({"PUBLIC_URL": ""}, "api.W005 PUBLIC_URL is not set", "PUBLIC_URL=https://"),
        ({"PUBLIC_URL": "http://zoo.example.org"}, "api.W005 PUBLIC_URL is not https", "deploy/nginx.conf"),
        ({"PUBLIC_URL": ""}, "api.W006 STORAGE=local, and nothing tells of a proxy", "deploy/nginx.conf"),
        ({"SWEEP_EVERY": 0}, "the sweep has never run", "manage.py sweep --every 60"),
        ({"DEBUG": True}, "api.W008 DEBUG is true", "Unset DEBUG"),
        ({"CORS_ALLOWED_ORIGINS": ["http://localhost:3000"]}, "has http://localhost:3000", "Remove"),
        ({"ALLOWED_HOSTS": ["*"]}, "ALLOWED_HOSTS has *", "Name the hosts"),
        (
            {"PUBLIC_SITE_URL": "http://127.0.0.1:8000"},
            "PUBLIC_SITE_URL is an address of this",
            "PUBLIC_SITE_URL",
        ),
        ({"SUPABASE_URL": "http://localhost:8000"}, "SUPABASE_URL is an address of this", "SUPABASE_URL"),
    ],
)
def test_what_is_wrong_is_told_with_its_cure(production, changed: dict[str, Any], message: str, cure: str):
    for name, value in changed.items():
        setattr(production, name, value)

    assert [cure in hint for what, hint in told().items() if message in what] == [True]


def test_a_store_elsewhere_needs_no_proxy_for_files(production):
    production.STORAGE, production.PUBLIC_URL = "supabase", ""

    assert not any("W006" in what for what in told())


def test_sqlite_is_told_with_several_processes(production):
    production.WEB_CONCURRENCY = 2

    assert any("api.W004 The database is SQLite" in what for what in told()) == (
        connection.vendor == "sqlite"
    )


def test_a_sweep_that_runs_elsewhere_is_seen(production):
    production.SWEEP_EVERY = 0
    sweep_status.record(1.0, 0)
    assert told() == {}

    sweep_status.LastSweep.objects.update(finished_at=timezone.now() - timedelta(hours=2))
    assert any("has not run since" in what for what in told())


def test_accounts_of_development_are_told(production):
    LocalUser.objects.create(email="alice@example.org")

    assert any("1 accounts of the local Auth server" in what for what in told())


def test_more_connections_than_postgresql_allows_are_told(production, monkeypatch):
    """16 threads and as many connections: six processes fit into a PostgreSQL as it is installed."""
    monkeypatch.setattr("api.deploy_checks.connection.vendor", "postgresql")
    monkeypatch.setattr("api.deploy_checks._allowed_connections", lambda: 97)
    for processes, fits in [(5, True), (6, False)]:
        production.WEB_CONCURRENCY = processes
        assert bool(told()) != fits

    assert any("may open 99 connections: 16 for each of 6" in what for what in told())
    production.WEB_CONCURRENCY, production.DATABASE_POOL_SIZE = 3, 0
    (found,) = told().items()
    assert "48 for each of 3 processes" in found[0]
    assert found[1].startswith("Unset DATABASE_POOL_SIZE=0")


def test_the_limit_of_postgresql_is_read(production):
    if connection.vendor != "postgresql":
        pytest.skip("PostgreSQL only: make test-postgresql")
    production.WEB_CONCURRENCY = 1000

    assert any("api.W009" in what for what in told())


def test_without_a_database_the_rest_is_told():
    """As when an image is built."""
    unreachable = {"DATABASE_URL": "postgres://nobody@127.0.0.1:9/none", "CACHE_URL": "", "SWEEP_EVERY": "0"}
    done = python("manage.py", "check", "--deploy", **{**ENVIRONMENT, **unreachable})

    assert done.returncode == 0, done.stderr
    assert "api.W005" in done.stderr
    assert "api.W007" not in done.stderr


def test_decoders_that_cannot_be_loaded_are_told(production, monkeypatch):
    """As when a library of Pillow is missing: only child processes load it."""
    broken = ChildProcesses(at_once=1, modules=["nowhere"])
    monkeypatch.setattr("api.deploy_checks.CHILDREN", broken)
    try:
        (found,) = told()
    finally:
        broken.close()

    assert found.startswith("api.W010 Pictures cannot be opened")


def test_a_decoder_that_refuses_a_picture_is_told(production, monkeypatch):
    monkeypatch.setattr("api.deploy_checks.CHECK", called(child_functions.refuse))

    (found,) = told()
    assert found == "api.W010 Pictures cannot be opened, so all uploads of them fail: invalid"
