"""How fast bytes leave, by a clock that only moves when somebody sleeps."""

import hashlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from storage.transfer import bandwidth
from storage.transfer.bandwidth import Bandwidth


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """`now`, in seconds."""
    clock = SimpleNamespace(now=0.0)

    def sleep(seconds: float) -> None:
        clock.now += seconds

    monkeypatch.setattr(bandwidth, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=sleep))
    return clock


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(bytes(5000))
    return path


def sent(file: Path, pace: Bandwidth) -> None:
    with pace.open(file) as content:
        while content.read(1000):
            continue


def test_all_that_is_sent_shares_one_rate(clock, file):
    limited = Bandwidth(1000)

    sent(file, limited)
    sent(file, limited)

    assert clock.now == pytest.approx(10)


def test_an_idle_time_is_not_made_up_for(clock, file):
    limited = Bandwidth(1000)
    clock.now = 100.0

    sent(file, limited)

    assert clock.now == pytest.approx(105)


def test_what_is_only_hashed_does_not_wait(clock, file):
    with Bandwidth(1000).open(file) as content:
        assert hashlib.file_digest(content, "sha256").digest() == hashlib.sha256(bytes(5000)).digest()

    assert clock.now == 0


@pytest.mark.parametrize(
    ("rate", "threads", "min_rate"),
    [(None, 8, 32 * 1024), (10**9, 8, 32 * 1024), (60_000, 8, 3750), (1, 64, 1)],
)
def test_what_is_held_back_is_given_the_time_that_it_needs(rate, threads, min_rate):
    assert Bandwidth(rate, threads).min_rate == min_rate


def test_without_a_limit_nothing_waits(clock, file):
    sent(file, Bandwidth())

    assert clock.now == 0
