"""Every object key is made or checked here."""

import mimetypes
import re
import secrets
import unicodedata

from django.core.exceptions import SuspiciousFileOperation

#: What Supabase Storage accepts in a key (recorded: `guía.pdf`, `#`, `%`, `~`, `[`, `\\` are refused).
LEGAL = re.compile(r"[A-Za-z0-9_/!.*'()&$@=;:+,?\- ]+", re.ASCII)
#: Keys of our own making: signing one object mis-signs `+ & = ; : @ $ , ?`, so they have none.
PLAIN = re.compile(r"[A-Za-z0-9/_.-]+", re.ASCII)
#: Nobody's mere spelling: controls, a backslash, what leads elsewhere or nowhere, also percent-encoded.
HOSTILE = re.compile(r"[\x00-\x1f\x7f\\]|(?:^|/)\.{0,2}(?:/|\Z)|%(?:00|2e|2f|5c)", re.IGNORECASE)
MAX_KEY = 1024  # characters: what the column of a file field holds
MAX_SEGMENT = 255  # bytes: what a file system takes, and Supabase answers 500 beyond

SUFFIXES = {"image/jpeg": ".jpg", "image/tiff": ".tif", "text/plain": ".txt", "audio/mpeg": ".mp3"}


class InvalidKey(SuspiciousFileOperation):
    """A key that no object can have: hostile, or made of characters that the protocol refuses."""


def is_legal(key: str) -> bool:
    """Whether the Storage protocol lets an object have it."""
    return bool(LEGAL.fullmatch(key)) and not {".", ".."} & {*key.split("/")}


def legal(key: str) -> str:
    """The key itself, if an object can have it; else InvalidKey."""
    if not is_legal(key):
        raise InvalidKey("Invalid key")
    return key


def spelled(key: str) -> str:
    """The key itself, if its characters are legal, as is asked of who reads; else InvalidKey."""
    if not LEGAL.fullmatch(key):
        raise InvalidKey("Invalid key")
    return key


def is_path(key: str) -> bool:
    """Whether a disk and a database column can have it as it is."""
    return len(key) <= MAX_KEY and all(0 < len(segment) <= MAX_SEGMENT for segment in key.split("/"))


def check(key: str) -> str:
    """The key itself, if it is legal and a path too: not absolute, nothing empty between slashes."""
    if not is_path(legal(key)):
        raise InvalidKey("Invalid key")
    return key


def fresh(folder: str, content_type: str, stem: str = "") -> str:
    """A key under `folder` that nobody can guess: `stem`, then chance, ending as its type does."""
    key = check(f"{folder}/{stem}{secrets.token_urlsafe(18)}{suffix(content_type)}")
    assert PLAIN.fullmatch(key), "a folder is named in plain characters"
    return key


def suffix(content_type: str) -> str:
    """`.pdf` for `application/pdf`: from the accepted type, never from the client's name."""
    return SUFFIXES.get(content_type) or mimetypes.guess_extension(content_type) or ""


def content_type(key: str) -> str:
    """What the ending of a key says, for files whose type nobody told."""
    kind, packed = mimetypes.guess_type(key)
    return kind if kind and not packed else "application/octet-stream"


def nearest(name: str) -> str:
    """The name itself where an object can have it, else in plain characters. Raises InvalidKey if hostile."""
    if HOSTILE.search(name):
        raise InvalidKey("Invalid key")
    return "/".join(part if LEGAL.fullmatch(part) else plain(part) for part in name.split("/"))


def plain(name: str) -> str:
    """The name in the characters that every URL and store takes: `guía.pdf` becomes `guia.pdf`."""
    stem, dot, ending = unicodedata.normalize("NFKD", name).rpartition(".")
    stem, ending = (re.sub(r"[^A-Za-z0-9_ -]", "", part) for part in (stem or ending, ending if stem else ""))
    return f"{stem.strip() or secrets.token_hex(4)}{dot if ending else ''}{ending}"
