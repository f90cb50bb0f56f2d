"""Content types in one spelling, whatever clients call them."""

import mimetypes
import re
from typing import Any

UNKNOWN = "application/octet-stream"
MAX_HEADER = 255  # characters: servers refuse requests with long headers
#: What can be sent as Content-Type: `text/plain; charset=utf-8` (RFC 9110, 8.3.1). Storage takes a body of
#: the type `multipart/form-data` for a form.
HEADER = re.compile(r"(?!multipart/form-data)[\w!#$&^.+-]+/[\w!#$&^.+-]+(?:[ \t]*;[ -~]*)?", re.ASCII)
#: Other names of content types, which some browsers and programs send.
ALIASES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "application/acrobat": "application/pdf",
    "application/x-pdf": "application/pdf",
}


def canonical(text: str) -> str:
    """Return the type in lower case and under its registered name, without parameters; UNKNOWN for ""."""
    content_type = text.partition(";")[0].strip().lower()
    return ALIASES.get(content_type, content_type) or UNKNOWN


def aliases_of(content_type: str) -> set[str]:
    """Return the other names of the type."""
    return {alias for alias, name in ALIASES.items() if name == content_type}


mimetypes.add_type("image/webp", ".webp")  # Python 3.11 and 3.12 do not know it without the system's own list


def guess(name: str) -> str:
    """Return the type for the suffix of a file name or key, UNKNOWN if there is none."""
    content_type, encoding = mimetypes.guess_type(name)
    return content_type if content_type and not encoding else UNKNOWN


def header(value: Any) -> str:
    """Return the value if it can be sent as Content-Type, else ""."""
    return value if isinstance(value, str) and len(value) <= MAX_HEADER and HEADER.fullmatch(value) else ""
