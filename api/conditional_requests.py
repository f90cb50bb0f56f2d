"""Responses to GET requests with `If-None-Match`."""

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response, set_response_etag

#: `If-Match` protects writes, and there is no last modification that a date could be compared with
#: (RFC 9110, 13.1.3 and 13.1.4). Django would answer these conditions with 412.
IGNORED_CONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_UNMODIFIED_SINCE")


def conditional_response(request: HttpRequest, response: HttpResponse) -> HttpResponseBase | None:
    """Set the ETag, and return 304 if `If-None-Match` has it, else the response."""
    for name in IGNORED_CONDITIONS:
        request.META.pop(name, None)
    set_response_etag(response)
    return get_conditional_response(request, etag=response.headers["ETag"], response=response)
