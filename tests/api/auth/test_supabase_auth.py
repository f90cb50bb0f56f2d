"""How Supabase Auth is asked: under our own name, never for long, never for much, and nobody else."""

import socket
import time
from typing import Any

import pytest

from api.auth import supabase_auth
from tests.support.access_tokens import KEYS
from tests.support.auth_server import KeyServer, Loopback
from tests.support.whoami import keys_are_unavailable, opens


@pytest.fixture(autouse=True)
def _routes(settings, clock) -> None:
    settings.ROOT_URLCONF = "tests.support.whoami"


def test_it_is_asked_once_under_our_own_name(key_server: KeyServer, settings):
    settings.SUPABASE_PUBLISHABLE_KEY = "sb_publishable_of_this_test"

    assert all(opens(algorithm) for algorithm in KEYS for _ in range(20))

    assert key_server.hits == 1
    assert key_server.asked[0]["user-agent"] == "vivarium"
    assert key_server.asked[0]["apikey"] == "sb_publishable_of_this_test"
    assert "authorization" not in key_server.asked[0]


def test_without_a_publishable_key_none_is_sent(key_server: KeyServer):
    assert opens()

    assert "apikey" not in key_server.asked[0]


def test_a_redirect_is_not_followed(key_server: KeyServer):
    with KeyServer() as elsewhere:
        key_server.fail(302)
        key_server.headers["Location"] = elsewhere.url

        assert keys_are_unavailable()
        assert elsewhere.hits == 0


@pytest.mark.parametrize("drips", ["", "headers", "body"], ids=["silent", "drips headers", "drips its body"])
def test_who_answers_too_slowly_is_given_up(key_server: KeyServer, drips: str, monkeypatch):
    monkeypatch.setattr(supabase_auth, "TIMEOUT", 0.3)
    key_server.drips = drips
    if not drips:
        key_server.open.clear()
    began = time.monotonic()

    assert keys_are_unavailable()
    assert time.monotonic() - began < 1


def test_the_patience_is_three_seconds():
    assert supabase_auth.TIMEOUT == 3


def test_a_cookie_is_not_sent_with_the_token_of_another_user(key_server: KeyServer):
    key_server.headers["Set-Cookie"] = "session=of-alice; Path=/"

    for token in ("of alice", "of bob"):
        supabase_auth.get(key_server.url, token)

    assert [asked["authorization"] for asked in key_server.asked] == ["Bearer of alice", "Bearer of bob"]
    assert not any("cookie" in asked for asked in key_server.asked)


@pytest.mark.parametrize(("bypassed", "is_used"), [("", True), ("auth.example.org", False)])
def test_the_proxy_of_the_environment_is_used(bypassed: str, is_used: bool, monkeypatch):
    with Loopback() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.rpartition("/")[0])
        monkeypatch.setenv("no_proxy", bypassed)
        monkeypatch.setattr(socket, "getaddrinfo", _nowhere(socket.getaddrinfo))

        if is_used:
            assert supabase_auth.get("http://auth.example.org/user").status == 200
        else:
            with pytest.raises(supabase_auth.SupabaseAuthUnavailable):
                supabase_auth.get("http://auth.example.org/user")

    assert [asked["path"] for asked in proxy.asked] == ["http://auth.example.org/user"] * is_used


def _nowhere(getaddrinfo: Any) -> Any:
    """Let names have no address; numbers are resolved as they are."""

    def resolve(host: str, *arguments: Any, **options: Any) -> Any:
        if "example" in host:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return getaddrinfo(host, *arguments, **options)

    return resolve
