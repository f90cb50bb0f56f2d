"""Checks the keys and secrets of production: whoever can guess one of them can do everything."""

import re
from collections.abc import Mapping

from django.core.exceptions import ImproperlyConfigured

from storage import webhooks
from storage.supabase import api_keys
from storage.supabase.configuration import COPY_SECRET_KEY
from storage.supabase.well_known_keys import is_well_known

MIN_LENGTHS = {
    "SECRET_KEY": (40, "characters"),
    "SUPABASE_JWT_SECRET": (32, "characters (RFC 7518, 3.2)"),
    "STORAGE_WEBHOOK_SECRET": (24, "bytes (Standard Webhooks)"),
    "METRICS_TOKEN": (24, "characters"),
}
MIN_DIFFERENT_CHARACTERS = 8  # of 30,000 secrets of 24 random hexadecimal digits, one has fewer
REPEATED = re.compile(r"(.{1,23}?)\1+", re.DOTALL)  # a few characters again and again


def check_keys(keys: Mapping[str, str]) -> None:
    """Raise ImproperlyConfigured if one of the keys is well known, can be guessed, or is of the wrong kind.

    `keys`: the values by the names of the settings; an empty value is not checked. No message has a value.
    """
    keys = {name: value for name, value in keys.items() if value}
    if well_known := [name for name, value in keys.items() if is_well_known(value)]:
        raise ImproperlyConfigured(
            f"{' and '.join(well_known)} holds a key that is printed in documentation: make your own."
        )
    for name, (length, unit) in MIN_LENGTHS.items():
        if name in keys:
            _check_secret(name, keys[name], length, unit)
    secret_key = keys.get("SUPABASE_SECRET_KEY")
    if secret_key and not api_keys.has_form_of_secret_key(secret_key):
        raise ImproperlyConfigured(
            "SUPABASE_SECRET_KEY is neither a secret key (sb_secret_…) nor a service_role JSON web token. "
            f"{COPY_SECRET_KEY}"
        )
    if secret_key:
        _check_randomness("SUPABASE_SECRET_KEY", secret_key.removeprefix("sb_secret_"))


def check_webhook_secret(secret: str) -> None:
    """Raise ImproperlyConfigured if messages cannot be signed with it."""
    try:
        webhooks.signing_key(secret)
    except ValueError:
        raise ImproperlyConfigured(
            "STORAGE_WEBHOOK_SECRET must be whsec_ and base64, or other printable ASCII without spaces."
        ) from None


def _check_secret(name: str, secret: str, min_length: int, unit: str) -> None:
    """Raise ImproperlyConfigured if the secret is short, monotonous, or a key that clients may know."""
    if name == "STORAGE_WEBHOOK_SECRET":
        secret = webhooks.signing_key(secret).decode("latin-1")
    if len(secret) < min_length:
        raise ImproperlyConfigured(f"{name} is shorter than {min_length} {unit}.")
    _check_randomness(name, secret)
    if api_keys.parse(secret).kind != "unknown":
        raise ImproperlyConfigured(f"{name} is an API key, which clients may know: make a secret of its own.")


def _check_randomness(name: str, secret: str) -> None:
    if len({*secret}) < MIN_DIFFERENT_CHARACTERS or REPEATED.fullmatch(secret):
        raise ImproperlyConfigured(f"{name} repeats a few characters: make a random one.")
