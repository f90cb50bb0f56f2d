"""The avatars of members in responses: renditions with signed URLs, made for all of them at once."""

from collections.abc import Callable, Iterable
from typing import Any

import structlog
from django.conf import settings
from rest_framework import serializers

from api.pictures.serializers import AltDict, ImageSerializer, image
from api.profiles.models import Profile
from storage.base import SignedURL, store_of
from storage.errors import StorageError

logger = structlog.get_logger("api.profiles")


class SignedImageSerializer(ImageSerializer):
    """A picture that only some may see. Its URLs are signed."""

    expires_at = serializers.DateTimeField(
        allow_null=True, help_text="When the URLs stop working; null without URLs."
    )


def avatar_image(profile: Profile, signed: dict[str, SignedURL]) -> dict[str, Any] | None:
    """Return the JSON of a SignedImageSerializer, None without an avatar. `signed` has the URLs by key."""
    if not profile.has_picture:
        return None
    urls = {key: url.url for key, url in signed.items()}
    own = [signed[file.key].expires_at for file in profile.rendition_files() if file.key in signed]
    alt: AltDict = {"en": profile.display_name, "es": profile.display_name}
    return {**image(profile, urls, alt=alt, credit=""), "expires_at": min(own, default=None)}


def signed_avatars(context: Any, profiles: Callable[[], Iterable[Profile]]) -> dict[str, SignedURL]:
    """Return the URLs of the avatars in this response, by key: one call to the store for all profiles.

    Without the store there are none, and the rest can still be read. `context` is that of the serializer; its
    view is told of signed URLs, which no cache may keep.
    """
    if "avatar_urls" not in context:
        distinct = {profile.pk: profile for profile in profiles()}.values()
        keys = {file.key for profile in distinct for file in profile.rendition_files() if file.key}
        context["avatar_urls"] = _sign(sorted(keys))
        if keys:
            context["view"].has_signed_urls = True
    urls: dict[str, SignedURL] = context["avatar_urls"]
    return urls


def _sign(keys: list[str]) -> dict[str, SignedURL]:
    try:
        store = store_of(Profile.renditions_bucket)
        return store.sign_downloads(keys, seconds=settings.DOWNLOAD_URL_TTL) if keys else {}
    except StorageError as error:
        logger.warning("avatars_not_signed", outage="storage", exc_info=error)
        return {}


def shown_rows(serializer: serializers.BaseSerializer[Any]) -> list[Any]:
    """Return the rows of the response: those of the list, or the one."""
    shown: Any = serializer.instance if serializer.parent is None else serializer.parent.instance
    return list(shown) if isinstance(shown, Iterable) else [shown]
