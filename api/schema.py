"""The OpenAPI schema: it is always in English, and every operation may answer with a problem."""

from typing import Any

from django.utils import translation
from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import get_doc
from drf_spectacular.utils import Direction, OpenApiExample, OpenApiResponse
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS

from api.conditional_requests import IF_MATCH, IF_NONE_MATCH, PROTECTED_METHODS, ConditionalMixin
from api.errors import problem_body
from api.permissions import IsStaffOrReadOnly

MEDIA_TYPE = "application/problem+json"


class ProblemItemSerializer(serializers.Serializer[Any]):
    pointer = serializers.CharField(help_text="JSON pointer to the field, `#/size`.")
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """An error (RFC 9457). Programs use `code`; `detail` is for people.

    A problem may have more members: `quota_exceeded` has `quota` (`bytes` or `open_tickets`), `used` and
    `limit`; a 503 of `/readyz` has `part` (`database`, `migrations` or `storage`).
    """

    type = serializers.CharField(default="about:blank")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()
    errors = ProblemItemSerializer(many=True)  # type: ignore[assignment]


EXAMPLES = [
    OpenApiExample(
        "Invalid fields",
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
        "Storage unavailable", problem_body("storage_unavailable"), response_only=True, status_codes=["5XX"]
    ),
]


class EnglishSchemaGenerator(SchemaGenerator):
    """Generates the schema in English, whatever the language of the request or of the machine."""

    def get_schema(self, *args: Any, **options: Any) -> Any:
        with translation.override("en"):
            return super().get_schema(*args, **options)


class ProblemAutoSchema(AutoSchema):
    """Adds the problem responses to every operation."""

    def get_auth(self) -> list[dict[str, Any]]:
        """Add that no token is needed to what visitors may read."""
        auth: list[dict[str, Any]] = super().get_auth()
        is_for_visitors = any(isinstance(each, IsStaffOrReadOnly) for each in self.view.get_permissions())
        return [*auth, {}] if is_for_visitors and self.method in SAFE_METHODS else auth

    def get_override_parameters(self) -> list[Any]:
        """Add the headers of conditional requests for one row."""
        parameters: list[Any] = super().get_override_parameters()
        if not isinstance(self.view, ConditionalMixin) or "{" not in self.path:
            return parameters
        if getattr(self.view, "action", "") == "retrieve":
            return [*parameters, IF_NONE_MATCH]
        return [*parameters, IF_MATCH] if self.method in PROTECTED_METHODS else parameters

    def get_description(self) -> str:  # type: ignore[override]
        """Return the docstring of the action, and never that of the view class, which is for developers."""
        return get_doc(getattr(self.view, getattr(self.view, "action", self.method.lower()), None))

    def _get_response_bodies(self, direction: Direction = "response") -> Any:
        """Add the problems last, so that the declared responses of a view do not replace them."""
        bodies = super()._get_response_bodies(direction)
        if direction == "response":
            for status in ("4XX", "5XX"):
                bodies[status] = self._get_response_for_code(_problem(status), status, [MEDIA_TYPE])
        return bodies


class DecimalFieldExtension(OpenApiSerializerFieldExtension):
    """Clients may send a decimal number as text or as a JSON number. Responses have text."""

    target_class = "rest_framework.fields.DecimalField"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        text: dict[str, Any] = auto_schema._map_serializer_field(
            self.target, direction, bypass_extensions=True
        )
        if direction == "response":
            return text
        nullable = {"nullable": True} if text.pop("nullable", False) else {}
        return {"oneOf": [text, {"type": "number", "minimum": float(self.target.min_value or 0)}], **nullable}


def _problem(status: str) -> OpenApiResponse:
    examples = [example for example in EXAMPLES if status in (example.status_codes or [])]
    return OpenApiResponse(ProblemSerializer, description="An error", examples=examples)
