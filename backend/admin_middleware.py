"""The middleware of Django that only the admin needs, for the admin alone: the API has access tokens."""

from typing import Any, cast

from django.contrib.auth import middleware as auth
from django.contrib.messages import middleware as messages
from django.contrib.sessions import middleware as sessions
from django.http import HttpRequest
from django.http.response import HttpResponseBase


class AdminMixin:
    """A mixin for middleware that does nothing for requests of other paths."""

    get_response: Any

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith("/admin/"):
            response = super().__call__(request)  # type: ignore[misc]
        else:
            response = self.get_response(request)
        return cast(HttpResponseBase, response)


class SessionMiddleware(AdminMixin, sessions.SessionMiddleware):
    pass


class AuthenticationMiddleware(AdminMixin, auth.AuthenticationMiddleware):
    pass


class MessageMiddleware(AdminMixin, messages.MessageMiddleware):
    pass
