"""The OpenAPI schema, which is always in English."""

from typing import Any

from django.utils import translation
from drf_spectacular.drainage import get_override
from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import force_instance, get_doc
from drf_spectacular.utils import Direction, OpenApiExample
from rest_framework.permissions import SAFE_METHODS

from api import problem_schema, schema_examples
from api.conditional_requests import IF_MATCH, IF_NONE_MATCH, PROTECTED_METHODS, ConditionalMixin
from api.permissions import IsStaffOrReadOnly

#: The `operationId` of each action: `{one}` and `{many}` stand for the name of the model.
OPERATION_IDS = {
    "list": "list{many}",
    "create": "create{one}",
    "retrieve": "read{one}",
    "update": "replace{one}",
    "partial_update": "change{one}",
    "destroy": "delete{one}",
    "upload_url": "request{one}Upload",
    "download_url": "read{one}DownloadUrl",
    "download_urls": "read{one}DownloadUrls",
    "original_url": "read{one}OriginalUrl",
    "revoke_urls": "revoke{one}Urls",
    "image": "delete{one}Image",
    "file": "delete{one}File",
    "avatar": "delete{one}Avatar",
    "qr_code": "make{one}QrCode",
    "complete": "complete{one}",
    "complete_many": "complete{many}",
    "ticket": "readTicket",
}


class EnglishSchemaGenerator(SchemaGenerator):
    """Generates the schema in English, whatever the language of the request or of the machine."""

    def get_schema(self, *args: Any, **options: Any) -> Any:
        with translation.override("en"):
            schema: Any = super().get_schema(*args, **options)
            schemas = {**schema["components"]["schemas"], **problem_schema.components()}
        schema["components"]["schemas"] = dict(sorted(schemas.items()))
        schema["tags"] = [*schema["tags"], *({"name": name} for name in _tags_without_description(schema))]
        return schema


class ProblemAutoSchema(AutoSchema):
    """Adds the problem responses to every operation, and says which members are always in a response."""

    def get_operation(self, *args: Any, **options: Any) -> dict[str, Any] | None:
        """Add the problems last, so that the declared responses of a view do not replace them."""
        operation: dict[str, Any] | None = super().get_operation(*args, **options)
        if operation is not None:
            codes = problem_schema.codes_of(self.view, self.method, operation)
            problems = problem_schema.responses(codes, [self._example_of_error(operation)])
            if any(each["name"] == IF_NONE_MATCH.name for each in operation.get("parameters", [])):
                problems["304"] = {"description": "Not changed since you got this ETag."}
            operation["responses"] = dict(sorted({**operation["responses"], **problems}.items()))
        return operation

    def get_operation_id(self) -> str:
        """Return a name as a method has it: `listSpecies`, `requestDocumentUpload`."""
        action = getattr(self.view, "action", "")
        if action not in OPERATION_IDS:
            operation_id: str = super().get_operation_id()
            return operation_id
        view: Any = self.view
        one = view.queryset.model.__name__
        return OPERATION_IDS[action].format(one=one, many=one if one.endswith("s") else f"{one}s")

    def get_tags(self) -> list[str]:
        """Return the first part of the path in words: `educational services`."""
        return [tag.replace("-", " ") for tag in super().get_tags()]

    def get_auth(self) -> list[dict[str, Any]]:
        """Return the schemes, and first that no token is needed where visitors may read."""
        auth: list[dict[str, Any]] = super().get_auth()
        schemes = [scheme for scheme in auth if scheme]
        is_read_by_visitors = self.method in SAFE_METHODS and any(
            isinstance(permission, IsStaffOrReadOnly) for permission in self.view.get_permissions()
        )
        is_open = {} in auth or is_read_by_visitors
        return [{}, *schemes] if is_open and schemes else schemes

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

    def _postprocess_serializer_schema(self, schema: Any, serializer: Any, direction: Direction) -> Any:
        """Require all members of a response, except those that the serializer names in `may_be_absent`.

        Only in a request may those of optional fields be absent.
        """
        schema = super()._postprocess_serializer_schema(schema, serializer, direction)
        if direction == "response" and "properties" in schema:
            may_be_absent = getattr(serializer, "may_be_absent", ())
            schema["required"] = sorted(set(schema["properties"]) - set(may_be_absent))
        return schema

    def _get_examples(
        self,
        serializer: Any,
        direction: Direction,
        media_type: Any,
        status_code: Any = None,
        extras: Any = None,
    ) -> Any:
        """Add an example if the serializer has none, and values for one: see `api.schema_examples`."""
        shown = getattr(serializer, "child", force_instance(serializer))
        if hasattr(shown, "example_values") and not get_override(shown, "examples"):
            value = schema_examples.example(shown, direction)
            extras = [*(extras or []), OpenApiExample("An example", value)]
        return super()._get_examples(serializer, direction, media_type, status_code, extras)

    def _example_of_error(self, operation: dict[str, Any]) -> dict[str, str]:
        """Return what `errors` may have for the code `invalid`."""
        for content in operation.get("requestBody", {}).get("content", {}).values():
            name = content["schema"]["$ref"].rpartition("/")[2]
            component = next(each.schema for each in self.registry._components.values() if each.name == name)
            if required := component.get("required"):
                return _error(required[0], "required", "This field is required.")
            return _error(next(iter(component["properties"])), "null", "This field may not be null.")
        if any(parameter["name"] == "page_size" for parameter in operation.get("parameters", [])):
            return _error("page_size", "min_value", "Ensure this value is greater than or equal to 1.")
        return _error("lang", "unknown", "Unknown parameter 'lang': this request takes none.")


def _tags_without_description(schema: dict[str, Any]) -> list[str]:
    """Return the tags of operations that are not in the setting TAGS, in alphabetical order."""
    operations = [operation for path in schema["paths"].values() for operation in path.values()]
    used = {tag for operation in operations for tag in operation["tags"]}
    return sorted(used - {tag["name"] for tag in schema["tags"]})


def _error(name: str, code: str, detail: str) -> dict[str, str]:
    return {"pointer": f"#/{name}", "code": code, "detail": detail}


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
