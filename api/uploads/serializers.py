"""Serializers of upload requests, tickets and uploads."""

import re
from collections.abc import Mapping
from datetime import UTC
from typing import Any, cast

from django.utils.translation import gettext
from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.reverse import reverse

from api.base_models import Resource
from api.errors import Problem, problem_body
from api.serializer_fields import CanonicalUUIDField, StrictIntegerField, TextField, utc_text
from api.text import drop_invisible
from api.uploads import tickets
from api.uploads.models import Declared, Upload
from api.uploads.problems import COMPLETION_FAILED, UPLOAD_FAILED
from api.uploads.tickets import Ticket
from storage import content_types
from storage.base import SignedURL
from storage.fields import UploadField

CONTROLS = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")  # control characters and line breaks

# Examples for the OpenAPI schema.
OTHER_ID = "01971f6e-8c5b-7a40-b0a5-3d6b1c1f7e56"
DECLARATION = {"filename": "guía.pdf", "content_type": "application/pdf", "size": 5120}
DECLARED = {"filename": "guía.pdf", "content_type": "application/pdf", "size": 5120, "sha256": "9f86…0a08"}
FOUND = {"content_type": "application/pdf", "size": 5120, "sha256": "9f86…0a08"}
UPLOAD = {
    "id": "01971f6e-8c5b-7a40-b0a5-3d6b1c1f7e55",
    "state": "completed",
    "expires_at": "2026-11-21T03:15:00Z",
    "created_at": "2026-11-21T02:45:00Z",
    "updated_at": "2026-11-21T02:45:07Z",
    "declared": DECLARED,
    "found": FOUND,
    "problem": None,
    "processing": False,
    "resource": "https://api.example.org/api/v1/documents/01971f6d-1d0a-7c11-9f0e-5b8c2f6f3a10/",
}
TICKET = {
    "id": UPLOAD["id"],
    "state": "pending",
    "expires_at": "2026-11-21T03:15:00Z",
    "bucket": "uploads",
    "path": "01971f6e-8c5b-7a40-b0a5-3d6b1c1f7e55/k3vX0yq8.pdf",
    "method": "PUT",
    "url": "https://ref.supabase.co/storage/v1/object/upload/sign/uploads/01971f6e-…/k3vX0yq8.pdf?token=…",
    "headers": {"content-type": "application/pdf", "x-upsert": "false", "cache-control": "max-age=3600"},
    "token": "…",
    "resumable": {
        "protocol": "tus",
        "endpoint": "https://ref.supabase.co/storage/v1/upload/resumable/sign",
        "headers": {"x-signature": "…"},
        "chunk_size": 6291456,
        "metadata": {
            "bucketName": "uploads",
            "objectName": "01971f6e-8c5b-7a40-b0a5-3d6b1c1f7e55/k3vX0yq8.pdf",
            "contentType": "application/pdf",
            "cacheControl": "3600",
        },
    },
    "limits": {"max_bytes": 52428800, "content_types": ["application/pdf", "image/jpeg", "image/png"]},
    "complete_url": "https://api.example.org/api/v1/uploads/01971f6e-8c5b-7a40-b0a5-3d6b1c1f7e55/complete/",
}
SIGNED = {
    "url": "https://ref.supabase.co/storage/v1/object/sign/documents/6c1f9a52-…/Zk0….pdf?token=…",
    "expires_at": "2026-11-21T02:50:00Z",
}


class FileFactsSerializer(serializers.Serializer[Any]):
    """The verified facts of a file."""

    name = serializers.CharField(help_text="The file name at the client.")
    size = serializers.IntegerField(help_text="Bytes.")
    content_type = serializers.CharField()
    sha256 = serializers.CharField(allow_null=True, help_text="Hex; null above CHECKSUM_MAX_BYTES.")
    uploaded_at = serializers.DateTimeField()


