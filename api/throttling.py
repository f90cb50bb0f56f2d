"""Limits how often a principal may send requests that call the file storage."""

from typing import Any

import structlog
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

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
        window, self.elapsed = divmod(self.timer(), self.duration)
        try:
            return self._count(f"{self.get_cache_key(request, view)}_{window:.0f}") <= self.num_requests
        except Exception as error:  # each cache backend has its own exceptions
            logger.error("throttle_cache_failed", outage="cache", exc_info=error)
            return True

    def get_cache_key(self, request: Request, view: Any) -> str:
        """Return the key of the principal. Visitors have been refused: permissions are checked before."""
        return self.cache_format % {"scope": self.scope, "ident": request.user.pk}

    def wait(self) -> float:
        """Return the number of seconds until the next window."""
        return self.duration - self.elapsed

    def _count(self, key: str) -> int:
        """Count this request, and return the number of requests in its window."""
        # Longer than the window, so that the key cannot expire between `add` and `incr`.
        if self.cache.add(key, 1, 2 * self.duration):
            return 1
        return int(self.cache.incr(key))


class TicketRateThrottle(PrincipalRateThrottle):
    scope = "tickets"


class CompletionRateThrottle(PrincipalRateThrottle):
    scope = "complete"


class FileRateThrottle(PrincipalRateThrottle):
    """For requests in which the server itself copies or writes an object."""

    scope = "files"


def check_file_rate(request: Request, view: APIView) -> None:
    """Raise Throttled if there were too many, for views that know only late whether a file is copied."""
    throttle = FileRateThrottle()
    if not throttle.allow_request(request, view):
        view.throttled(request, throttle.wait())
