"""Verifies that an object is what its ticket declared. Nothing that the client declared is trusted."""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO

import structlog
from django.conf import settings
from django.utils.translation import gettext_noop as _

from api.exceptions import Refused
from api.metrics import observe_verification
from api.uploads.child_process import (
    ChildFailed,
    ChildFunction,
    ChildProcesses,
    ChildrenBusy,
    ChildUnavailable,
    ForkServer,
    Limits,
    TooMuchMemory,
    TooMuchTime,
)
from api.uploads.models import Declared, Problem
from storage import content_types
from storage.contract import OpenObject
from storage.errors import translate_os_errors
from storage.fields import UploadField
from storage.files import read_chunks

if TYPE_CHECKING:  # Pillow is only loaded in the child processes
    from puremagic import PureMagic

    from api.pictures.rendering import NotRendered, Renditions
    from api.uploads.image_check import Verdict

#: What comes before the header of a PDF (a byte order mark, a line break, the commands of a printer) is
#: ignored by readers if the header begins within the first 1,024 bytes.
PDF_HEADER, PDF_HEADER_WITHIN = b"%PDF-", 1024
HEAD_SIZE = PDF_HEADER_WITHIN + len(PDF_HEADER) - 1  # bytes: all signatures are in the beginning of the file
#: Types of files that hold another one, as mail programs and old Macs write them.
WRAPPERS = ("application/mbox", "application/x-macbinary")
BLANKS = b"\xef\xbb\xbf \t\r\n\f\0"  # after which browsers still recognise HTML
PILLOW_FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP", "image/gif": "GIF"}
HEIC_TYPES = ("image/heic", "image/heif")  # two names of the same files
if find_spec("pillow_heif"):  # an optional package, which `api.pictures.decoders` loads
    PILLOW_FORMATS |= dict.fromkeys(HEIC_TYPES, "HEIF")
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}  # HEVC inside
MAX_BRANDS = 32

WRONG_TYPE_MESSAGES = {
    "application/pdf": _("This file is not a PDF document."),
    "image/jpeg": _("This file is not a JPEG image."),
    "image/png": _("This file is not a PNG image."),
    "image/webp": _("This file is not a WebP image."),
    "image/gif": _("This file is not a GIF image."),
    "image/heic": _("This file is not a HEIC image."),
    "image/heif": _("This file is not a HEIC image."),
}

INVALID_IMAGE_MESSAGES = {
    "incomplete": _("The picture is incomplete: its end is missing."),
    "damaged": _("The picture is damaged: a checksum in it is wrong."),
    "invalid": _("The picture cannot be opened."),
}

EARLIER_DETAILS = [  # rows of earlier versions have them
    _("Its first bytes are not those of %(sent)s."),
    _("%(width)s × %(height)s pixels are over %(limit)s."),
]

MEBIBYTE = 1024 * 1024
#: For opening one picture. That takes up to 8 bytes of memory for each pixel of a WebP or progressive JPEG
#: image, at most 4 for each of another. On a busy machine a child gets only a part of a processor.
LIMITS = Limits(memory=512 * MEBIBYTE, processor_seconds=10, seconds=30)
CHECK: ChildFunction["Verdict"] = ChildFunction("api.uploads.image_check", "check")
RENDER: ChildFunction["Renditions | NotRendered"] = ChildFunction("api.pictures.rendering", "render")
MODULES = [CHECK.module, RENDER.module]
CHILDREN = ChildProcesses(at_once=2, modules=MODULES)
RETRY_AFTER = 5  # seconds, if no child process is available

logger = structlog.get_logger("api.uploads")


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """What was found of an object. `size` in bytes; `sha256` in hex, None above CHECKSUM_MAX_BYTES.

    `is_mislabelled`: the client sent it under another name of its type, with which the store serves it.
    """

    content_type: str
    size: int
    sha256: str | None = None
    is_mislabelled: bool = False

    def as_json(self) -> dict[str, Any]:
        return {"content_type": self.content_type, "size": self.size, "sha256": self.sha256}


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


