"""Whether an object is what the ticket promised. The client's word is compared, and never believed."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import puremagic
from django.conf import settings
from django.utils.translation import gettext_noop as _
from PIL import Image

from storage.base import SignedStorage, StorageError, pieces_of
from storage.fields import UploadField

HEAD = 512  # bytes: every signature that we accept stands at the very beginning
PICTURES = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP", "image/gif": "GIF"}

Image.MAX_IMAGE_PIXELS = None  # `_open_picture` bounds them itself, before anything is decoded


@dataclass(frozen=True, slots=True)
class Found:
    """What the object really is. `size` in bytes; `sha256` in hex, None above CHECKSUM_MAX_BYTES."""

    content_type: str
    size: int
    sha256: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Untrue(Exception):
    """The object is not what the ticket promised; `found` is as much as was looked at.

    `detail` is in English, with places for `values`: who asks for it reads another language, perhaps.
    """

    def __init__(self, code: str, detail: str, found: Found, **values: int | str) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.found = found
        self.values = values

    def as_json(self) -> dict[str, Any]:
        return {"code": self.code, "detail": self.detail, "values": self.values}


def examine(
    store: SignedStorage,
    key: str,
    declared: dict[str, Any],
    field: UploadField,
    still_reading: Callable[[], None],
) -> Found:
    """Look at the object itself: cheap checks first, its bytes once. Raises Untrue, StorageError.

    Only the first bytes decide the type: a PDF may have anything behind its end. `still_reading` is
    called between the pieces of a long file.
    """
    info = store.describe(key)
    stored_type = info.content_type.split(";")[0].strip().lower()
    found = Found(stored_type, info.size)
    if info.size != declared["size"]:
        detail = _("Declared %(declared)s bytes, found %(size)s.")
        raise Untrue("size_mismatch", detail, found, declared=declared["size"], size=info.size)
    if stored_type not in field.accepts:
        detail = _("The file was sent as %(sent)s.")
        raise Untrue("content_type_not_allowed", detail, found, sent=stored_type)
    if stored_type != declared["content_type"]:
        detail = _("Declared %(declared)s, sent as %(sent)s.")
        declared_type = declared["content_type"]
        raise Untrue("content_type_mismatch", detail, found, declared=declared_type, sent=stored_type)
    with store.read(key) as file:
        if stored_type not in types_of(file.read(HEAD)):
            detail = _("Its first bytes are not those of %(sent)s.")
            raise Untrue("content_type_mismatch", detail, found, sent=stored_type)
        if stored_type in PICTURES:
            _open_picture(file, stored_type, found)
        found = Found(stored_type, info.size, _sha256(file, info.size, still_reading))
    if declared["sha256"] and found.sha256 and declared["sha256"] != found.sha256:
        raise Untrue("checksum_mismatch", _("The SHA-256 is not the declared one."), found)
    return found


def types_of(head: bytes) -> frozenset[str]:
    """The content types whose signature stands in the first bytes of a file.

    The signatures are puremagic's; its own functions also look at the end of a file.
    """
    return frozenset(
        row.mime_type for row in puremagic.magic_header_array if head.startswith(row.byte_match, row.offset)
    )


def _open_picture(file: BinaryIO, content_type: str, found: Found) -> None:
    """Read its header with the one decoder of its type, bound its pixels, and check its structure."""
    file.seek(0)
    try:
        with Image.open(file, formats=[PICTURES[content_type]]) as picture:
            width, height = picture.size
            if width * height <= settings.IMAGE_MAX_PIXELS:
                picture.verify()
    except (StorageError, MemoryError):
        raise
    except Exception as error:  # decoders raise whatever a hostile file makes them raise
        raise Untrue("image_invalid", _("The picture cannot be opened."), found) from error
    if width * height > settings.IMAGE_MAX_PIXELS:
        detail, limit = _("%(width)s × %(height)s pixels are over %(limit)s."), settings.IMAGE_MAX_PIXELS
        raise Untrue("image_too_large", detail, found, width=width, height=height, limit=limit)


def _sha256(file: BinaryIO, size: int, still_reading: Callable[[], None]) -> str | None:
    if size > settings.CHECKSUM_MAX_BYTES:
        return None
    file.seek(0)
    digest = hashlib.sha256()
    for piece in pieces_of(file):
        digest.update(piece)
        still_reading()
    return digest.hexdigest()
