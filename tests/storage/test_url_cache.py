"""The cache of signed URLs: what all processes share, and what each one remembers for a few seconds."""

import time

import pytest
from django.core.cache import cache

from storage import tokens, url_cache

LIFETIME = 600


@pytest.fixture
def calls(monkeypatch) -> list[str]:
    """The calls of the cache."""
    made = []
    for name in ("get_many", "set_many", "delete"):
        call = getattr(cache, name)
        monkeypatch.setattr(
            cache, name, lambda *args, name=name, call=call, **kw: made.append(name) or call(*args, **kw)
        )
    return made


def later(monkeypatch, seconds: float) -> None:
    moment = time.time() + seconds
    monkeypatch.setattr(time, "time", lambda: moment)


def token(key: str) -> str:
    return tokens.mint("download", "documents", key, LIFETIME)


def known(*keys: str, seconds: int = LIFETIME) -> dict[str, str]:
    return url_cache.get_many("documents", keys, seconds)


def test_a_token_is_remembered_without_the_cache(calls):
    made = {"a": token("a")}
    url_cache.set_many("documents", made, LIFETIME)
    calls.clear()

    assert known("a") == known("a") == made
    assert calls == []


def test_the_token_of_another_process_is_remembered_too(calls):
    made = {"a": token("a"), "b": token("b")}
    url_cache.set_many("documents", made, LIFETIME)
    url_cache.forget()
    calls.clear()

    assert known("a", "b") == known("a", "b") == made
    assert calls == ["get_many"]


def test_only_what_is_not_remembered_is_asked_for(monkeypatch):
    url_cache.set_many("documents", {"a": token("a")}, LIFETIME)
    asked = []
    monkeypatch.setattr(cache, "get_many", lambda names: asked.append(len(names)) or {})

    assert known("a", "b", "c").keys() == {"a"}
    assert asked == [2]


def test_what_another_process_deleted_is_known_for_ten_seconds(monkeypatch):
    url_cache.set_many("documents", {"a": token("a")}, LIFETIME)
    cache.clear()

    later(monkeypatch, 9)
    assert known("a")
    later(monkeypatch, 2)
    assert not known("a")


def test_a_token_is_not_remembered_beyond_half_of_its_life(monkeypatch):
    url_cache.set_many("documents", {"a": token("a")}, LIFETIME)
    url_cache.forget()
    later(monkeypatch, LIFETIME / 2 - 5)
    assert known("a")  # the cache still has it
    cache.clear()

    later(monkeypatch, 2)
    assert known("a")
    later(monkeypatch, 4)
    assert not known("a")


def test_what_this_process_deletes_is_gone():
    url_cache.set_many("documents", {"a": token("a")}, LIFETIME)
    url_cache.delete("documents", "a")

    assert not known("a")


def test_a_token_for_another_lifetime_is_another_one():
    url_cache.set_many("documents", {"a": token("a")}, LIFETIME)

    assert not known("a", seconds=60)


def test_a_process_remembers_a_bounded_number(monkeypatch):
    monkeypatch.setattr(url_cache, "MAX_REMEMBERED", 3)
    for number in range(10):
        url_cache.set_many("documents", {str(number): token(str(number))}, LIFETIME)
        assert len(url_cache.remembered) <= 3

    assert known(*map(str, range(10))).keys() == {str(number) for number in range(10)}


def test_a_remembered_token_is_not_shown():
    made = token("a")
    url_cache.set_many("documents", {"a": made}, LIFETIME)

    assert made not in repr(url_cache.remembered)


def test_what_is_being_deleted_is_not_remembered_again(monkeypatch):
    """Another thread asks the cache just before the token is deleted there."""
    url_cache.set_many("documents", {"a": token("a")}, LIFETIME)
    url_cache.forget()
    delete = cache.delete
    monkeypatch.setattr(cache, "delete", lambda name: (known("a"), delete(name)))
    url_cache.delete("documents", "a")

    assert not known("a")
