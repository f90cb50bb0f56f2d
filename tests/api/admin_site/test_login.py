"""Logging in to the admin: wrong passwords are limited by account and address, before they are hashed."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.cookies import SimpleCookie
from io import StringIO
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import connection
from django.http import HttpRequest
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from api.admin_site.client_address import client_network
from api.admin_site.login_limits import (
    ACCOUNT_LIMIT,
    ADDRESS_LIMIT,
    DEVICE_COOKIE,
    DEVICE_LIMIT,
    PERIOD,
)
from api.models import AttemptCount
from tests.support.cases import DATABASES
from tests.support.cast import Caller, Keeper
from tests.support.hashing import CountingHasher
from tests.support.server import Server

RIGHT = "a right and proper password"


@pytest.fixture
def hashed(settings) -> Iterator[list[str]]:
    """The passwords that were hashed."""
    settings.PASSWORD_HASHERS = ["tests.support.hashing.CountingHasher"]
    CountingHasher.hashed.clear()
    yield CountingHasher.hashed
    CountingHasher.hashed.clear()


@pytest.fixture
def keeper(db, hashed: list[str]) -> User:
    user = User.objects.create_superuser("keeper", password=RIGHT)
    hashed.clear()
    return user


class Browser:
    """A browser at this address, with its own cookies."""

    def __init__(self, address: str = "198.51.100.1") -> None:
        self.address, self.client = address, Client()

    def log_in(self, password: str = "wrong", username: str = "keeper", **options: Any) -> Any:
        form = {"username": username, "password": password, "next": "/admin/"}
        return self.client.post("/admin/login/", form, REMOTE_ADDR=self.address, **options)


def addresses(number: int) -> list[str]:
    return [f"198.51.100.{last}" for last in range(1, number + 1)]


def lock(account: str = "keeper") -> None:
    """Send wrong passwords for this account from many addresses, until no more are taken."""
    for address in addresses(ACCOUNT_LIMIT):
        assert Browser(address).log_in(username=account).status_code == 200
    assert Browser("203.0.113.9").log_in(username=account).status_code == 429


# --- The limits ------------------------------------------------------------------------------------------


def test_the_right_password_opens_the_admin(keeper: User):
    answer = Browser().log_in(RIGHT)

    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")


def test_wrong_passwords_from_one_address_are_limited_whatever_the_account(keeper: User, hashed: list[str]):
    answers = [Browser().log_in(username=f"user{n}") for n in range(ADDRESS_LIMIT + 3)]

    assert [answer.status_code for answer in answers] == [200] * ADDRESS_LIMIT + [429] * 3
    assert len(hashed) == ADDRESS_LIMIT
    assert Browser().log_in(RIGHT).status_code == 429
    assert Browser("203.0.113.9").log_in(RIGHT).status_code == 302, "another address"


def test_wrong_passwords_for_one_account_are_limited_whatever_the_address(keeper: User, hashed: list[str]):
    answers = [Browser(address).log_in() for address in addresses(ACCOUNT_LIMIT + 3)]

    assert [answer.status_code for answer in answers] == [200] * ACCOUNT_LIMIT + [429] * 3
    assert len(hashed) == ACCOUNT_LIMIT
    assert Browser(addresses(1)[0]).log_in(username="other").status_code == 200, "another account"


def test_one_address_alone_locks_no_account(keeper: User):
    for _ in range(ACCOUNT_LIMIT * 2):
        Browser().log_in()

    assert Browser("203.0.113.9").log_in(RIGHT).status_code == 302


def test_an_account_that_does_not_exist_is_limited_and_hashed_like_one_that_does(
    keeper: User, hashed: list[str]
):
    lock("keeper")
    existing = len(hashed)
    AttemptCount.objects.all().delete()
    lock("nobody")

    assert len(hashed) == 2 * existing


def test_right_passwords_are_not_counted(keeper: User):
    for _ in range(ADDRESS_LIMIT + 1):
        assert Browser().log_in(RIGHT).status_code == 302


def test_a_right_password_does_not_let_an_address_guess_on(keeper: User):
    for _ in range(ADDRESS_LIMIT - 1):
        Browser().log_in(username="other")
    Browser().log_in(RIGHT)

    assert Browser().log_in(username="other").status_code == 200
    assert Browser().log_in(username="other").status_code == 429


def test_after_the_period_everybody_may_try_again(keeper: User):
    lock()
    AttemptCount.objects.update(expires_at=timezone.now())

    assert Browser().log_in(RIGHT).status_code == 302


def test_refused_attempts_do_not_prolong_the_period(keeper: User):
    lock()
    before = AttemptCount.objects.filter(attempts=ACCOUNT_LIMIT).get()
    Browser("203.0.113.9").log_in()

    after = AttemptCount.objects.get(pk=before.pk)
    assert (after.expires_at, after.attempts) == (before.expires_at, before.attempts)


@pytest.mark.slow
@pytest.mark.parametrize("database", DATABASES)
def test_of_many_guesses_at_once_no_more_than_the_limit_are_hashed(database: str, request):
    server: Server = request.getfixturevalue(database)

    cookies = server.client().get("/admin/login/").cookies

    def guess(_: int) -> int:
        form = {"username": "keeper", "password": "wrong", "csrfmiddlewaretoken": cookies["csrftoken"]}
        headers = {"X-Forwarded-For": "203.0.113.77", "Cookie": f"csrftoken={cookies['csrftoken']}"}
        return httpx.post(f"{server.url}/admin/login/", data=form, headers=headers, timeout=120).status_code

    with ThreadPoolExecutor(48) as pool:
        statuses = list(pool.map(guess, range(48)))

    assert sorted(statuses) == [200] * ADDRESS_LIMIT + [429] * (48 - ADDRESS_LIMIT)


def test_the_old_password_is_not_guessed_by_who_has_the_session(keeper: User, hashed: list[str]):
    keeper_here = Keeper("keeper")
    new = {"new_password1": "another proper one", "new_password2": "another proper one"}
    for _ in range(DEVICE_LIMIT):
        assert keeper_here.post("password_change/", {"old_password": "wrong", **new}).status_code == 200
    hashed.clear()

    answer = keeper_here.post("password_change/", {"old_password": RIGHT, **new})

    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/password_change/")
    assert "Too many wrong passwords" in keeper_here.get("password_change/").content.decode()
    assert hashed == []


# --- Known browsers, and the way out ---------------------------------------------------------------------


def test_who_has_logged_in_before_is_not_locked_out_by_others(keeper: User):
    known = Browser()
    known.log_in(RIGHT)
    lock()
    for _ in range(ADDRESS_LIMIT):
        Browser(known.address).log_in(username="other")

    assert known.log_in(RIGHT).status_code == 302


def test_a_known_browser_has_a_limit_of_its_own(keeper: User, hashed: list[str]):
    known = Browser()
    known.log_in(RIGHT)
    hashed.clear()

    answers = [known.log_in() for _ in range(DEVICE_LIMIT + 2)]

    assert [answer.status_code for answer in answers] == [200] * DEVICE_LIMIT + [429] * 2
    assert len(hashed) == DEVICE_LIMIT


def test_a_browser_is_known_for_its_own_account_only(keeper: User):
    User.objects.create_user("other", password=RIGHT, is_staff=True)
    known = Browser()
    known.log_in(RIGHT, username="other")
    lock()

    assert known.log_in(RIGHT).status_code == 429


def test_nobody_makes_a_known_browser(keeper: User):
    known = Browser()
    known.log_in(RIGHT)
    value = known.client.cookies[DEVICE_COOKIE].value
    lock()

    forger = Browser()
    other = "A" if value[0] != "A" else "B"
    forger.client.cookies = SimpleCookie({DEVICE_COOKIE: f"{other}{value[1:]}"})
    assert forger.log_in(RIGHT).status_code == 429


def test_the_cookie_is_for_the_admin_and_no_script(keeper: User, settings):
    settings.SESSION_COOKIE_SECURE = True
    browser = Browser()

    browser.log_in(RIGHT)

    cookie = browser.client.cookies[DEVICE_COOKIE]
    assert (cookie["path"], cookie["httponly"], cookie["secure"], cookie["samesite"]) == (
        "/admin/",
        True,
        True,
        "Lax",
    )


def test_a_wrong_password_makes_no_known_browser(keeper: User):
    browser = Browser()
    browser.log_in()

    assert DEVICE_COOKIE not in browser.client.cookies


def test_a_command_lets_everybody_try_again(keeper: User):
    lock()

    call_command("unlock_login", stdout=StringIO())

    assert Browser("203.0.113.9").log_in(RIGHT).status_code == 302


def test_expired_counts_and_sessions_are_purged(keeper: User):
    Browser().log_in()
    Browser("203.0.113.9").log_in(RIGHT)
    AttemptCount.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_session SET expire_date = '2001-01-01'")

    call_command("sweep", stdout=StringIO())

    assert not AttemptCount.objects.exists()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM django_session")
        assert cursor.fetchone() == (0,)


# --- What is told ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "title"), [("en", "Log in"), ("es", "Iniciar sesión")])
def test_who_is_refused_sees_the_form_and_when_to_try_again(language: str, title: str, keeper: User):
    lock()

    answer = Browser("203.0.113.9").log_in(headers={"accept-language": language})

    page = answer.content.decode()
    assert 0 < int(answer.headers["Retry-After"]) <= PERIOD.total_seconds()
    assert title in page
    assert re.search(r'class="errornote">\s*[^<]*15[^<]*</', page)


def test_no_password_and_no_name_is_logged_or_stored(keeper: User, caplog):
    for _ in range(ADDRESS_LIMIT + 1):
        Browser().log_in("my-secret-guess", username="somebody")

    assert "login_throttled" in caplog.text
    assert "198.51.100.1" in caplog.text
    stored = " ".join(AttemptCount.objects.values_list("key", flat=True))
    for secret in ("my-secret-guess", "somebody"):
        assert secret not in caplog.text
        assert secret not in stored
    assert "198.51.100.1" not in stored


@pytest.mark.parametrize("weak", ["Short1!", "password1234", "123456789012345", "keeper-keeper"])
def test_weak_passwords_are_refused(weak: str):
    with pytest.raises(ValidationError):
        validate_password(weak, User(username="keeper-keeper"))


def test_the_api_knows_nothing_of_it(alice: Caller):
    alice.get("documents/")
    with CaptureQueriesContext(connection) as queries:
        alice.get("documents/")

    assert not [query for query in queries if "attemptcount" in query["sql"] or "session" in query["sql"]]


# --- Addresses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "expected"),
    [
        ("127.0.0.1", "198.51.100.1", "", "198.51.100.1"),
        ("127.0.0.1", "198.51.100.1", "203.0.113.9", "198.51.100.1"),  # no proxy: the client's lie
        ("127.0.0.1", "127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "127.0.0.1", "192.0.2.1, 203.0.113.9", "203.0.113.9"),  # the first is the client's lie
        ("127.0.0.1,10.0.0.0/8", "127.0.0.1", "192.0.2.1, 203.0.113.9, 10.1.2.3", "203.0.113.9"),
        ("127.0.0.1", "127.0.0.1", "nonsense", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "", "203.0.113.9", "203.0.113.9"),  # a Unix socket
        ("127.0.0.1", "", "", ""),
        ("*", "192.0.2.7", "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::/64"),
        ("::1", "::1", "2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("127.0.0.1", "::ffff:127.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "127.0.0.1", "192.0.2.1:1, 203.0.113.9:50123", "203.0.113.9"),  # Azure's gateways
        ("127.0.0.1", "127.0.0.1", "[2001:db8:1:2::9]:50123", "2001:db8:1:2::/64"),
        ("127.0.0.1", "127.0.0.1", "[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
        ("127.0.0.1", "127.0.0.1", "203.0.113.9:", "127.0.0.1"),
    ],
)
def test_the_address_is_what_the_nearest_proxies_that_are_trusted_say(
    trusted: str, peer: str, forwarded: str, expected: str, settings
):
    settings.FORWARDED_ALLOW_IPS = trusted.split(",")
    request = HttpRequest()
    request.META = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded}

    assert client_network(request) == expected
