"""Limits how often somebody may enter a wrong password, by account and by address.

Each attempt is counted before the password is hashed, by a single UPDATE that the limit is a condition of. So
of concurrent attempts no more than the limit get to the hasher, on SQLite and PostgreSQL alike. An attempt
with the right password is taken back.

Anybody could lock an administrator out by wrong passwords for the account. So a browser with which somebody
has logged in before has a count of its own, and no other: see `known_device`. This is the protocol of
https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies.
"""

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

import structlog
from django.conf import settings
from django.db import models
from django.db.models import F
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import get_random_string, salted_hmac
from django.utils.translation import ngettext

from api.admin_site.client_address import client_network
from api.exceptions import Refused

PERIOD = timedelta(minutes=15)
ADDRESS_LIMIT = 10  # for all accounts
ACCOUNT_LIMIT = 20  # for all addresses together: one address alone cannot reach it
DEVICE_LIMIT = 10

DEVICE_COOKIE = "admin_device"
DEVICE_LIFETIME = timedelta(days=180)

logger = structlog.get_logger("api.login")


class AttemptCountQuerySet(models.QuerySet["AttemptCount"]):
    def expired(self) -> Self:
        return self.filter(expires_at__lte=timezone.now())


class AttemptCount(models.Model):
    """How often wrong passwords were sent within PERIOD. The key is a hash: names are not stored."""

    key = models.CharField(primary_key=True, max_length=64)
    attempts = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField(db_index=True)

    objects = AttemptCountQuerySet.as_manager()

    def __str__(self) -> str:
        return self.key


@dataclass(frozen=True, slots=True)
class Limit:
    """`scope`: what is counted, such as `address`. `value`: which one."""

    scope: str
    value: str
    maximum: int

    @property
    def key(self) -> str:
        return salted_hmac("login_limits", f"{self.scope} {self.value}", algorithm="sha256").hexdigest()

    def count(self) -> bool:
        """Count an attempt. Returns False, and counts nothing, if the maximum is reached."""
        until = timezone.now() + PERIOD
        AttemptCount.objects.get_or_create(pk=self.key, defaults={"expires_at": until})
        counts = AttemptCount.objects.filter(pk=self.key)
        counts.expired().update(attempts=0, expires_at=until)
        return bool(counts.filter(attempts__lt=self.maximum).update(attempts=F("attempts") + 1))

    def take_back(self) -> None:
        AttemptCount.objects.filter(pk=self.key, attempts__gt=0).update(attempts=F("attempts") - 1)

    def seconds_left(self) -> int:
        """Return the seconds until attempts are counted from 0 again, at least 1."""
        count = AttemptCount.objects.filter(pk=self.key).first()
        return max(math.ceil((count.expires_at - timezone.now()).total_seconds()), 1) if count else 1


def limits_of_login(request: HttpRequest | None, account: str) -> list[Limit]:
    """Return the limits of an attempt to log in. `request` is None for a program that authenticates."""
    if request is None:
        return [_by_account(account)]
    if device := known_device(request, account):
        return [Limit("device", device, DEVICE_LIMIT)]
    # The address comes first: an attempt that it refuses does not use up the account.
    return [Limit("address", client_network(request), ADDRESS_LIMIT), _by_account(account)]


def count_attempt(request: HttpRequest | None, limits: list[Limit]) -> None:
    """Count an attempt by all these limits. Raises Refused, and counts nothing, beyond one of them."""
    for index, limit in enumerate(limits):
        if not limit.count():
            take_back(limits[:index])
            logger.warning("login_throttled", limit=limit.scope, address=request and client_network(request))
            raise _refused(limit)


def take_back(limits: list[Limit]) -> None:
    """Let an attempt that was counted by these limits count no longer: its password was right."""
    for limit in limits:
        limit.take_back()


def known_device(request: HttpRequest, account: str) -> str:
    """Return the id of a browser in which this account has logged in before, "" for any other."""
    cookie = request.get_signed_cookie(DEVICE_COOKIE, "", max_age=DEVICE_LIFETIME) or ""
    device, _, owner = cookie.partition(" ")
    return device if owner == _by_account(account).key else ""


def remember_device(response: HttpResponseBase, account: str) -> None:
    """Set the cookie of `known_device`."""
    response.set_signed_cookie(
        DEVICE_COOKIE,
        f"{get_random_string(22)} {_by_account(account).key}",
        max_age=DEVICE_LIFETIME,
        path=reverse("admin:index"),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def _by_account(account: str) -> Limit:
    return Limit("account", account, ACCOUNT_LIMIT)


def _refused(limit: Limit) -> Refused:
    seconds = limit.seconds_left()
    minutes = math.ceil(seconds / 60)
    message = ngettext(
        "Too many wrong passwords. Try again in %(minutes)d minute.",
        "Too many wrong passwords. Try again in %(minutes)d minutes.",
        minutes,
    )
    return Refused("throttled", message % {"minutes": minutes}, retry_after=seconds)
