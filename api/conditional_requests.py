"""ETags: reads with `If-None-Match`, and changes with `If-Match`.

The ETag of a row is a hash of its representation for this caller, without signed URLs: those are made anew
all the time. So it changes if, and only if, something has changed for this caller.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response, set_response_etag
from django.utils.http import parse_etags
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder
from rest_framework.utils.serializer_helpers import ReturnDict

from api.base_models import Resource
from api.exceptions import PreconditionFailed

#: A precondition of reads makes no sense: there is nothing to protect, and no time to compare with
#: (RFC 9110, 13.1.3 and 13.1.4). Django would answer these conditions with 412.
IGNORED_CONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_UNMODIFIED_SINCE")
PROTECTED_METHODS = ("PUT", "PATCH", "DELETE")
SIGNED_MEMBERS = ("url", "renditions", "expires_at")  # of an image in a private bucket

IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="The `ETag` of what you have read. 412 `precondition_failed` if it has changed since.",
)
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match",
    str,
    OpenApiParameter.HEADER,
    description="The `ETag` of what you have. 304 if it has not changed.",
)

Row = TypeVar("Row", bound=Resource)


def conditional_response(request: HttpRequest, response: HttpResponse) -> HttpResponseBase | None:
    """Return 304 if `If-None-Match` has the ETag of the response, else the response.

    A response without an ETag gets one of its content.
    """
    for name in IGNORED_CONDITIONS:
        request.META.pop(name, None)
    if "ETag" not in response.headers:
        set_response_etag(response)
    return get_conditional_response(request, etag=response.headers["ETag"], response=response)


def make_conditional(request: Request, response: Response) -> Response:
    """Let the response become a 304 when it is rendered, if `If-None-Match` has its ETag."""
    response.add_post_render_callback(partial(conditional_response, request._request))
    return response


class ConditionalMixin:
    """Adds an ETag to each response with one row, and `If-Match` to the methods that change or delete one.

    A caller with `If-Match` gets 412 if the row is not as the caller has read it; of several such callers at
    once, one succeeds. `signed_images` names the members of the representation that have signed URLs, such as
    `owner.avatar`. `unversioned` names members that are not part of the ETag.
    """

    signed_images: Sequence[str] = ()
    unversioned: Sequence[str] = ()

    def get_object(self) -> Any:
        return self.unless_changed(super().get_object())  # type: ignore[misc]

    def unless_changed(self, row: Row) -> Row:
        """Return the row, bound to its version if the request has `If-Match`. Raises PreconditionFailed."""
        view: Any = self
        expected = view.request.headers.get("If-Match")
        if expected is None or view.request.method not in PROTECTED_METHODS or expected.strip() == "*":
            return row
        if self._etag(view.get_serializer(row).data) not in _etags(expected):
            raise PreconditionFailed
        row.unchanged_since = row.updated_at
        return row

    def finalize_response(self, request: Request, response: Any, *args: Any, **options: Any) -> Any:
        response = super().finalize_response(request, response, *args, **options)  # type: ignore[misc]
        if isinstance(response, Response) and self._is_of_one_row(response):
            response.headers["ETag"] = self._etag(response.data)
            if request.method in ("GET", "HEAD"):
                make_conditional(request, response)
        return response

    def _is_of_one_row(self, response: Response) -> bool:
        view: Any = self
        return isinstance(response.data, ReturnDict) and isinstance(
            response.data.serializer, view.get_serializer_class()
        )

    def _etag(self, representation: dict[str, Any]) -> str:
        versioned = {name: value for name, value in representation.items() if name not in self.unversioned}
        for path in self.signed_images:
            versioned = _unsigned(versioned, path.split("."))
        text = json.dumps(versioned, cls=JSONEncoder, separators=(",", ":"))
        return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def _etags(header: str) -> Iterator[str]:
    """Yield the ETags of the header. A proxy that compresses responses has made them weak (`W/"…"`).

    RFC 9110, 13.1.1, has weak ETags never match, because they stand for other bytes. Ours are those of a
    version, and the bytes make no difference.
    """
    yield from (etag.removeprefix("W/") for etag in parse_etags(header))


def _unsigned(representation: Any, path: Sequence[str]) -> Any:
    """Return the representation without the signed URLs of the image under this path."""
    if not isinstance(representation, dict):
        return representation
    if not path:
        return {name: value for name, value in representation.items() if name not in SIGNED_MEMBERS}
    name, *rest = path
    return {**representation, name: _unsigned(representation.get(name), rest)}