def verify(
    key: str, declared: Declared, field: UploadField, renew_lease: Callable[[], None], copy: BinaryIO
) -> VerifiedFile:
    """Compare the object with what was declared: first its metadata, then its content.

    A picture is written to the empty temporary file `copy`. Only the first bytes decide the type, because a
    PDF may have any bytes after its end. `renew_lease` is called before each call of the store, after each
    chunk that is read, and every half second while a child process is waited for. Raises VerificationFailed,
    Refused, StorageError, and what `renew_lease` raises.
    """
    with observe_verification(VerificationFailed):
        return _verify(key, declared, field, renew_lease, copy)


def _verify(
    key: str, declared: Declared, field: UploadField, renew_lease: Callable[[], None], copy: BinaryIO
) -> VerifiedFile:
    if declared["content_type"] not in PILLOW_FORMATS:
        return read_object(key, declared, field, renew_lease)
    with child_process(renew_lease) as child:
        found = read_object(key, declared, field, renew_lease, copy)
        check_image(child, copy, found, renew_lease)
    return found


def read_object(
    key: str,
    declared: Declared,
    field: UploadField,
    renew_lease: Callable[[], None],
    copy: BinaryIO | None = None,
) -> VerifiedFile:
    """Check the metadata, the first bytes and the SHA-256. Raises as `verify` does.

    The object is opened and read once, and written to `copy` on the way. If there is nothing to do with all
    of it, only its first bytes are read.
    """
    is_hashed = declared["size"] <= settings.CHECKSUM_MAX_BYTES
    renew_lease()
    opened = field.storage.open_object(key, None if is_hashed or copy else HEAD_SIZE)
    with opened.file as file:
        expected = (declared["content_type"], content_types.UNKNOWN)
        if content_types.canonical(opened.content_type) not in expected:
            # Supabase Storage sends some types as others, such as HTML as plain text.
            opened = replace(opened, content_type=field.storage.describe(key).content_type)
        found = _check_metadata(opened, declared, field)
        head = file.read(HEAD_SIZE)
        if found.content_type not in content_types_of(head):
            detail = WRONG_TYPE_MESSAGES.get(found.content_type, _("This file is not of the type %(sent)s."))
            raise VerificationFailed("content_type_mismatch", detail, found, sent=found.content_type)
        if is_hashed or copy:
            chunks = chain([head], read_chunks(file))
            found = replace(found, sha256=_sha256(chunks, is_hashed, renew_lease, copy))
    if declared["sha256"] and found.sha256 and declared["sha256"] != found.sha256:
        detail = _("The SHA-256 is not the declared one.")
        raise VerificationFailed("checksum_mismatch", detail, found)
    return found


def _check_metadata(opened: OpenObject, declared: Declared, field: UploadField) -> VerifiedFile:
    stored_type = content_types.canonical(opened.content_type)
    if stored_type == content_types.UNKNOWN:  # the client did not say: the bytes decide
        stored_type = declared["content_type"]
    found = VerifiedFile(stored_type, opened.size, is_mislabelled=stored_type != opened.content_type)
    if opened.size != declared["size"]:
        detail = _("Declared %(declared)s bytes, found %(size)s.")
        raise VerificationFailed("size_mismatch", detail, found, declared=declared["size"], size=opened.size)
    if stored_type not in field.accepts:
        detail = _("The file was sent as %(sent)s.")
        raise VerificationFailed("content_type_not_allowed", detail, found, sent=stored_type)
    if stored_type != declared["content_type"]:
        detail = _("Declared %(declared)s, sent as %(sent)s.")
        declared_type = declared["content_type"]
        raise VerificationFailed(
            "content_type_mismatch", detail, found, declared=declared_type, sent=stored_type
        )
    return found


def content_types_of(head: bytes) -> frozenset[str]:
    """Return the content types whose signature is in the first bytes of a file.

    The signatures are those of puremagic. Its own functions are not used, because they also read the end.
    """
    import puremagic  # noqa: PLC0415  (on first use: it reads a list of all signatures)

    rows = [row for row in puremagic.magic_header_array if head.startswith(row.byte_match, row.offset)]
    found = frozenset(row.mime_type for row in rows)
    if _is_heic(head):
        return found | {*HEIC_TYPES}
    is_pdf = PDF_HEADER in head[:HEAD_SIZE] and not head.lstrip(BLANKS).startswith(b"<")
    return found | {"application/pdf"} if is_pdf and not any(map(_is_other_file, rows)) else found


