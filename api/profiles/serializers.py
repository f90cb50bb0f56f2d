"""Serializers of profiles and of the result of an erasure."""

import re
from typing import Any

from django.conf import settings
from django.utils.translation import gettext
from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from api.auth.principal import Principal
from api.permissions import permissions_of, staff_permissions
from api.pictures.serializers import IMAGE
from api.profiles.avatars import SignedImageSerializer, avatar_image, shown_rows, signed_avatars
from api.profiles.erasure import kinds_of_summary
from api.profiles.models import Profile
from api.serializer_fields import ModelSerializer
from api.uploads import quotas
from api.uploads.serializers import FileFactsSerializer

#: A language tag of RFC 5646 with language, script and region, without variants and extensions.
LANGUAGE_TAG = re.compile(r"([A-Za-z]{2,3})(-[A-Za-z]{4})?(-(?:[A-Za-z]{2}|[0-9]{3}))?")

PROFILE = {
    "id": "6c1f9a52-6f0a-5d7e-9b7e-2f6a3c0d9b11",
    "display_name": "Alice",
    "bio": "Keeper of the penguins.",
    "language": "es-MX",
    "avatar": {
        "name": "me.png",
        "size": 20480,
        "content_type": "image/png",
        "sha256": "9f86…0a08",
        "uploaded_at": "2026-11-21T02:45:07Z",
        **IMAGE,
        "alt": {"en": "Alice", "es": "Alice"},
        "credit": "",
        "expires_at": "2026-11-21T02:50:07Z",
    },
    "email": "alice@example.org",
    "role": "member",
    "permissions": ["add_document"],
    "storage": {"used": 1073741, "limit": 1073741824},
    "created_at": "2026-11-21T02:44:00Z",
    "updated_at": "2026-11-21T02:45:07Z",
}


class AvatarSerializer(FileFactsSerializer, SignedImageSerializer):
    """The uploaded file, and the renditions that are shown, with signed URLs."""


class StorageSerializer(serializers.Serializer[Any]):
    """What the member's files and open tickets use of the quota."""

    used = serializers.IntegerField(help_text="Bytes.")
    limit = serializers.IntegerField(allow_null=True, help_text="Bytes; null if there is no limit.")


OWN = ("email", "role", "permissions", "storage")  # what lists do not have
LISTED = {name: value for name, value in PROFILE.items() if name not in OWN}
ROLE = {"type": "string", "enum": ["member", "staff"], "nullable": True}
PERMISSIONS = {
    "type": "array",
    "items": {"type": "string", "enum": staff_permissions()},
    "nullable": True,
}


@extend_schema_serializer(examples=[OpenApiExample("A profile", LISTED, response_only=True)])
class ListedProfileSerializer(ModelSerializer[Profile]):
    """A profile in a list, without `email`, `role`, `permissions` and `storage`."""

    avatar = serializers.SerializerMethodField(help_text="null until a ticket is completed.")

    class Meta:
        model = Profile
        fields = ["id", "display_name", "bio", "language", "avatar", "created_at", "updated_at"]

    @extend_schema_field(AvatarSerializer(allow_null=True))
    def get_avatar(self, profile: Profile) -> dict[str, Any] | None:
        shown = avatar_image(profile, signed_avatars(self.context, lambda: shown_rows(self)))
        return shown and {**(profile.avatar_facts or {}), **shown}


@extend_schema_serializer(
    examples=[
        OpenApiExample("A new name", {"display_name": "Alice", "language": "es-MX"}, request_only=True),
        OpenApiExample("A profile", PROFILE, response_only=True),
    ]
)
class ProfileSerializer(ListedProfileSerializer):
    """A profile. `email`, `role` and `permissions` are those of the caller's own token; null for others."""

    email = serializers.SerializerMethodField()
    role = serializers.SerializerMethodField()
    permissions = serializers.SerializerMethodField(help_text="What the API allows the caller to do.")
    storage = serializers.SerializerMethodField()

    class Meta(ListedProfileSerializer.Meta):
        fields = [*ListedProfileSerializer.Meta.fields, "email", "role", "permissions", "storage"]
        extra_kwargs = {"language": {"help_text": "A language tag: `en`, `es-MX`, `zh-Hant-TW`."}}

    @extend_schema_field({"type": "string", "nullable": True})
    def get_email(self, profile: Profile) -> str | None:
        caller = self._caller(profile)
        return caller.email or None if caller else None

    @extend_schema_field(ROLE)
    def get_role(self, profile: Profile) -> str | None:
        caller = self._caller(profile)
        return _role(caller) if caller else None

    @extend_schema_field(PERMISSIONS)
    def get_permissions(self, profile: Profile) -> list[str] | None:
        caller = self._caller(profile)
        return permissions_of(caller) if caller else None

    def _caller(self, profile: Profile) -> Principal | None:
        """Return the caller if this is the caller's own profile."""
        caller: Principal = self.context["request"].user
        return caller if caller.id == profile.pk else None

    @extend_schema_field(StorageSerializer)
    def get_storage(self, profile: Profile) -> dict[str, int | None]:
        return {"used": quotas.usage(profile.pk).used, "limit": settings.QUOTA_BYTES or None}

    def validate_language(self, tag: str) -> str:
        """Return the tag in its canonical spelling: `es-MX` for `ES-mx`."""
        parts = LANGUAGE_TAG.fullmatch(tag)
        if tag and not parts:
            raise serializers.ValidationError(
                gettext("Send a language tag such as `en`, `es-MX` or `zh-Hant-TW`."), code="not_a_language"
            )
        language, script, region = parts.groups(default="") if parts else ("", "", "")
        return f"{language.lower()}{script.title()}{region.upper()}"

    def update(self, profile: Profile, changes: dict[str, Any]) -> Profile:
        """Save the sent fields only, because an upload may be recorded at the same time."""
        profile.update(changes)
        return profile


def _role(principal: Principal) -> str:
    return "staff" if principal.is_staff else "member"


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "An erased member", {"documents": 12, "objects": 13, "tickets": 17}, status_codes=["200", "202"]
        ),
    ]
)
class ErasedSerializer(serializers.Serializer[Any]):
    """How many documents, objects and tickets this call removed."""

    def get_fields(self) -> dict[str, serializers.Field]:
        fields: dict[str, serializers.Field] = {
            kind: serializers.IntegerField() for kind in kinds_of_summary()
        }
        fields["objects"].help_text = "Objects in the file storage, including the avatar."
        return fields
