"""Finding: one result of `check_supabase` or of a system check, with its cure."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Level = Literal["ok", "warning", "problem", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`ms`: how long the check took, in milliseconds. `id`: the system check that reports the same.

    No attribute contains a secret key, a token or a signed URL.
    """

    name: str
    level: Level
    what: str
    cure: str = ""
    ms: float | None = None
    id: str = ""


def ok(name: str, what: str, ms: float | None = None) -> Finding:
    return Finding(name, "ok", what, ms=ms)


def warning(name: str, what: str, cure: str, *, ms: float | None = None, id: str = "") -> Finding:
    return Finding(name, "warning", what, cure, ms, id)


def problem(name: str, what: str, cure: str, *, ms: float | None = None, id: str = "") -> Finding:
    return Finding(name, "problem", what, cure, ms, id)


def redact_url(url: str) -> str:
    """Return the URL without the parts that may be secret: user, password and query."""
    try:
        parts = urlsplit(url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{host}{port}{parts.path}"
    except ValueError:
        return "an invalid URL"
