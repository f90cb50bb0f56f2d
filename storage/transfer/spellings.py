"""Find a file on disk whose name the row spells in another way.

Rows may come from another system: in another Unicode normal form (macOS decomposes names), with backslashes
(Windows), or as absolute paths.
"""

import errno
import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from stat import S_ISREG
from urllib.parse import unquote

MAX_ENTRIES = 50_000  # of a folder that is searched for a similar name
MISSING_ERRNOS = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)


def alternatives(name: str, folders: Sequence[Path]) -> Iterator[str]:
    """Yield the name, then the relative name if it has backslashes or is a path in one of the folders."""
    slashes = name.replace("\\", "/")
    relative = [
        slashes.removeprefix(f"{each}/").lstrip("/") for each in folders if slashes.startswith(f"{each}/")
    ]
    if is_inside(slashes):  # a file may have a backslash in its name
        yield name
    yield from relative or [slashes]


def is_inside(name: str) -> bool:
    """Return False for an absolute name, and for one with a parent folder or a null character."""
    return not (name.startswith(("/", "\\")) or "\0" in name or ".." in name.split("/"))


def find(folder: Path, name: str) -> str | None:
    """Return the name of the regular file below the folder, in the disk's normal form; None without one.

    Raises OSError.
    """
    if _is_file(folder / name):
        return name
    if name.isascii():
        return None
    for form in ("NFC", "NFD"):
        if _is_file(folder / unicodedata.normalize(form, name)):
            return unicodedata.normalize(form, name)
    found = _find(folder, name, _normal)
    return found if found and _is_file(folder / found) else None


def find_similar(folder: Path, name: str) -> str | None:
    """Return the name of a regular file that differs in case or percent-encoding, or None."""
    try:
        found = _find(folder, unquote(name), _folded)
        return found if found and _is_file(folder / found) else None
    except OSError:
        return None


def _find(folder: Path, name: str, form: Callable[[str], str]) -> str | None:
    """Return the path of the entry that has the same form, None if there is none or are several."""
    path, parts = folder, []
    for part in name.split("/"):
        spellings = (part, *(unicodedata.normalize(each, part) for each in ("NFC", "NFD")))
        same = next((each for each in spellings if os.path.exists(path / each)), None)
        if form is _normal and same:
            part = same
        else:
            similar = _entries(path, _changed_at(path), form).get(form(part), [])
            if len(similar) != 1:
                return None
            part = similar[0]
        parts.append(part)
        path /= part
    return "/".join(parts)


@lru_cache(maxsize=4)
def _entries(folder: Path, changed_at: int, form: Callable[[str], str]) -> dict[str, list[str]]:
    """Return the names in a folder by their form. Empty if it cannot be read or has too many."""
    found: dict[str, list[str]] = {}
    if changed_at:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, MAX_ENTRIES + 1)]
        for name in names if len(names) <= MAX_ENTRIES else ():
            found.setdefault(form(name), []).append(name)
    return found


def _changed_at(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns if folder.is_dir() else 0
    except OSError:
        return 0


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _is_file(path: Path) -> bool:
    try:
        return S_ISREG(path.stat().st_mode)
    except OSError as error:
        if error.errno in MISSING_ERRNOS:
            return False
        raise
