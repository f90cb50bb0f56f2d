"""Limits how often a principal may send requests that call the file storage."""

from typing import Any

import structlog
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from api.metrics import THROTTLED

logger = structlog.get_logger("api.throttling")


class PrincipalRateThrottle(SimpleRateThrottle):
    """Counts the requests of a principal in each window, which is a whole second, minute, hour or day.

    SimpleRateThrottle reads a list from the cache and writes it back, so concurrent requests are not counted.
    `add` and `incr` are atomic in Redis, Memcached and the in-process cache. Around the turn of a window, up
    to twice the rate is allowed. Refused requests count too, which changes nothing for the next window.
    """

    num_requests: int  # set by `__init__` from the rate
    duration: int  # seconds

    def allow_request(self, request: Request, view: Any) -> bool:
        """Allow every request while the cache fails, so that the API still works."""
        return self.allow_many(request, view, 1)

    def allow_many(self, request: Request, view: Any, number: int) -> bool:
        """Allow a request that does the work of so many, all of it or nothing."""
        window, self.elapsed = divmod(self.timer(), self.duration)
        try:
            return self._count(f"{self.get_cache_key(request, view)}_{window:.0f}", number)
        except Exception as error:  # each cache backend has its own exceptions
            logger.error("throttle_cache_failed", outage="cache", exc_info=error)
            return True

    def get_cache_key(self, request: Request, view: Any) -> str:
        """Return the key of the principal. Visitors have been refused: permissions are checked before."""
        return self.cache_format % {"scope": self.scope, "ident": request.user.pk}

    def wait(self) -> float:
        """Return the number of seconds until the next window."""
        return self.duration - self.elapsed

    def _count(self, key: str, number: int) -> bool:
        """Count so many requests. Returns False if there are too many in the window."""
        is_allowed = self._add(key, number) <= self.num_requests
        if not is_allowed:
            THROTTLED.labels(self.scope).inc()
        if not is_allowed and number > 1:  # fewer may still be allowed
            self.cache.decr(key, number)
        return is_allowed

    def _add(self, key: str, number: int) -> int:
        """Return the count of the window, with this number."""
        seconds = 2 * self.duration  # longer than the window, so that the key cannot expire between the calls
        if hasattr(self.cache, "count"):  # `backend.redis_cache`: one call instead of three
            return int(self.cache.count(key, number, seconds))
        is_first = self.cache.add(key, number, seconds)
        return number if is_first else int(self.cache.incr(key, number))


class TicketRateThrottle(PrincipalRateThrottle):
    scope = "tickets"


class CompletionRateThrottle(PrincipalRateThrottle):
    scope = "complete"


class FileRateThrottle(PrincipalRateThrottle):
    """For requests in which the server itself copies or writes an object."""

    scope = "files"


def check_file_rate(request: Request, view: APIView) -> None:
    """Raise Throttled if there were too many, for views that know only late whether a file is copied."""
    _check_rate(FileRateThrottle(), request, view)


def check_ticket_rate(request: Request, view: APIView) -> None:
    """Raise Throttled if there were too many, for views that only issue a ticket if the body asks for one."""
    _check_rate(TicketRateThrottle(), request, view)


def check_completion_rate(request: Request, view: APIView, number: int) -> None:
    """Raise Throttled if there may not be so many completions now."""
    _check_rate(CompletionRateThrottle(), request, view, number)


def _check_rate(throttle: PrincipalRateThrottle, request: Request, view: APIView, number: int = 1) -> None:
    if not throttle.allow_many(request, view, number):
        view.throttled(request, throttle.wait())
