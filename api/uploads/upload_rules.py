"""`upload-rules/`: which files each field takes, so that clients need no copy of these rules.

They are read from the model fields, by which uploads are verified.
"""

import mimetypes
from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.base_models import Resource
from api.conditional_requests import make_conditional
from api.query_parameters import KnownParametersMixin

CACHE_CONTROL = "public, max-age=300"
#: Other suffixes than that of `mimetypes` which files of these types have.
MORE_SUFFIXES = {"image/jpeg": [".jpeg"], "image/heif": [".heifs"], "image/heic": [".heics"]}

#: By the name of a route and of a field: the model of its rows.
Fields = dict[str, dict[str, type[Resource]]]

RULE = {
    "content_types": ["image/jpeg", "image/png", "image/webp"],
    "suffixes": [".jpg", ".jpeg", ".png", ".webp"],
    "accept": "image/jpeg,image/png,image/webp,.jpg,.jpeg,.png,.webp",
    "max_bytes": 10485760,
    "picture": {"max_pixels": 50000000},
    "max_files": 1,
}


class PictureRuleSerializer(serializers.Serializer[Any]):
    max_pixels = serializers.IntegerField(help_text="Width times height.")


@extend_schema_serializer(examples=[OpenApiExample("An image", RULE, response_only=True)])
class UploadRuleSerializer(serializers.Serializer[Any]):
    content_types = serializers.ListField(child=serializers.CharField())
    suffixes = serializers.ListField(child=serializers.CharField(), help_text="Of file names: `.pdf`.")
    accept = serializers.CharField(help_text="For the attribute `accept` of `<input type=file>`.")
    max_bytes = serializers.IntegerField()
    picture = PictureRuleSerializer(allow_null=True, help_text="For pictures; null if none are accepted.")
    max_files = serializers.IntegerField(help_text="How many files the field can have.")


def rule_of(model: type[Resource], name: str) -> dict[str, Any]:
    """Return the JSON of an UploadRuleSerializer for the files of tickets for this field."""
    field = model.upload_field(name)
    suffixes = [suffix for content_type in field.accepts for suffix in _suffixes(content_type)]
    has_pictures = any(content_type.startswith("image/") for content_type in field.accepts)
    return {
        "content_types": list(field.accepts),
        "suffixes": suffixes,
        "accept": ",".join([*field.accepts, *suffixes]),
        "max_bytes": field.size_limit,
        "picture": {"max_pixels": settings.IMAGE_MAX_PIXELS} if has_pictures else None,
        "max_files": model.max_files(name),
    }


def _suffixes(content_type: str) -> list[str]:
    known = mimetypes.guess_extension(content_type)
    return [*([known] if known else []), *MORE_SUFFIXES.get(content_type, [])]


def upload_rules_view(fields: Fields) -> type[APIView]:
    """Return the view of the rules of these fields."""
    routes = {
        route: type(
            f"{route.title().replace('-', '')}UploadRulesSerializer",
            (serializers.Serializer,),
            {name: UploadRuleSerializer() for name in names},
        )()
        for route, names in fields.items()
    }
    serializer = type("UploadRulesSerializer", (serializers.Serializer,), routes)
    example = {route: dict.fromkeys(names, RULE) for route, names in fields.items()}

    class UploadRulesView(KnownParametersMixin, APIView):
        permission_classes = (AllowAny,)

        @extend_schema(
            operation_id="readUploadRules",
            tags=["uploads"],
            summary="Read which files are accepted",
            description="By resource and field. It changes only with the configuration of the server.",
            responses=serializer,
            examples=[OpenApiExample("The rules", example, response_only=True)],
        )
        def get(self, request: Request) -> Response:
            rules = {
                route: {name: rule_of(model, name) for name, model in names.items()}
                for route, names in fields.items()
            }
            return make_conditional(request, Response(rules, headers={"Cache-Control": CACHE_CONTROL}))

    return UploadRulesView
