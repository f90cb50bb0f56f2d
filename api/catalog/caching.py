"""What caches may keep of the catalogue: what a visitor sees for a minute, and nothing of anybody else's."""

from functools import partial
from hashlib import sha256
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from rest_framework.response import Response

FRESH = "public, max-age=60"


class CachedForVisitors:
    """For views: an ETag, and 304 for who has the same answer. `Vary`, and the rest, is the middleware's."""

    def finalize_response(self, request: Any, response: Any, *args: Any, **options: Any) -> Any:
        response = super().finalize_response(request, response, *args, **options)  # type: ignore[misc]
        shown = request.method in ("GET", "HEAD") and response.status_code == 200
        if shown and isinstance(response, Response) and not request.user.is_authenticated:
            response.headers["Cache-Control"] = FRESH
            response.add_post_render_callback(partial(_if_changed, request._request))
        return response


def _if_changed(request: HttpRequest, response: Response) -> HttpResponseBase | None:
    etag = f'"{sha256(response.rendered_content).hexdigest()[:32]}"'
    response.headers["ETag"] = etag
    return get_conditional_response(request, etag=etag, response=response)
