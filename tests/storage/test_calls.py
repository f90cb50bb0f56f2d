"""Observers hear of each call of a store once: its method, how it ended, and how long it took."""

from collections.abc import Iterator

import pytest

from storage import calls
from storage.base import SignedStorage, store_of
from storage.errors import (
    ObjectExists,
    ObjectMissing,
    ObjectRefused,
    StorageMisconfigured,
    StorageUnavailable,
)

OPTIONS = {"content_type": "application/pdf", "cache_control": "max-age=60"}


@pytest.fixture
def heard(monkeypatch) -> Iterator[list[tuple[str, str]]]:
    found: list[tuple[str, str]] = []

    def observe(call: str, outcome: str, seconds: float) -> None:
        assert 0 <= seconds < 60
        found.append((call, outcome))

    monkeypatch.setattr(calls, "observers", [observe])
    return found


@pytest.fixture
def store() -> SignedStorage:
    return store_of("documents")


def test_each_call_is_heard_once_with_its_outcome(store: SignedStorage, heard: list[tuple[str, str]]):
    store.put("a/b.pdf", [b"%PDF-"], **OPTIONS)
    with pytest.raises(ObjectExists):
        store.put("a/b.pdf", [b"%PDF-"], **OPTIONS)
    assert store.has_object("a/b.pdf")
    store.move("a/b.pdf", store, "a/c.pdf")
    assert not store.delete_if_exists("a/b.pdf")
    with store.open("a/c.pdf") as file:
        assert file.read() == b"%PDF-"

    assert heard == [
        ("put", "ok"),
        ("put", "exists"),
        ("describe", "ok"),
        ("move", "ok"),
        ("delete_object", "missing"),
        ("read", "ok"),
    ]


def test_urls_that_are_cached_are_no_calls(store: SignedStorage, heard: list[tuple[str, str]]):
    store.put("a/b.pdf", [b"%PDF-"], **OPTIONS)
    for _ in range(3):
        store.sign_download("a/b.pdf", seconds=300)
    store.sign_upload("a/c.pdf", "application/pdf", seconds=60)

    assert heard == [("put", "ok"), ("download_tokens", "ok"), ("upload_token", "ok")]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ObjectMissing("x"), "missing"),
        (ObjectRefused("x"), "refused"),
        (StorageMisconfigured("x"), "misconfigured"),
        (StorageUnavailable("x"), "unavailable"),
        (TypeError("x"), "error"),
        (KeyboardInterrupt(), "error"),
    ],
)
def test_a_call_that_fails_is_heard_and_still_fails(heard, error: BaseException, outcome: str):
    class Failing(SignedStorage):
        def describe(self, key):
            raise error

        def read(self, key):
            return self.describe(key)

    with pytest.raises(type(error)):
        Failing("documents").read("a/b.pdf")  # what a method calls is a part of the same call

    assert heard == [("read", outcome)]


def test_a_call_after_one_that_failed_is_heard(store: SignedStorage, heard: list[tuple[str, str]]):
    for _ in range(2):
        with pytest.raises(ObjectMissing):
            store.describe("a/none.pdf")

    assert heard == [("describe", "missing")] * 2


def test_an_observer_that_fails_changes_nothing(store: SignedStorage, monkeypatch):
    def fail(call: str, outcome: str, seconds: float) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(calls, "observers", [fail])
    store.put("a/b.pdf", [b"%PDF-"], **OPTIONS)

    assert store.has_object("a/b.pdf")
