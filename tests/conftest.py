"""Fixtures that every test may use."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.cache import cache

from tests.cast import Caller
from tests.server import Server


@pytest.fixture(autouse=True)
def _own_media_and_cache(settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = str(tmp_path / "media")
    cache.clear()


@pytest.fixture
def alice(db) -> Caller:
    return Caller("alice@example.org")


@pytest.fixture
def bob(db) -> Caller:
    return Caller("bob@example.org")


@pytest.fixture
def curator(db) -> Caller:
    return Caller("curator@example.org", role="staff")


@pytest.fixture
def nobody(db) -> Caller:
    return Caller()


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    """Two worker processes that all tests share: leave nothing behind that others would trip over."""
    with Server(tmp_path_factory.mktemp("server")) as running:
        yield running
