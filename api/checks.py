"""System checks of the API's configuration."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, register

from api.auth.configuration import issuer_findings
from api.uploads.verification import PILLOW_FORMATS
from storage.checks import as_message
from storage.fields import upload_fields


@register()
def check_image_types(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    return [
        Error(
            f"{field} accepts {content_type}, an image type that cannot be verified.",
            hint=f"Accept {', '.join(PILLOW_FORMATS)}.",
            obj=field,
            id="api.E001",
        )
        for field in upload_fields()
        for content_type in field.accepts
        if content_type.startswith("image/") and content_type not in PILLOW_FORMATS
    ]


@register()
def check_issuer(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    return [as_message(finding) for finding in issuer_findings()]
