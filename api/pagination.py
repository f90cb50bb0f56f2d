"""Pagination of lists."""

from typing import Any

from rest_framework.exceptions import ValidationError
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.serializers import IntegerField


class StandardPagination(PageNumberPagination):
    page_size = 25
    page_size_query_param = "page_size"
    page_size_query_description = "Number of results to return per page, at most 100."
    max_page_size = 100

    def get_page_size(self, request: Request) -> int:
        """Return the page size. Raises ValidationError if it is not a number above 0; DRF would ignore it."""
        sent = request.query_params.get(self.page_size_query_param, self.page_size)
        try:
            return min(IntegerField(min_value=1).run_validation(sent), self.max_page_size)
        except ValidationError as error:
            raise ValidationError({self.page_size_query_param: error.detail}) from None

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Add the range of `page` and `page_size`."""
        parameters: list[dict[str, Any]] = super().get_schema_operation_parameters(view)
        for parameter in parameters:
            parameter["schema"]["minimum"] = 1
        return parameters

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Replace the example URLs of DRF, which show another API."""
        paginated = super().get_paginated_response_schema(schema)
        for name, page in (("next", 3), ("previous", 1)):
            paginated["properties"][name]["example"] = f"https://api.example.org/api/v1/…/?page={page}"
        return paginated
