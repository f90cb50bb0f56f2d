"""Serializers of profiles and of the result of an erasure."""

import re
from typing import Any

import structlog
from django.conf import settings
from django.utils.translation import gettext
from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from api.pictures.serializers import IMAGE, AltDict, ImageSerializer, image
from api.profiles.models import Profile
from api.serializer_fields import ModelSerializer
from api.uploads import quotas
from api.uploads.serializers import FileFactsSerializer
from storage.base import SignedURL, store_of
from storage.errors import StorageError

logger = structlog.get_logger("api.profiles")

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
    "storage": {"used": 1073741, "limit": 1073741824},
    "created_at": "2026-11-21T02:44:00Z",
    "updated_at": "2026-11-21T02:45:07Z",
}


class AvatarSerializer(FileFactsSerializer, ImageSerializer):
    """The uploaded file, and the renditions that are shown, with signed URLs."""

    expires_at = serializers.DateTimeField(
        allow_null=True, help_text="When the URLs stop working; null without URLs."
    )


def sign(keys: list[str]) -> dict[str, SignedURL]:
    """Return a URL for each key, none if the store does not answer."""
    try:
        store = store_of(Profile.renditions_bucket)
        return store.sign_downloads(keys, seconds=settings.DOWNLOAD_URL_TTL) if keys else {}
    except StorageError as error:
        logger.warning("avatars_not_signed", outage="storage", exc_info=error)
        return {}


class StorageSerializer(serializers.Serializer[Any]):
    """What the member's files and open tickets use of the quota."""

    used = serializers.IntegerField(help_text="Bytes.")
    limit = serializers.IntegerField(allow_null=True, help_text="Bytes; null if there is no limit.")


LISTED = {name: value for name, value in PROFILE.items() if name != "storage"}


@extend_schema_serializer(examples=[OpenApiExample("A profile", LISTED, response_only=True)])
class ListedProfileSerializer(ModelSerializer[Profile]):
    """A profile in a list, without `storage`, which takes a query for each."""

    avatar = serializers.SerializerMethodField(help_text="null until a ticket is completed.")

    class Meta:
        model = Profile
        fields = ["id", "display_name", "bio", "language", "avatar", "created_at", "updated_at"]

    @extend_schema_field(AvatarSerializer(allow_null=True))
    def get_avatar(self, profile: Profile) -> dict[str, Any] | None:
        if not profile.has_picture:
            return None
        signed = self._signed_urls()
        urls = {key: url.url for key, url in signed.items()}
        own = [signed[file.key].expires_at for file in profile.rendition_files() if file.key in signed]
        alt: AltDict = {"en": profile.display_name, "es": profile.display_name}
        facts: dict[str, Any] = dict(profile.avatar_facts or {})
        return {**facts, **image(profile, urls, alt=alt, credit=""), "expires_at": min(own, default=None)}

    def _signed_urls(self) -> dict[str, SignedURL]:
        """Return the URLs of the avatars of all profiles in this response, by key: one call to the store.

        Without the store there are none, and the profiles can still be read.
        """
        context: Any = self.context
        if "avatar_urls" not in context:
            shown = self.instance if self.parent is None else self.parent.instance
            profiles: Any = [shown] if isinstance(shown, Profile) else shown
            keys = [file.key for profile in profiles for file in profile.rendition_files() if file.key]
            context["avatar_urls"] = sign(keys)
        urls: dict[str, SignedURL] = context["avatar_urls"]
        return urls


@extend_schema_serializer(
    examples=[
        OpenApiExample("A new name", {"display_name": "Alice", "language": "es-MX"}, request_only=True),
        OpenApiExample("A profile", PROFILE, response_only=True),
    ]
)
class ProfileSerializer(ListedProfileSerializer):
    storage = serializers.SerializerMethodField()

    class Meta(ListedProfileSerializer.Meta):
        fields = [*ListedProfileSerializer.Meta.fields, "storage"]
        extra_kwargs = {"language": {"help_text": "A language tag: `en`, `es-MX`, `zh-Hant-TW`."}}

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


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "An erased member", {"documents": 12, "objects": 13, "tickets": 17}, status_codes=["200", "202"]
        ),
    ]
)
class ErasedSerializer(serializers.Serializer[Any]):
    """How many documents, objects and tickets this call removed."""

    documents = serializers.IntegerField()
    objects = serializers.IntegerField(help_text="Objects in the file storage, including the avatar.")
    tickets = serializers.IntegerField()
