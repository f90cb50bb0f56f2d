"""The router of the API."""

import re
from typing import Any

from django.urls import URLPattern, URLResolver, include, path
from rest_framework.routers import SimpleRouter

from api.base_models import Resource


class ResourceRouter(SimpleRouter):
    """A router that also routes the `viewsets_below()` of a viewset, such as those of galleries.

    Their URLs begin with that of a row: `species/{slug}/pictures/`.
    """

    def register(self, prefix: str, viewset: Any, basename: str | None = None) -> None:
        super().register(prefix, viewset, basename)
        below = viewset.viewsets_below() if hasattr(viewset, "viewsets_below") else {}
        for name, each in below.items():
            row = rf"(?P<{viewset.lookup_field}>{viewset.lookup_value_regex})"
            super().register(f"{prefix}/{row}/{name}", each)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """Return the URLs in one group for each prefix, so that a path is only compared with those of one."""
        groups: dict[str, SimpleRouter] = {}
        others = SimpleRouter()  # whose prefix is a pattern
        for prefix, viewset, basename in self.registry:
            first, _, rest = prefix.partition("/")
            if re.fullmatch(r"[\w-]+", first):
                groups.setdefault(first, SimpleRouter()).register(rest, viewset, basename)
            else:
                others.register(prefix, viewset, basename)
        return [*(path(f"{first}/", include(group.urls)) for first, group in groups.items()), *others.urls]

    def upload_fields(self) -> dict[str, dict[str, type[Resource]]]:
        """Return by prefix and field the model of the rows that clients upload files for."""
        registry: list[Any] = self.registry
        return {
            prefix: dict.fromkeys(viewset.upload_fields or [viewset.upload_field], viewset.queryset.model)
            for prefix, viewset, _basename in registry
            if hasattr(viewset, "upload_field")
        }

    def lists(self) -> list[str]:
        """Return the prefixes without parameters."""
        return [prefix for prefix, _viewset, _basename in self.registry if "(" not in prefix]
