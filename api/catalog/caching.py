"""HTTP caching of the catalogue: visitors may cache responses for a minute, and revalidate by ETag."""

from functools import partial
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response, set_response_etag
from rest_framework.response import Response

CACHE_CONTROL = "public, max-age=60"
#: `If-Match` protects writes, and there is no last modification that a date could be compared with
#: (RFC 9110, 13.1.3 and 13.1.4). Django would answer these conditions with 412.
IGNORED_CONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_UNMODIFIED_SINCE")


class VisitorCacheMixin:
    """A mixin for views: reads by visitors get `Cache-Control`, an ETag, and 304 if the ETag matches.

    `backend.middleware.APIMiddleware` sets `Vary`, and the headers of all other responses.
    """

    def finalize_response(self, request: Any, response: Any, *args: Any, **options: Any) -> Any:
        response = super().finalize_response(request, response, *args, **options)  # type: ignore[misc]
        is_read = request.method in ("GET", "HEAD") and response.status_code == 200
        if is_read and isinstance(response, Response) and not request.user.is_authenticated:
            response.headers["Cache-Control"] = CACHE_CONTROL
            response.add_post_render_callback(partial(_conditional_response, request._request))
        return response


def _conditional_response(request: HttpRequest, response: Response) -> HttpResponseBase | None:
    """Set the ETag, and return 304 if `If-None-Match` has it, else the response."""
    for name in IGNORED_CONDITIONS:
        request.META.pop(name, None)
    set_response_etag(response)
    return get_conditional_response(request, etag=response.headers["ETag"], response=response)