def _is_heic(head: bytes) -> bool:
    """Return True for a picture with HEVC inside: one of the brands in its first box says so."""
    size, kind = int.from_bytes(head[:4]), head[4:8]
    brands = head[8 : min(size, 4 * MAX_BRANDS)]
    return kind == b"ftyp" and any(brands[at : at + 4] in HEIC_BRANDS for at in range(0, len(brands), 4))


def _is_other_file(row: "PureMagic") -> bool:
    """Return True for the signature of a binary file. A PDF behind it makes a file with two meanings.

    Signatures of two bytes are also found in what printers and mail programs write, other than `MZ`.
    """
    is_distinct = (len(row.byte_match) > 2 or row.byte_match == b"MZ") and row.mime_type not in WRAPPERS
    return is_distinct and row.mime_type.startswith(("application/", "audio/", "font/", "image/", "video/"))


def _sha256(
    chunks: Iterable[bytes], is_hashed: bool, renew_lease: Callable[[], None], copy: BinaryIO | None
) -> str | None:
    """Read the chunks, and write them to `copy`. Return their SHA-256 in hex, None unless `is_hashed`."""
    digest = hashlib.sha256()
    for chunk in chunks:
        if is_hashed:
            digest.update(chunk)
        if copy:
            with translate_os_errors():  # the disk may be full
                copy.write(chunk)
        renew_lease()
    if copy:
        with translate_os_errors():
            copy.flush()
    return digest.hexdigest() if is_hashed else None


@contextmanager
def temporary_file() -> Iterator[BinaryIO]:
    """Yield a temporary file without a name. Raises StorageUnavailable if it cannot be created."""
    with translate_os_errors():
        file = tempfile.TemporaryFile()  # noqa: SIM115  (closed below)
    with file:
        yield file


@contextmanager
def child_process(renew_lease: Callable[[], None]) -> Iterator[ForkServer]:
    """Raises Refused if there is no child process: that does not make the file invalid."""
    try:
        with CHILDREN.reserve(renew_lease) as child:
            yield child
    except ChildrenBusy as busy:
        raise Refused("verification_in_progress", retry_after=RETRY_AFTER) from busy
    except ChildUnavailable as error:
        logger.error("child_process_unavailable", exc_info=error)
        raise Refused("not_ready", retry_after=RETRY_AFTER) from error


def check_image(
    child: ForkServer, copy: BinaryIO, found: VerifiedFile, renew_lease: Callable[[], None]
) -> None:
    """Check the pixels of a picture in a child process. Raises VerificationFailed."""
    limit = settings.IMAGE_MAX_PIXELS
    arguments = [PILLOW_FORMATS[found.content_type], limit]
    limits = replace(LIMITS, may_start_threads=found.content_type in HEIC_TYPES)  # the decoder starts one
    try:
        verdict = child.run(CHECK, [copy], arguments, limits=limits, on_wait=renew_lease)
    except TooMuchTime as error:
        detail = _("The picture takes more than %(seconds)s seconds to open.")
        raise VerificationFailed("image_invalid", detail, found, seconds=LIMITS.processor_seconds) from error
    except TooMuchMemory as error:
        detail = _("The picture takes more than %(megabytes)s MB of memory to open.")
        megabytes = LIMITS.memory // MEBIBYTE
        raise VerificationFailed("image_invalid", detail, found, megabytes=megabytes) from error
    except ChildFailed as error:
        logger.warning("image_decoder_crashed", reason=str(error), **found.as_json())
        raise VerificationFailed("image_invalid", INVALID_IMAGE_MESSAGES["invalid"], found) from error
    if verdict == "too_large":
        detail = _("The picture has more than %(limit)s pixels.")
        raise VerificationFailed("image_too_large", detail, found, limit=limit)
    if verdict != "valid":
        raise VerificationFailed("image_invalid", INVALID_IMAGE_MESSAGES[verdict], found)
