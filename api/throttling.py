"""Limits how often a principal may request and complete tickets, because both call the file storage."""

from typing import Any

import structlog
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

logger = structlog.get_logger("api.throttling")


class PrincipalRateThrottle(SimpleRateThrottle):
    def allow_request(self, request: Request, view: Any) -> bool:
        """Allow every request while the cache fails, so that the API still works."""
        try:
            return super().allow_request(request, view)
        except Exception as error:  # each cache backend has its own exceptions
            logger.error("throttle_cache_failed", exc_info=error)
            return True

    def get_cache_key(self, request: Request, view: Any) -> str:
        return self.cache_format % {"scope": self.scope, "ident": request.user.pk or self.get_ident(request)}


class TicketRateThrottle(PrincipalRateThrottle):
    scope = "tickets"


class CompletionRateThrottle(PrincipalRateThrottle):
    scope = "complete"
