"""Makes and validates object keys: the paths of objects in a bucket."""

import mimetypes
import os
import re
import secrets
import unicodedata

from anyascii import anyascii
from django.core.exceptions import SuspiciousFileOperation
from django.utils.text import get_valid_filename

#: The characters that Supabase Storage accepts in a key (recorded: it refuses `guía.pdf`, `#`, `%`, `~`, `[`
#: and `\\`).
LEGAL = re.compile(r"[A-Za-z0-9_/!.*'()&$@=;:+,?\- ]+", re.ASCII)
#: The characters of the keys that this server makes: the real server mis-signs keys with `+ & = ; : @ $ , ?`.
PLAIN = re.compile(r"[A-Za-z0-9/_.-]+", re.ASCII)
#: In a name that is refused and not corrected: control characters, backslashes, and path segments that are
#: empty, `.` or `..`, also percent-encoded.
HOSTILE = re.compile(r"[\x00-\x1f\x7f\\]|(?:^|/)\.{0,2}(?:/|\Z)|%(?:00|2e|2f|5c)", re.IGNORECASE)
MAX_KEY = 1024  # characters, the length of the column of an UploadField
MAX_SEGMENT = 255  # bytes, the limit of file systems; Supabase answers 500 for a longer segment
MAX_FILENAME = 100  # characters of a file name that its key keeps, without the suffix

SUFFIXES = {"image/jpeg": ".jpg", "image/tiff": ".tif", "text/plain": ".txt", "audio/mpeg": ".mp3"}


class InvalidKey(SuspiciousFileOperation):
    """No object can have this key: it is hostile, or has characters that the Storage protocol refuses."""


def is_legal(key: str) -> bool:
    """Return True if the Storage protocol allows an object to have this key."""
    return bool(LEGAL.fullmatch(key)) and not {".", ".."} & {*key.split("/")}


def check_legal(key: str) -> str:
    """Return the key if the Storage protocol allows it. Raises InvalidKey."""
    if not is_legal(key):
        raise InvalidKey("Invalid key")
    return key


def check_characters(key: str) -> str:
    """Return the key if all its characters are legal, which is enough for a read. Raises InvalidKey."""
    if not LEGAL.fullmatch(key):
        raise InvalidKey("Invalid key")
    return key


def check_prefix(prefix: str) -> str:
    """Return the prefix if a legal key can start with it. Raises InvalidKey."""
    return prefix and check_characters(prefix)


def is_valid_path(key: str) -> bool:
    """Return True if the key fits in a database column and is a relative path that a disk can store."""
    return len(key) <= MAX_KEY and all(0 < len(segment) <= MAX_SEGMENT for segment in key.split("/"))


def check(key: str) -> str:
    """Return the key if it is legal and a valid path: not absolute, no empty segment. Raises InvalidKey."""
    if not is_valid_path(check_legal(key)):
        raise InvalidKey("Invalid key")
    return key


def generate(folder: str, content_type: str, *, stem: str = "", filename: str = "") -> str:
    """Return an unguessable key in `folder`: `stem`, random characters and the suffix of the type.

    With a `filename` the random characters are a folder, and the file is named in plain characters:
    `<folder>/<random>/feeding-plan.pdf`.
    """
    ending = f"/{plain_filename(filename, content_type)}" if filename else suffix(content_type)
    key = check(f"{folder}/{stem}{secrets.token_urlsafe(18)}{ending}")
    assert PLAIN.fullmatch(key), "folder and stem must consist of plain characters"
    return key


def plain_filename(name: str, content_type: str) -> str:
    """Return the file name in plain characters, with the suffix of the type.

    `Guía nº 2.PDF` becomes `Guia_no_2.pdf`.
    """
    is_ending_known = mimetypes.guess_type(name)[0] is not None  # a name may have a dot and no ending
    stem = os.path.splitext(name)[0] if is_ending_known else name
    try:
        plain = get_valid_filename(anyascii(stem)).strip(".")[:MAX_FILENAME]
    except SuspiciousFileOperation:
        plain = ""
    return f"{plain or 'file'}{suffix(content_type)}"


def suffix(content_type: str) -> str:
    """Return `.pdf` for `application/pdf`. It never depends on the client's file name."""
    return SUFFIXES.get(content_type) or mimetypes.guess_extension(content_type) or ""


def from_name(name: str) -> str:
    """Return the name unchanged if it is legal, else with its illegal segments transliterated.

    Raises InvalidKey if the name is hostile.
    """
    if HOSTILE.search(name):
        raise InvalidKey("Invalid key")
    return "/".join(part if LEGAL.fullmatch(part) else transliterate(part) for part in name.split("/"))


def transliterate(name: str) -> str:
    """Return the file name in characters that every URL and store accepts: `guía.pdf` becomes `guia.pdf`."""
    stem, dot, ending = unicodedata.normalize("NFKC", name).rpartition(".")
    parts = (stem or ending, ending if stem else "")
    stem, ending = (re.sub(r"[^A-Za-z0-9_ -]", "", anyascii(part)) for part in parts)
    return f"{stem.strip() or secrets.token_hex(4)}{dot if ending else ''}{ending}"
