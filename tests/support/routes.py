"""The routes of the API, out of the groups in which the router keeps them."""

import re
from collections.abc import Iterator
from typing import Any

from django.urls import URLResolver, get_resolver


def routes(resolver: Any = None, before: str = "") -> Iterator[tuple[str, Any]]:
    """The path of each route of api.urls, such as `documents/{pk}/`, and its view."""
    for pattern in (resolver or get_resolver("api.urls")).url_patterns:
        own = re.sub(r"\(\?P<(\w+)>[^)]+\)", lambda found: f"{{{found[1]}}}", str(pattern.pattern))
        path = before + own.strip("^$")
        if isinstance(pattern, URLResolver):
            yield from routes(pattern, path)
        else:
            yield path, pattern.callback
