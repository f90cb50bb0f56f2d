"""Limits how often an address may sign in, sign up and refresh.

The limit is for mistakes, such as an app that refreshes in a loop. The real server allows 150 in five
minutes; a test suite on one machine needs more.
"""

from typing import Any, cast

from django.http import HttpRequest

from api.admin_site.client_address import client_network
from api.auth_server.errors import AuthError, Refusal
from api.throttling import PrincipalRateThrottle


class AddressRateThrottle(PrincipalRateThrottle):
    rate = "300/min"

    def get_cache_key(self, request: Any, view: Any) -> str:
        return f"throttle_local_auth_{client_network(request)}"


def check_rate(request: HttpRequest) -> None:
    """Count the request. Raises AuthError if there were too many."""
    if not AddressRateThrottle().allow_request(cast(Any, request), None):
        raise AuthError(Refusal(429, "over_request_rate_limit", "Request rate limit reached"))
