"""What the OpenAPI schema says beside shapes: every operation may answer with a problem."""

from typing import Any

from django.utils import translation
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import get_doc
from drf_spectacular.utils import Direction, OpenApiExample, OpenApiResponse
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


class EnglishSchema(SchemaGenerator):
    """One document, whoever asks for it and wherever it is made."""

    def get_schema(self, *args: Any, **options: Any) -> Any:
        with translation.override("en"):
            return super().get_schema(*args, **options)


class ProblemSchema(AutoSchema):
    def get_description(self) -> str:  # type: ignore[override]
        """Of the action alone: the docstring of a view class is for developers."""
        return get_doc(getattr(self.view, getattr(self.view, "action", self.method.lower()), None))

    def _get_response_bodies(self, direction: Direction = "response") -> Any:
        """Here, and not where a view's own responses are declared: those would take the place of these."""
        bodies = super()._get_response_bodies(direction)
        if direction == "response":
            for status in ("4XX", "5XX"):
                bodies[status] = self._get_response_for_code(_problem(status), status, [MEDIA_TYPE])
        return bodies


def _problem(status: str) -> OpenApiResponse:
    examples = [example for example in EXAMPLES if status in (example.status_codes or [])]
    return OpenApiResponse(Problem, description="A refusal", examples=examples)
