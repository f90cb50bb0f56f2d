"""What can be wrong with the configuration of the API, told at start-up with the cure."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from api.auth.configuration import issuer
from api.uploads.verification import PILLOW_FORMATS
from storage.checks import as_message
from storage.fields import upload_fields


@register()
def check_pictures(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    return [
        Error(
            f"{field} accepts {kind}, a picture that verification cannot open.",
            hint=f"Accept {', '.join(PILLOW_FORMATS)}.",
            obj=field,
            id="api.E001",
        )
        for field in upload_fields()
        for kind in field.accepts
        if kind.startswith("image/") and kind not in PILLOW_FORMATS
    ]


@register()
def check_issuer(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    return [as_message(found) for found in issuer()]


@register(deploy=True)
def check_cache(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    if "locmem" not in settings.CACHES["default"]["BACKEND"]:
        return []
    return [
        Warning(
            "The cache is in-process: each worker process counts throttles and keeps keys for itself.",
            hint="Set CACHE_URL=redis://… when more than one process serves.",
            id="api.W001",
        )
    ]
