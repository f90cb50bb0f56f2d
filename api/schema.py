"""What the OpenAPI schema says beside shapes: every operation may answer with a problem."""

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiResponse
from rest_framework import serializers

from api.errors import problem_body

MEDIA_TYPE = "application/problem+json"


class ProblemItem(serializers.Serializer[Any]):
    pointer = serializers.CharField(help_text="JSON pointer to the field, `#/size`.")
    code = serializers.CharField()
    detail = serializers.CharField()


class Problem(serializers.Serializer[Any]):
    """A refusal (RFC 9457). Decide by `code`; `detail` is for people."""

    type = serializers.CharField(default="about:blank")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()
    errors = ProblemItem(many=True)  # type: ignore[assignment]


EXAMPLES = [
    OpenApiExample(
        "Fields",
        problem_body(
            "invalid", "", [{"pointer": "#/title", "code": "required", "detail": "This field is required."}]
        ),
        response_only=True,
        status_codes=["4XX"],
    ),
    OpenApiExample("No token", problem_body("not_authenticated"), response_only=True, status_codes=["4XX"]),
    OpenApiExample(
        "Not as declared", problem_body("size_mismatch"), response_only=True, status_codes=["4XX"]
    ),
    OpenApiExample(
        "Store down", problem_body("storage_unavailable"), response_only=True, status_codes=["5XX"]
    ),
]


class ProblemSchema(AutoSchema):
    def get_response_serializers(self) -> Any:
        declared: Any = super().get_response_serializers()
        if not isinstance(declared, dict):
            declared = {"204" if self.method == "DELETE" else self._status(): declared}
        return {**declared, ("4XX", MEDIA_TYPE): _problem("4XX"), ("5XX", MEDIA_TYPE): _problem("5XX")}

    def _status(self) -> str:
        creates = self.method == "POST" and getattr(self.view, "action", "") == "create"
        return "201" if creates else "200"


def _problem(status: str) -> OpenApiResponse:
    examples = [example for example in EXAMPLES if status in (example.status_codes or [])]
    return OpenApiResponse(Problem, description="A refusal", examples=examples)
