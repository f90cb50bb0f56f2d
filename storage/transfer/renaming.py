"""What a file of MEDIA_ROOT is called in a bucket: the same, unless Supabase would refuse it."""

import hashlib
import re
import unicodedata

from storage import keys

DIGITS = 8  # of a hash: they tell two names apart that became the same
REFUSED = re.compile(r"[^A-Za-z0-9_. -]", re.ASCII)


def new_name(name: str, most: int | None = None) -> str:
    """A plain key stays as it is; a letter that no key may have goes, and the directories stay.

    A name that changes gets some digits of its hash: `guía.pdf` and `guia.pdf` stay two files, and each run
    gives the same name. `most`: letters, what the column holds. Raises InvalidKey if it cannot be had.
    """
    try:
        return keys.check(name)
    except keys.InvalidKey:
        *folders, file = [part for part in name.split("/") if part not in ("", ".", "..")] or ["file"]
    path = "".join(f"{_short(_plain(folder).strip('.') or _digits(folder))}/" for folder in folders)
    room = min(keys.MAX_SEGMENT, (most or keys.MAX_KEY) - len(path))
    return keys.check(path + _beside(_plain(file), f"-{_digits(name)}", room))


def renamed(name: str, number: int, most: int | None = None) -> str:
    """Another name for what must stand beside an object of this name: `a.pdf`, `a-2.pdf`."""
    folder, slash, file = name.rpartition("/")
    room = min(keys.MAX_SEGMENT, (most or keys.MAX_KEY) - len(folder + slash))
    return keys.check(folder + slash + _beside(file, f"-{number}", room))


def _plain(segment: str) -> str:
    """`guía.pdf` becomes `guia.pdf`, and what has no such letters may become nothing."""
    return REFUSED.sub("", unicodedata.normalize("NFKD", segment)).strip(" ")


def _beside(file: str, mark: str, room: int) -> str:
    """The mark goes before the ending, which tells the type; the stem gives way where there is no room."""
    stem, dot, ending = file.rpartition(".")
    if not dot or len(ending) > keys.MAX_SEGMENT // 2:
        stem, dot, ending = file, "", ""
    left = room - len(mark + dot + ending)
    if left < 0:
        raise keys.InvalidKey("Invalid key")
    return f"{stem[:left]}{mark}{dot}{ending}" if stem[:left] else f"{mark[1:]}{dot}{ending}"


def _short(segment: str) -> str:
    room = keys.MAX_SEGMENT - DIGITS - 1
    return segment if len(segment) <= keys.MAX_SEGMENT else f"{segment[:room]}-{_digits(segment)}"


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:DIGITS]
