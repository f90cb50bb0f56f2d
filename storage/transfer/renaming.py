"""Turn a file name into a legal key: the same name, unless Supabase would reject it."""

import hashlib
import re
import unicodedata

from storage import keys

HASH_DIGITS = 8  # hexadecimal: they tell apart two names that would become the same
ILLEGAL_CHARACTERS = re.compile(r"[^A-Za-z0-9_. -]", re.ASCII)


def key_for_name(name: str, max_length: int | None = None) -> str:
    """Return a legal key. A name that is one is unchanged; otherwise illegal characters are removed.

    Directories are kept. A changed name gets some digits of its hash, so that `guía.pdf` and `guia.pdf` stay
    two files and each run returns the same key. `max_length`: characters that the column holds. Raises
    InvalidKey if no key is short enough.
    """
    try:
        return keys.check(name)
    except keys.InvalidKey:
        *folders, file = [part for part in name.split("/") if part not in ("", ".", "..")] or ["file"]
    path = "".join(f"{_shorten(_to_ascii(folder).strip('.') or _hash(folder))}/" for folder in folders)
    room = min(keys.MAX_SEGMENT, (max_length or keys.MAX_KEY) - len(path))
    return keys.check(path + _add_suffix(_to_ascii(file), f"-{_hash(name)}", room))


def numbered_key(key: str, number: int, max_length: int | None = None) -> str:
    """Return the key with a number before its extension: `a.pdf`, `a-2.pdf`. Raises InvalidKey."""
    folder, slash, file = key.rpartition("/")
    room = min(keys.MAX_SEGMENT, (max_length or keys.MAX_KEY) - len(folder + slash))
    return keys.check(folder + slash + _add_suffix(file, f"-{number}", room))


def _to_ascii(segment: str) -> str:
    """`guía.pdf` becomes `guia.pdf`. The result is empty if no character is legal."""
    return ILLEGAL_CHARACTERS.sub("", unicodedata.normalize("NFKD", segment)).strip(" ")


def _add_suffix(file: str, suffix: str, room: int) -> str:
    """Insert the suffix before the extension, which tells the type; shorten the stem to `room` characters."""
    stem, dot, extension = file.rpartition(".")
    if not dot or len(extension) > keys.MAX_SEGMENT // 2:
        stem, dot, extension = file, "", ""
    left = room - len(suffix + dot + extension)
    if left < 0:
        raise keys.InvalidKey("Invalid key")
    return f"{stem[:left]}{suffix}{dot}{extension}" if stem[:left] else f"{suffix[1:]}{dot}{extension}"


def _shorten(segment: str) -> str:
    room = keys.MAX_SEGMENT - HASH_DIGITS - 1
    return segment if len(segment) <= keys.MAX_SEGMENT else f"{segment[:room]}-{_hash(segment)}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:HASH_DIGITS]
