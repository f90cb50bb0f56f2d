"""Verifies that an object is what its ticket declared. What the client said is compared, never trusted."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import puremagic
from django.conf import settings
from django.utils.translation import gettext_noop as _
from PIL import Image

from api.uploads.models import Declared, Problem
from storage.base import read_chunks
from storage.errors import StorageError
from storage.fields import UploadField

HEAD = 512  # bytes: every signature that we accept stands at the very beginning
PILLOW_FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP", "image/gif": "GIF"}

NOT_OF_TYPE = {
    "application/pdf": _("This file is not a PDF document."),
    "image/jpeg": _("This file is not a JPEG image."),
    "image/png": _("This file is not a PNG image."),
    "image/webp": _("This file is not a WebP image."),
    "image/gif": _("This file is not a GIF image."),
}

Image.MAX_IMAGE_PIXELS = None  # `_open_picture` bounds them itself, before anything is decoded


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """What an object really is. `size` in bytes; `sha256` in hex, None above CHECKSUM_MAX_BYTES."""

    content_type: str
    size: int
    sha256: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class VerificationFailed(Exception):
    """The object is not what the ticket declared. `found` is what was known when the check failed.

    `detail` is in English, with a place for each of `values`: it is translated when somebody reads it.
    """

    def __init__(self, code: str, detail: str, found: VerifiedFile, **values: int | str) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.found = found
        self.values = values

    def as_json(self) -> Problem:
        return {"code": self.code, "detail": self.detail, "values": self.values}


def verify(
    key: str, declared: Declared, field: UploadField, still_reading: Callable[[], None]
) -> VerifiedFile:
    """Check the object itself: cheap checks first, then its bytes, once.

    Only the first bytes decide the type: a PDF may have anything behind its end. `still_reading` is called
    after each chunk of a file. Raises VerificationFailed, StorageError.
    """
    store = field.storage
    info = store.describe(key)
    stored_type = info.content_type.split(";")[0].strip().lower()
    found = VerifiedFile(stored_type, info.size)
    if info.size != declared["size"]:
        detail = _("Declared %(declared)s bytes, found %(size)s.")
        raise VerificationFailed("size_mismatch", detail, found, declared=declared["size"], size=info.size)
    if stored_type not in field.accepts:
        detail = _("The file was sent as %(sent)s.")
        raise VerificationFailed("content_type_not_allowed", detail, found, sent=stored_type)
    if stored_type != declared["content_type"]:
        detail = _("Declared %(declared)s, sent as %(sent)s.")
        declared_type = declared["content_type"]
        raise VerificationFailed(
            "content_type_mismatch", detail, found, declared=declared_type, sent=stored_type
        )
    with store.read(key) as file:
        if stored_type not in types_of(file.read(HEAD)):
            detail = NOT_OF_TYPE.get(stored_type, _("This file is not of the type %(sent)s."))
            raise VerificationFailed("content_type_mismatch", detail, found, sent=stored_type)
        if stored_type in PILLOW_FORMATS:
            _open_picture(file, stored_type, found)
        found = VerifiedFile(stored_type, info.size, _sha256(file, info.size, still_reading))
    if declared["sha256"] and found.sha256 and declared["sha256"] != found.sha256:
        raise VerificationFailed("checksum_mismatch", _("The SHA-256 is not the declared one."), found)
    return found


def types_of(head: bytes) -> frozenset[str]:
    """The content types whose signature stands in the first bytes of a file.

    The signatures are puremagic's; its own functions also look at the end of a file.
    """
    return frozenset(
        row.mime_type for row in puremagic.magic_header_array if head.startswith(row.byte_match, row.offset)
    )


def _open_picture(file: BinaryIO, content_type: str, found: VerifiedFile) -> None:
    """Read its header with the one decoder of its type, bound its pixels, and check its structure."""
    file.seek(0)
    try:
        with Image.open(file, formats=[PILLOW_FORMATS[content_type]]) as picture:
            width, height = picture.size
            if width * height <= settings.IMAGE_MAX_PIXELS:
                picture.verify()
    except (StorageError, MemoryError):
        raise
    except Exception as error:  # decoders raise whatever a hostile file makes them raise
        raise VerificationFailed("image_invalid", _("The picture cannot be opened."), found) from error
    if width * height > settings.IMAGE_MAX_PIXELS:
        detail, limit = _("%(width)s × %(height)s pixels are over %(limit)s."), settings.IMAGE_MAX_PIXELS
        raise VerificationFailed("image_too_large", detail, found, width=width, height=height, limit=limit)


def _sha256(file: BinaryIO, size: int, still_reading: Callable[[], None]) -> str | None:
    if size > settings.CHECKSUM_MAX_BYTES:
        return None
    file.seek(0)
    digest = hashlib.sha256()
    for piece in read_chunks(file):
        digest.update(piece)
        still_reading()
    return digest.hexdigest()
