"""What can be wrong with the settings of Supabase, as far as it shows without a network.

Rules that the system checks and the doctor share: a `problem` cannot work, a `warning` seldom does.
"""

import re
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

from storage.findings import Finding, problem, warning
from storage.supabase import api_keys

HOSTED = ".supabase.co"
DASHBOARDS = ("supabase.com", "www.supabase.com", "app.supabase.com", "supabase.io", "app.supabase.io")
HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
KEY = re.compile(r"[\x21-\x7e]+")  # what a header can carry, and no space
WHERE = "the dashboard's Project Settings say which"
COPY = "Copy the secret key (sb_secret_…) from the dashboard's Project Settings, API Keys."


def url() -> Iterator[Finding]:
    """Whether SUPABASE_URL can be the address of a project."""
    cure = f"Set SUPABASE_URL to https://<ref>{HOSTED}, or to where your own stack is reached: {WHERE}."
    parts = _split(settings.SUPABASE_URL)
    if parts is None or parts.hostname in DASHBOARDS:
        yield problem("url", "SUPABASE_URL is not the address of a project.", cure, id="storage.E007")
        return
    if parts.path:
        what = "SUPABASE_URL has a path, and /storage/v1 and /auth/v1 are put behind it."
        yield problem("url", what, "Set SUPABASE_URL to what stands before the path.", id="storage.E008")
    if parts.scheme == "http" and not on_this_machine(parts.hostname or ""):
        what = "SUPABASE_URL begins with http://: keys, tokens and files travel in the clear."
        if ref_of(settings.SUPABASE_URL):
            yield problem("url", what, "Begin it with https://.", id="storage.E009")
        elif not settings.DEBUG:
            yield warning("url", what, "Give the server a certificate, and use https://.", id="storage.W009")


def secret_key() -> Iterator[Finding]:
    """Whether SUPABASE_SECRET_KEY, if it is set, can be this project's service key."""
    key = settings.SUPABASE_SECRET_KEY
    if not key:
        return
    known = api_keys.read(key)
    if not KEY.fullmatch(key) or key == settings.SUPABASE_JWT_SECRET:
        what = (
            "SUPABASE_SECRET_KEY is not an API key, but has characters that none has, or is the JWT secret."
        )
        yield problem("key", what, COPY, id="storage.E010")
    elif known.kind in ("publishable", "anon", "authenticated"):
        what = f"SUPABASE_SECRET_KEY is {_A[known.kind]}: it may do next to nothing."
        yield problem("key", what, COPY, id="storage.E010")
    elif known.kind == "unknown":
        what = "SUPABASE_SECRET_KEY is neither sb_secret_… nor a JSON web token."
        yield warning("key", what, COPY, id="storage.W010")
    yield from _of_this_project("SUPABASE_SECRET_KEY", known)
    if known.expired:
        yield problem("key", "SUPABASE_SECRET_KEY has expired.", COPY, id="storage.E013")


def publishable_key() -> Iterator[Finding]:
    key = settings.SUPABASE_PUBLISHABLE_KEY
    if not key:
        return
    known = api_keys.read(key)
    if known.may_do_all or key in (settings.SUPABASE_SECRET_KEY, settings.SUPABASE_JWT_SECRET):
        what = "SUPABASE_PUBLISHABLE_KEY is a secret key: it may do everything, and is given to browsers."
        cure = (
            "Put the publishable key (sb_publishable_…) there, and revoke the secret one if it was published."
        )
        yield problem("key", what, cure, id="storage.E014")
    yield from _of_this_project("SUPABASE_PUBLISHABLE_KEY", known)


def signing() -> Iterator[Finding]:
    if settings.SUPABASE_SIGNING == "secret" and ref_of(settings.SUPABASE_URL):
        what = "SUPABASE_SIGNING=secret, and hosted projects sign with a secret that nobody can read."
        yield problem("signing", what, "Set SUPABASE_SIGNING=server.", id="storage.E015")


def ref_of(address: str) -> str:
    """The reference of a hosted project, "" for any other address."""
    parts = _split(address)
    host = (parts.hostname if parts else None) or ""
    return host.removesuffix(HOSTED).split(".")[0] if host.endswith(HOSTED) else ""


def on_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


_A = {
    "publishable": "a publishable key",
    "anon": "the anon key",
    "authenticated": "a user's access token",
}


def _of_this_project(name: str, known: api_keys.ApiKey) -> Iterator[Finding]:
    parts = _split(settings.SUPABASE_URL)
    local = parts is not None and on_this_machine(parts.hostname or "")
    if known.demo and not (settings.DEBUG and local):
        what = f"{name} is a demo key, which documentation prints."
        yield problem("key", what, f"Set {name} to the project's own key.", id="storage.E011")
    ref = ref_of(settings.SUPABASE_URL)
    if ref and known.ref and known.ref != ref:
        what = (
            f"{name} is of another project than SUPABASE_URL: {ref!r} is its address, the key says otherwise."
        )
        yield problem("key", what, "Take both from the same project's settings.", id="storage.E012")


def _split(address: str) -> SplitResult | None:
    """None for what is no address of a web server, or holds more than one."""
    try:
        parts = urlsplit(address)
        well_formed = parts.port != 0 and HOST.fullmatch(parts.hostname or "")
    except ValueError:
        return None
    more = parts.username or parts.password or parts.query or parts.fragment
    return parts if parts.scheme in ("http", "https") and well_formed and not more else None
