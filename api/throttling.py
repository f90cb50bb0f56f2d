"""How often one principal may ask for what costs the store something."""

from typing import Any

import structlog
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

logger = structlog.get_logger("api.throttling")


class PerPrincipal(SimpleRateThrottle):
    def allow_request(self, request: Request, view: Any) -> bool:
        """A cache that is down does not take the API down: then nobody is counted."""
        try:
            return super().allow_request(request, view)
        except Exception as error:  # each cache raises its own
            logger.error("not_throttled", exc_info=error)
            return True

    def get_cache_key(self, request: Request, view: Any) -> str:
        return self.cache_format % {"scope": self.scope, "ident": request.user.pk or self.get_ident(request)}


class Tickets(PerPrincipal):
    scope = "tickets"


class Completions(PerPrincipal):
    scope = "complete"
