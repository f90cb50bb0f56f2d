"""What caches may keep of the catalogue: what a visitor sees for a minute, and nothing of anybody else's."""

from functools import partial
from hashlib import sha256
from typing import Any

from django.http import HttpRequest, HttpResponseNotModified
from django.http.response import HttpResponseBase
from django.utils.http import parse_etags
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
    """304, or None for the response as it is.

    The other conditions do not count here: `If-Match` protects writes, and there is no time of the last
    change that dates could be compared with (RFC 9110, 13.1.3 and 13.1.4).
    """
    etag = f'"{sha256(response.rendered_content).hexdigest()[:32]}"'
    response.headers["ETag"] = etag
    known = parse_etags(request.headers.get("If-None-Match", ""))
    if not {etag, f"W/{etag}", "*"}.intersection(known):
        return None
    return HttpResponseNotModified(headers={"ETag": etag, "Cache-Control": FRESH})
