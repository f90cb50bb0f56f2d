"""The view of the OpenAPI schema."""

from functools import cache
from threading import Lock
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.request import Request

from api.conditional_requests import conditional_response
from api.parsers import SchemaContentNegotiation

RENDERERS = {renderer.format: renderer for renderer in (OpenApiYamlRenderer, OpenApiJsonRenderer)}

_rendering = Lock()


class SchemaView(SpectacularAPIView):
    """Makes the schema once in each process and format, because it takes seconds. It is in English."""

    content_negotiation_class = SchemaContentNegotiation

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase | None:
        renderer = request.accepted_renderer
        with _rendering:  # else all of the first requests would make it
            content = rendered_schema(renderer.format)
        headers = {
            "Cache-Control": "no-cache",
            "Content-Disposition": f'inline; filename="Vivarium.{renderer.format}"',
        }
        response = HttpResponse(content, content_type=renderer.media_type, headers=headers)
        return conditional_response(request._request, response)


@cache
def rendered_schema(format_name: str) -> str | bytes:
    """Return the schema as `yaml` or `json`."""
    schema = SchemaView.generator_class().get_schema(public=True)
    return RENDERERS[format_name]().render(schema, renderer_context={})
