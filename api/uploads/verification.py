"""Verifies that an object is what its ticket declared. Nothing that the client declared is trusted."""

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

HEAD_SIZE = 512  # bytes: the signatures of all accepted types are at the beginning of the file
PILLOW_FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP", "image/gif": "GIF"}

WRONG_TYPE_MESSAGES = {
    "application/pdf": _("This file is not a PDF document."),
    "image/jpeg": _("This file is not a JPEG image."),
    "image/png": _("This file is not a PNG image."),
    "image/webp": _("This file is not a WebP image."),
    "image/gif": _("This file is not a GIF image."),
}

EARLIER_DETAILS = [_("Its first bytes are not those of %(sent)s.")]  # rows of earlier versions have it

Image.MAX_IMAGE_PIXELS = None  # `_check_image` compares with IMAGE_MAX_PIXELS before anything is decoded


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """What was found of an object. `size` in bytes; `sha256` in hex, None above CHECKSUM_MAX_BYTES."""

    content_type: str
    size: int
    sha256: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class VerificationFailed(Exception):
    """The object is not what the ticket declared. `found` is what was found before the check failed.

    `detail` is in English, with a %-placeholder for each of `values`. It is translated when it is displayed.
    """

    def __init__(self, code: str, detail: str, found: VerifiedFile, **values: int | str) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.found = found
        self.values = values

    def as_json(self) -> Problem:
        return {"code": self.code, "detail": self.detail, "values": self.values}


def verify(key: str, declared: Declared, field: UploadField, on_chunk: Callable[[], None]) -> VerifiedFile:
    """Compare the object with what was declared: first its metadata, then its content.

    Only the first bytes decide the type, because a PDF may have any bytes after its end. `on_chunk` is
    called after each chunk that is hashed. Raises VerificationFailed, StorageError.
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
        if stored_type not in content_types_of(file.read(HEAD_SIZE)):
            detail = WRONG_TYPE_MESSAGES.get(stored_type, _("This file is not of the type %(sent)s."))
            raise VerificationFailed("content_type_mismatch", detail, found, sent=stored_type)
        if stored_type in PILLOW_FORMATS:
            _check_image(file, stored_type, found)
        found = VerifiedFile(stored_type, info.size, _sha256(file, info.size, on_chunk))
    if declared["sha256"] and found.sha256 and declared["sha256"] != found.sha256:
        detail = _("The SHA-256 is not the declared one.")
        raise VerificationFailed("checksum_mismatch", detail, found)
    return found


def content_types_of(head: bytes) -> frozenset[str]:
    """Return the content types whose signature is in the first bytes of a file.

    The signatures are those of puremagic. Its own functions are not used, because they also read the end.
    """
    return frozenset(
        row.mime_type for row in puremagic.magic_header_array if head.startswith(row.byte_match, row.offset)
    )


def _check_image(file: BinaryIO, content_type: str, found: VerifiedFile) -> None:
    """Read the header with the decoder of this type only, then check the pixels and the structure."""
    file.seek(0)
    try:
        with Image.open(file, formats=[PILLOW_FORMATS[content_type]]) as image:
            width, height = image.size
            if width * height <= settings.IMAGE_MAX_PIXELS:
                image.verify()
    except (StorageError, MemoryError):
        raise
    except Exception as error:  # a hostile file can make a decoder raise anything
        raise VerificationFailed("image_invalid", _("The picture cannot be opened."), found) from error
    if width * height > settings.IMAGE_MAX_PIXELS:
        detail = _("%(width)s × %(height)s pixels are over %(limit)s.")
        limit = settings.IMAGE_MAX_PIXELS
        raise VerificationFailed("image_too_large", detail, found, width=width, height=height, limit=limit)


def _sha256(file: BinaryIO, size: int, on_chunk: Callable[[], None]) -> str | None:
    if size > settings.CHECKSUM_MAX_BYTES:
        return None
    file.seek(0)
    digest = hashlib.sha256()
    for chunk in read_chunks(file):
        digest.update(chunk)
        on_chunk()
    return digest.hexdigest()
