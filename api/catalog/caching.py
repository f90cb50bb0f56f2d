"""HTTP caching of the catalogue: visitors may cache responses for a minute, and revalidate by ETag."""

from typing import Any

from rest_framework.response import Response

from api.conditional_requests import make_conditional

CACHE_CONTROL = "public, max-age=60"


class VisitorCacheMixin:
    """A mixin for views: reads by visitors get `Cache-Control`, an ETag, and 304 if the ETag matches.

    It comes before ConditionalMixin, which does this for single rows.

    `backend.middleware.APIMiddleware` sets `Vary`, and the headers of all other responses.
    """

    def finalize_response(self, request: Any, response: Any, *args: Any, **options: Any) -> Any:
        response = super().finalize_response(request, response, *args, **options)  # type: ignore[misc]
        is_read = request.method in ("GET", "HEAD") and response.status_code == 200
        if is_read and isinstance(response, Response) and not request.user.is_authenticated:
            response.headers["Cache-Control"] = CACHE_CONTROL
            if "ETag" not in response.headers:
                make_conditional(request, response)
        return response
