"""Makes and validates object keys: the paths of objects in a bucket."""

import hashlib
import mimetypes
import os
import re
import secrets
import unicodedata
from pathlib import PurePosixPath
from urllib.parse import unquote

from anyascii import anyascii
from django.core.exceptions import SuspiciousFileOperation
from django.utils.text import get_valid_filename

#: The characters that Supabase Storage accepts in a key (recorded: it refuses `guía.pdf`, `#`, `%`, `~`, `[`
#: and `\\`).
LEGAL = re.compile(r"[A-Za-z0-9_/!.*'()&$@=;:+,?\- ]+", re.ASCII)
#: The characters of the keys that this server makes: the real server mis-signs keys with `+ & = ; : @ $ , ?`.
PLAIN = re.compile(r"[A-Za-z0-9/_.-]+", re.ASCII)
#: The hash in the names of Django's ManifestFilesMixin: `base.5f8c1a2b3c4d.css`.
CONTENT_HASH = re.compile(r"\.[0-9a-f]{12}(?:\.|\Z)")
#: A key of `generate`: its random characters are a folder, or the end of a file name without its suffix.
GENERATED = re.compile(r".+/(?:[^/]+-)?(?P<random>[A-Za-z0-9_-]{24})(?:/[^/]+|\.[a-z0-9]+)?", re.ASCII)
STAGING_FOLDER = ".arriving"  # of objects that are not verified yet: `manage.py sweep` deletes old ones
MAX_KEY = 1024  # characters, the length of the column of an UploadField
MAX_SEGMENT = 255  # bytes, the limit of file systems; Supabase answers 500 for a longer segment
HASH_DIGITS = 8  # hexadecimal digits of the hash of a name that is not legal
MAX_SUFFIXES = 100  # characters of what counts as the suffixes of a name, such as `.tar.gz`
MAX_FILENAME = 100  # characters of a file name that its key keeps, without the suffix

#: Of types that have several suffixes, or that Python 3.11 does not know without the system's own list.
SUFFIXES = {
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/tiff": ".tif",
    "text/plain": ".txt",
    "audio/mpeg": ".mp3",
}


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


def check_folder(folder: str) -> str:
    """Return the folder if it is "" or a legal key and a slash. Raises InvalidKey."""
    if folder and not folder.endswith("/"):
        raise InvalidKey("Invalid key")
    return folder and f"{check(folder[:-1])}/"


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


def is_generated(key: str) -> bool:
    """Return True if `generate` has made the key; two in a hundred of its keys are not recognised.

    Words may have as many characters, but hardly with capitals, small letters and digits among them.
    """
    found = GENERATED.fullmatch(key)
    return found is not None and all(re.search(kind, found["random"]) for kind in ("[A-Z]", "[a-z]", "[0-9]"))


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


def from_name(name: str | os.PathLike[str], max_length: int = MAX_KEY) -> str:
    """Return the key for a name that Django or a program chose.

    Backslashes are slashes, and empty segments and `.` are left out, as in FileSystemStorage. Each segment
    that is not legal is replaced by a similar one with digits of its hash: `guía.pdf` becomes
    `guia-1f3a0c5e.pdf`. So a name always has the same key, two names have two keys, and a key is its own
    name. The last segment is also replaced if the key would be longer than `max_length`. Raises InvalidKey
    for path traversal, also if it is percent-encoded, and for NUL.
    """
    *folders, file = _segments(name) or [""]
    path = "".join(f"{_legal_segment(folder)}/" for folder in folders)
    return path + _legal_segment(file, min(MAX_SEGMENT, max_length - len(path)))


def readable_from_name(name: str | os.PathLike[str]) -> str:
    """Return a key for a new file with this name: as `from_name` does, but `guía.pdf` becomes `guia.pdf`.

    Two names may have the same.
    """
    return "/".join(
        _legal_segment(part if part.isascii() else transliterate(part)) for part in _segments(name)
    )


def _segments(name: str | os.PathLike[str]) -> list[str]:
    if isinstance(name, bytes):
        raise TypeError(f"The name {name!r} must be text, not bytes.")
    path = str(os.fspath(name) if isinstance(name, os.PathLike) else name).replace("\\", "/")
    decoded = unquote(path, errors="replace").replace("\\", "/")
    if decoded.startswith("/") or ".." in decoded.split("/"):
        raise InvalidKey(f"{path!a} leads outside the bucket")
    if "\0" in path:
        raise InvalidKey(f"{path!a} contains NUL")
    return [part for part in path.split("/") if part not in ("", ".")]


def _legal_segment(segment: str, max_length: int = MAX_SEGMENT) -> str:
    if not segment or (len(segment) <= max_length and LEGAL.fullmatch(segment)):
        return segment
    stem, ending = map(_plain, _split(segment))
    digits = hashlib.sha256(segment.encode(errors="surrogatepass")).hexdigest()[:HASH_DIGITS]
    ending = f"{digits}{ending[:MAX_SUFFIXES]}"
    stem = stem[: max(0, max_length - len(ending) - 1)]
    return f"{stem}-{ending}" if stem else ending


def transliterate(name: str) -> str:
    """Return the file name in characters that every URL and store accepts: `guía.pdf` becomes `guia.pdf`.

    A random stem replaces one of which nothing is left.
    """
    stem, ending = map(_plain, _split(name))
    return f"{stem if stem.strip('.') else secrets.token_hex(4)}{ending}"


def _split(filename: str) -> tuple[str, str]:
    """Return the stem and all suffixes, as Django splits a name: `archive` and `.tar.gz`, `.env` and ""."""
    ending = "".join(PurePosixPath(filename).suffixes)
    return (filename.removesuffix(ending), ending) if len(ending) <= MAX_SUFFIXES else (filename, "")


def _plain(text: str) -> str:
    ascii_text = anyascii(unicodedata.normalize("NFKC", text))
    return re.sub(r"[^A-Za-z0-9_. -]", "", ascii_text).strip()
