"""The programs that measure can start what they measure."""

from pathlib import Path

import pytest

from bench.migration import Bench


@pytest.mark.slow
def test_a_site_and_its_target_are_made(tmp_path: Path, monkeypatch):
    """A module of `bench/` has the name of a library, which must not be hidden from them."""
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "backend.settings")

    bench = Bench(tmp_path)

    assert bench.database.exists()
    bench.documents(["a.pdf"])
