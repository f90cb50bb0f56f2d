"""System checks of the file fields and the storage settings."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from storage.base import signed_stores
from storage.fields import UploadField, upload_fields
from storage.findings import Finding
from storage.origins import check_origins
from storage.supabase import configuration


@register()
def check_fields(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    return [problem for field in upload_fields() for problem in _check_field(field)]


@cache
def _detectable_types() -> set[str]:
    """Return the content types that puremagic can detect from the first bytes of a file."""
    import puremagic  # noqa: PLC0415  (only checks need it at the start: it reads a list of all signatures)

    return {row.mime_type for row in puremagic.magic_header_array}


def _check_field(field: UploadField) -> list[CheckMessage]:
    problems: list[CheckMessage] = []
    unknown = sorted(set(field.accepts) - _detectable_types())
    if unknown:
        problems.append(
            Error(
                f"{field} accepts {', '.join(unknown)}, which cannot be detected from a file's first bytes.",
                hint="Accept types with a signature, such as application/pdf or image/png.",
                obj=field,
                id="storage.E001",
            )
        )
    if field.max_bytes <= 0 or not field.accepts or not callable(field.folder):
        problems.append(
            Error(
                f"{field} has an invalid rule.",
                hint="Set accepts, a positive max_bytes and a callable folder.",
                obj=field,
                id="storage.E002",
            )
        )
    if field.storage.location:
        problems.append(
            Error(
                f"{field} uses {field.alias!r} of STORAGES, which has a location.",
                hint="Remove the option location: an UploadField records whole keys, not names.",
                obj=field,
                id="storage.E017",
            )
        )
    names = {each.name for each in field.model._meta.get_fields()}
    for name in set(field.facts_fields) - names:
        problems.append(
            Error(
                f"{field} refers to the field {name!r}, which the model does not have.",
                hint="Add a JSONField(null=True) for facts_field, a BigIntegerField(null=True) for "
                "size_field and a CharField for content_type_field.",
                obj=field,
                id="storage.E003",
            )
        )
    return problems


@register()
def check_settings(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    problems: list[CheckMessage] = []
    if not hasattr(settings, "STORAGE"):  # another project has installed this app
        return problems
    if not any(store.incoming for store in signed_stores()):
        problems.append(
            Error(
                "STORAGES has no bucket for incoming uploads.",
                hint='Give one bucket the option "incoming": True.',
                id="storage.E004",
            )
        )
    for name in ("UPLOAD_URL_TTL", "DOWNLOAD_URL_TTL", "STORAGE_FILE_SIZE_LIMIT"):
        if getattr(settings, name) <= 0:
            problems.append(Error(f"{name} must be positive.", hint=f"Unset {name}.", id="storage.E005"))
    if settings.STORAGE == "local" and configuration.project_ref(settings.SUPABASE_URL):
        problems.append(
            Error(
                "STORAGE=local, but SUPABASE_URL is a hosted project, which refuses this server's URLs.",
                hint="Set SUPABASE_URL to the public address of this server; for the project's users, set "
                "SUPABASE_JWT_ISSUER and SUPABASE_JWKS_URL.",
                id="storage.E006",
            )
        )
    return problems


@register()
def check_supabase(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    if not hasattr(settings, "STORAGE"):
        return []
    rules = (
        configuration.check_url,
        configuration.check_secret_key,
        configuration.check_publishable_key,
        configuration.check_signing,
    )
    return [as_message(found) for rule in rules for found in rule()]


@register()
def check_cors(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    return [as_message(found) for found in check_origins()] if hasattr(settings, "STORAGE") else []


def as_message(found: Finding) -> CheckMessage:
    kind = Error if found.level == "problem" else Warning
    return kind(found.what, hint=found.cure, id=found.id)