@extend_schema_serializer(
    component_name="Upload",  # the schema adds "Request"
    examples=[
        OpenApiExample("A PDF", DECLARATION, request_only=True),
    ],
)
class UploadRequestSerializer(serializers.Serializer[Any]):
    """What a client declares about a file before it sends it."""

    # `context` has the resource, or its class, and the `field_name` of its ticket. `save(owner=…)` issues it.

    sent_filename = ""

    filename = TextField(max_length=255, help_text="A name without a path.")
    content_type = TextField(
        max_length=255,
        allow_blank=True,
        help_text="Blank, or application/octet-stream: the type for the suffix of the file name.",
    )
    size = StrictIntegerField(min_value=1, help_text="The exact size in bytes.")
    sha256 = serializers.RegexField(
        r"\A[0-9a-fA-F]{64}\Z",
        required=False,
        allow_null=True,
        default=None,
        help_text="Hex. If it is sent, it is compared with that of the file.",
    )

    @property
    def field(self) -> UploadField:
        resource: Resource | type[Resource] = self.context["resource"]
        return resource.upload_field(self.context["field_name"])

    def create(self, validated: dict[str, Any]) -> Ticket:
        owner, on_create = validated.pop("owner"), validated.pop("on_create", None)
        resource, name = self.context["resource"], self.context["field_name"]
        return tickets.issue(resource, name, owner, cast(Declared, validated), on_create=on_create)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):  # as sent: it may be needed if it is not valid
            self.sent_filename = drop_invisible(str(data.get("filename", ""))).strip()
        return super().to_internal_value(data)

    def validate_filename(self, name: str) -> str:
        if CONTROLS.search(name) or "/" in name or "\\" in name or name in (".", ".."):
            raise serializers.ValidationError(
                gettext("Send a plain file name, without a path or control characters.")
            )
        return name

    def validate_content_type(self, content_type: str) -> str:
        content_type = content_types.canonical(content_type)
        if content_type == content_types.UNKNOWN:
            content_type = content_types.guess(self.sent_filename)
        if content_type not in self.field.accepts:
            accepted = gettext(" or ").join(self.field.accepts)
            message = gettext("This type is not accepted here: send %(accepted)s.") % {"accepted": accepted}
            raise serializers.ValidationError(message, code="content_type_not_allowed")
        return content_type

    def validate_size(self, size: int) -> int:
        limit = self.field.size_limit
        if size > limit:
            message = gettext("At most %(limit)s bytes are accepted here.") % {"limit": limit}
            raise serializers.ValidationError(message, code="too_large")
        return size

    def validate_sha256(self, sha256: str | None) -> str | None:
        return sha256 and sha256.lower()


class LimitsSerializer(serializers.Serializer[Any]):
    max_bytes = serializers.IntegerField()
    content_types = serializers.ListField(child=serializers.CharField())


class ResumableSerializer(serializers.Serializer[Any]):
    """How to send the file as a resumable upload, which continues after an interruption."""

    protocol = serializers.CharField(help_text="`tus`, version 1.0.0.")
    endpoint = serializers.CharField()
    headers = serializers.DictField(child=serializers.CharField(), help_text="Send these with every request.")
    chunk_size = serializers.IntegerField(help_text="The size in bytes of each part except the last.")
    metadata = serializers.DictField(child=serializers.CharField())


@extend_schema_serializer(examples=[OpenApiExample("A ticket", TICKET, response_only=True)])
class TicketSerializer(serializers.Serializer[Ticket]):
    """What a client needs to send one file with `fetch`, `supabase-js`, Uppy or `tus-js-client`."""

    id = serializers.UUIDField(source="upload.pk")
    state = serializers.ChoiceField(Upload.State.choices, source="upload.state")
    expires_at = serializers.DateTimeField(source="signed.expires_at")
    bucket = serializers.CharField(source="signed.bucket")
    path = serializers.CharField(source="signed.key")
    method = serializers.CharField(source="signed.method", read_only=True)
    url = serializers.CharField(source="signed.url")
    headers = serializers.DictField(source="signed.headers", child=serializers.CharField())
    token = serializers.CharField(source="signed.token")
    resumable = ResumableSerializer(source="signed.resumable")
    limits = serializers.SerializerMethodField()
    complete_url = serializers.SerializerMethodField()

    def to_representation(self, ticket: Ticket) -> dict[str, Any]:
        """Return what the fields above say. DRF would make 25 fields for each ticket."""
        upload, signed = ticket.upload, ticket.signed
        return {
            "id": str(upload.pk),
            "state": upload.state,
            "expires_at": utc_text(signed.expires_at),
            "bucket": signed.bucket,
            "path": signed.key,
            "method": signed.method,
            "url": signed.url,
            "headers": signed.headers,
            "token": signed.token,
            "resumable": signed.resumable,
            "limits": self.get_limits(ticket),
            "complete_url": self.get_complete_url(ticket),
        }

    @extend_schema_field(LimitsSerializer)
    def get_limits(self, ticket: Ticket) -> dict[str, Any]:
        field = ticket.upload.field()
        return {"max_bytes": field.size_limit, "content_types": list(field.accepts)}

    @extend_schema_field({"type": "string", "format": "uri"})
    def get_complete_url(self, ticket: Ticket) -> str:
        return reverse("upload-complete", args=[ticket.upload.pk], request=self.context["request"])


