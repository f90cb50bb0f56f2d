"""How often one principal may ask for what costs the store something."""

from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle


class PerPrincipal(SimpleRateThrottle):
    def get_cache_key(self, request: Request, view: Any) -> str:
        return self.cache_format % {"scope": self.scope, "ident": request.user.pk or self.get_ident(request)}


class Tickets(PerPrincipal):
    scope = "tickets"


class Completions(PerPrincipal):
    scope = "complete"
