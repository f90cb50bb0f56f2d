"""Resumable uploads, by the TUS protocol (1.0.0)."""

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from storage.server.refusals import no_such_route


def options(request: HttpRequest, upload: str = "") -> HttpResponseBase:
    raise no_such_route(request)


def create(request: HttpRequest, upload: str = "") -> HttpResponseBase:
    raise no_such_route(request)


head = patch = terminate = create


def signed(handler: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    return handler


def by_service(handler: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    return handler
