"""Pagination of lists."""

from typing import Any

from rest_framework.pagination import PageNumberPagination


class StandardPagination(PageNumberPagination):
    page_size = 25
    page_size_query_param = "page_size"
    max_page_size = 100

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Replace the example URLs of DRF, which show another API."""
        paginated = super().get_paginated_response_schema(schema)
        for name, page in (("next", 3), ("previous", 1)):
            paginated["properties"][name]["example"] = f"https://api.example.org/api/v1/…/?page={page}"
        return paginated
