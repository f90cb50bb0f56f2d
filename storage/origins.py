"""The origins of browser apps: how browsers write them, and patterns that match several.

A browser sends the origin of its page as `scheme://host`, in lower case, with the port only if it is not the
usual one of the scheme (RFC 6454, 6.2). It is compared as it is.
"""

import re
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from storage.findings import Finding, problem

EXAMPLE = "https://app.example.org"
HOST = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")
LOOPBACK = re.compile(r"localhost\b|127\.")
USUAL_PORTS = {"http": 80, "https": 443}
OPAQUE_ORIGINS = ("null", "file://")  # of pages without a host; django-cors-headers accepts both
#: The last two parts of the host are given: anybody can register a domain below a top-level domain.
PATTERN = re.compile(r"https?://(?=[^/]*\*)(?:[a-z0-9*-]+\.)+[a-z0-9-]+\.[a-z0-9-]+(?::[0-9]{1,5})?")


def pattern_regex(pattern: str) -> str:
    """Return a regular expression for `re.match`. A `*` matches letters, digits and hyphens, but no dot.

    Raises ImproperlyConfigured.
    """
    if not PATTERN.fullmatch(pattern):
        raise ImproperlyConfigured(
            f"CORS_ALLOWED_ORIGIN_PATTERNS: {pattern!r} is not a pattern such as https://*.example.org, in "
            "lower case, with `*` before the last two parts of the host, and without a path."
        )
    return re.escape(pattern).replace(r"\*", "[a-z0-9-]{1,63}") + r"\Z"


def check_origins() -> Iterator[Finding]:
    """Check that browsers can send each of CORS_ALLOWED_ORIGINS."""
    for origin in getattr(settings, "CORS_ALLOWED_ORIGINS", ()):
        if not can_be_sent(origin):
            what = f"CORS_ALLOWED_ORIGINS: no browser sends the origin {origin!r}, so it never matches."
            yield problem("cors", what, _cure(origin), id="storage.E016")


def can_be_sent(origin: str) -> bool:
    """Return True if a browser can send this as the origin of a page."""
    return origin in OPAQUE_ORIGINS or ("*" not in origin and origin == _as_sent(origin))


def _cure(origin: str) -> str:
    if "*" in origin:
        return f"Move it to CORS_ALLOWED_ORIGIN_PATTERNS, in the form {EXAMPLE.replace('app', '*')}."
    return f"Write {_as_sent(origin) or EXAMPLE}."


def _as_sent(address: str) -> str:
    """Return the origin of a page at this address as browsers send it, "" if there is none."""
    if "://" not in address:
        address = f"{'http' if LOOPBACK.match(address) else 'https'}://{address.lstrip('/')}"
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").encode("idna").decode()
        if ":" in host:
            host = f"[{ip_address(host)}]"
        port = "" if parts.port in (None, USUAL_PORTS.get(parts.scheme)) else f":{parts.port}"
    except ValueError:
        return ""
    return f"{parts.scheme}://{host}{port}" if HOST.fullmatch(host) else ""
