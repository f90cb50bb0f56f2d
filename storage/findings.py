"""What an examination finds, the doctor's or a system check's: one line each, with its cure."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

Level = Literal["ok", "warning", "problem", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`ms`: how long it took. `id`: that of the system check that says the same.

    No key, token or signed URL is in any of it.
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


def shown(url: str) -> str:
    """The URL without what may be secret in it: no user, no password, no query."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}{parts.path}".rstrip("/")
    except ValueError:
        return "an address that cannot be read"