class DeclaredFileSerializer(serializers.Serializer[Any]):
    filename = serializers.CharField()
    content_type = serializers.CharField()
    size = serializers.IntegerField()
    sha256 = serializers.CharField(allow_null=True)


class FoundFileSerializer(serializers.Serializer[Any]):
    content_type = serializers.CharField()
    size = serializers.IntegerField()
    sha256 = serializers.CharField(allow_null=True)


class ProblemOfUploadSerializer(serializers.Serializer[Any]):
    """Why the file was not recorded."""

    code = serializers.ChoiceField(UPLOAD_FAILED)
    detail = serializers.CharField(allow_blank=True)


@extend_schema_serializer(examples=[OpenApiExample("A completed upload", UPLOAD, response_only=True)])
class UploadSerializer(serializers.ModelSerializer[Upload]):
    """The state of a ticket."""

    state = serializers.ChoiceField(Upload.State.choices, source="shown_state")
    declared = DeclaredFileSerializer()
    found = FoundFileSerializer(allow_null=True)
    problem = ProblemOfUploadSerializer(source="shown_problem", allow_null=True)
    processing = serializers.BooleanField(
        source="is_processing",
        help_text="The picture is recorded, and its renditions are still to be made: poll the resource.",
    )
    resource = serializers.SerializerMethodField(
        help_text="The URL of the resource that the file is for; null if it has been deleted."
    )

    class Meta:
        model = Upload
        fields = [
            "id",
            "state",
            "expires_at",
            "created_at",
            "updated_at",
            "declared",
            "found",
            "problem",
            "processing",
            "resource",
        ]
        read_only_fields = fields

    def get_resource(self, upload: Upload) -> str | None:
        if upload.resource is None:
            return None
        url: str = self.context["request"].build_absolute_uri(upload.resource.get_absolute_url())
        return url


@extend_schema_serializer(
    component_name="Completions",  # the schema adds "Request"
    examples=[OpenApiExample("Two tickets", {"ids": [UPLOAD["id"], OTHER_ID]}, request_only=True)],
)
class CompletionsRequestSerializer(serializers.Serializer[Any]):
    ids = serializers.ListField(child=CanonicalUUIDField(), min_length=1, max_length=50)


class ProblemOfCompletionSerializer(serializers.Serializer[Problem]):
    """What the request for this ticket alone would have got."""

    status = serializers.IntegerField(help_text="The HTTP status.")
    code = serializers.ChoiceField(COMPLETION_FAILED)
    detail = serializers.CharField()

    def to_representation(self, problem: Problem) -> dict[str, Any]:
        body = problem_body(problem.code, problem.detail)
        return {name: body[name] for name in ("status", "code", "detail")}


class CompletionSerializer(serializers.Serializer[Any]):
    """`upload`, or `problem` if it is not completed."""

    id = serializers.UUIDField()
    upload = UploadSerializer(allow_null=True)
    problem = ProblemOfCompletionSerializer(allow_null=True)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "One of two",
            {
                "results": [
                    {"id": UPLOAD["id"], "upload": UPLOAD, "problem": None},
                    {
                        "id": OTHER_ID,
                        "upload": None,
                        "problem": {
                            "status": 409,
                            "code": "object_missing",
                            "detail": "Nothing has been uploaded yet: send the file to the ticket's `url`.",
                        },
                    },
                ]
            },
            response_only=True,
        )
    ]
)
class CompletionsSerializer(serializers.Serializer[Any]):
    results = CompletionSerializer(many=True)


@extend_schema_serializer(examples=[OpenApiExample("A signed URL", SIGNED, response_only=True)])
class DownloadURLSerializer(serializers.Serializer[Any]):
    url = serializers.CharField()
    expires_at = serializers.DateTimeField()


def url_as_json(signed: SignedURL) -> dict[str, str]:
    """Return the JSON of a DownloadURLSerializer. It is made without one: a response may have a hundred."""
    return {"url": signed.url, "expires_at": utc_text(signed.expires_at.astimezone(UTC))}
