"""Checks of the Supabase settings that need no network, for the system checks and for `check_supabase`.

A `problem` cannot work; a `warning` rarely does.
"""

import re
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from storage.findings import Finding, problem, warning
from storage.supabase import api_keys

HOSTED_SUFFIX = ".supabase.co"
DASHBOARD_HOSTS = ("supabase.com", "www.supabase.com", "app.supabase.com", "supabase.io", "app.supabase.io")
HOST_PATTERN = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
KEY_PATTERN = re.compile(r"[\x21-\x7e]+")  # the characters that a header value can hold, without spaces
COPY_SECRET_KEY = "Copy the secret key (sb_secret_…) from the dashboard's Project Settings, API Keys."
KEY_NAMES = {
    "publishable": "a publishable key",
    "anon": "the anon key",
    "authenticated": "a user's access token",
}


def check_url() -> Iterator[Finding]:
    """Check that SUPABASE_URL can be the address of a project."""
    cure = (
        f"Set SUPABASE_URL to https://<ref>{HOSTED_SUFFIX}, as shown in the dashboard's Project Settings, or "
        "to the address of your own stack."
    )
    parts = _split(settings.SUPABASE_URL)
    if parts is None or parts.hostname in DASHBOARD_HOSTS:
        yield problem("url", "SUPABASE_URL is not the address of a project.", cure, id="storage.E007")
        return
    is_local = getattr(settings, "STORAGE", "supabase") == "local"
    if parts.path and not (is_local and parts.path == settings.FORCE_SCRIPT_NAME):
        what = "SUPABASE_URL has a path, but /storage/v1 and /auth/v1 are appended to it."
        yield problem("url", what, "Remove the path from SUPABASE_URL.", id="storage.E008")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        what = "SUPABASE_URL starts with http://: keys, tokens and files are sent unencrypted."
        if project_ref(settings.SUPABASE_URL):
            yield problem("url", what, "Start it with https://.", id="storage.E009")
        elif not settings.DEBUG:
            yield warning(
                "url", what, "Install a certificate on the server, and use https://.", id="storage.W009"
            )


def check_secret_key() -> Iterator[Finding]:
    """Check that SUPABASE_SECRET_KEY, if it is set, can be this project's secret key."""
    key = settings.SUPABASE_SECRET_KEY
    if not key:
        return
    parsed = api_keys.parse(key)
    if not KEY_PATTERN.fullmatch(key) or key == settings.SUPABASE_JWT_SECRET:
        what = (
            "SUPABASE_SECRET_KEY is not an API key: it has characters that no key has, or is the JWT secret."
        )
        yield problem("key", what, COPY_SECRET_KEY, id="storage.E010")
    elif parsed.kind in ("publishable", "anon", "authenticated"):
        what = f"SUPABASE_SECRET_KEY is {KEY_NAMES[parsed.kind]}, which has almost no permissions."
        yield problem("key", what, COPY_SECRET_KEY, id="storage.E010")
    elif parsed.kind == "unknown":
        what = "SUPABASE_SECRET_KEY is neither sb_secret_… nor a service_role JSON web token."
        yield warning("key", what, COPY_SECRET_KEY, id="storage.W010")
    yield from _check_project("SUPABASE_SECRET_KEY", parsed)
    if parsed.is_expired:
        yield problem("key", "SUPABASE_SECRET_KEY has expired.", COPY_SECRET_KEY, id="storage.E013")


def check_publishable_key() -> Iterator[Finding]:
    """Check that SUPABASE_PUBLISHABLE_KEY, if it is set, is not a secret."""
    key = settings.SUPABASE_PUBLISHABLE_KEY
    if not key:
        return
    parsed = api_keys.parse(key)
    is_public = parsed.kind in ("publishable", "anon")  # then the mistake is to have it as the secret key
    is_servers = key in (settings.SUPABASE_SECRET_KEY, settings.SUPABASE_JWT_SECRET)
    if parsed.is_secret or (is_servers and not is_public):
        what = "SUPABASE_PUBLISHABLE_KEY is a secret key: it has all permissions, and browsers receive it."
        cure = "Set it to the publishable key (sb_publishable_…); revoke the secret key if it was published."
        yield problem("key", what, cure, id="storage.E014")
    yield from _check_project("SUPABASE_PUBLISHABLE_KEY", parsed)


def check_signing() -> Iterator[Finding]:
    """Check that SUPABASE_SIGNING suits the project."""
    if settings.SUPABASE_SIGNING == "secret" and project_ref(settings.SUPABASE_URL):
        what = "SUPABASE_SIGNING=secret, but the signing secret of a hosted project cannot be read."
        yield problem("signing", what, "Set SUPABASE_SIGNING=server.", id="storage.E015")


def project_ref(url: str) -> str:
    """Return the project reference in the URL of a hosted project, or "" for any other URL."""
    parts = _split(url)
    host = (parts.hostname if parts else None) or ""
    return host.removesuffix(HOSTED_SUFFIX).split(".")[0] if host.endswith(HOSTED_SUFFIX) else ""


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _check_project(name: str, key: api_keys.ApiKey) -> Iterator[Finding]:
    """Check that the key in the setting `name` is not a demo key, nor a key of another project."""
    parts = _split(settings.SUPABASE_URL)
    is_local = parts is not None and is_loopback(parts.hostname or "")
    if key.is_demo and not (settings.DEBUG and is_local):
        what = f"{name} is a demo key, which is published in documentation."
        yield problem("key", what, f"Set {name} to the project's own key.", id="storage.E011")
    ref = project_ref(settings.SUPABASE_URL)
    if ref and key.ref and key.ref != ref:
        what = f"{name} is a key of another project: SUPABASE_URL is the address of the project {ref!r}."
        yield problem("key", what, "Take both from the same project's settings.", id="storage.E012")


def _split(url: str) -> SplitResult | None:
    """Return None unless it is an http(s) URL without a user, password, query or fragment."""
    try:
        parts = urlsplit(url)
        is_valid = parts.port != 0 and HOST_PATTERN.fullmatch(parts.hostname or "")
    except ValueError:
        return None
    has_extras = parts.username or parts.password or parts.query or parts.fragment
    return parts if parts.scheme in ("http", "https") and is_valid and not has_extras else None
