"""Checks an untrusted picture. Runs in a child process, so it imports Pillow and nothing of Django.

A picture is judged by what browsers draw: all its pixels must be there. What draws nothing may be damaged or
missing, such as the texts in a PNG and its last chunk. Without its last marker, browsers do not draw the last
rows of a JPEG.
"""

import errno
import struct
import warnings
from collections.abc import Iterator
from io import SEEK_CUR, SEEK_END, BytesIO
from typing import BinaryIO, Literal
from zlib import crc32, decompressobj

from PIL import Image, JpegImagePlugin

from api.pictures import decoders  # noqa: F401  (registers them)

Verdict = Literal["valid", "invalid", "incomplete", "damaged", "too_large"]

PNG_SIGNATURE_SIZE = 8  # bytes
PNG_HEADER = struct.Struct(">IIBBBBB")  # the content of IHDR
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the colour type
#: The columns and rows of each pass of an interlaced PNG (8.2): the first one, and the step to the next.
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
FILTERS = 5  # types, one at the beginning of each row
INFLATED_SIZE = 16 * 1024 * 1024  # bytes of pixels in memory
CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")  # a browser refuses a PNG with any other
ANCILLARY = 0x20  # the bit of the first letter of a PNG chunk that draws nothing (PNG specification, 5.4)
END_OF_JPEG = b"\xff\xd9"
RESTARTS = [bytes([0xFF, 0xD0 + number]) for number in range(8)]  # the markers between parts of a JPEG
CUT_OFF = ("truncated", "unexpected end of file")  # in the messages of Pillow and libheif


class Incomplete(Exception):
    """Pixels are missing."""


class WrongChecksum(Exception):
    """The checksum of what is drawn is wrong."""


def check(file: BinaryIO, image_format: str, max_pixels: int) -> Verdict:
    """Read the header with the decoder of this format only, then check that the picture is complete.

    Raises MemoryError, and OSError if the file cannot be read.
    """
    Image.MAX_IMAGE_PIXELS = max_pixels / 2  # type: ignore[assignment]  # Pillow warns, and refuses twice that
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    try:
        _check(file, image_format)
    except MemoryError:
        raise
    except Image.DecompressionBombError:
        return "too_large"
    except Incomplete:
        return "incomplete"
    except WrongChecksum:
        return "damaged"
    except Exception as error:  # a hostile file can make a decoder raise anything
        if isinstance(error, OSError) and error.errno == errno.EIO:
            raise  # the disk failed, not the picture
        is_cut_off = any(words in str(error).lower() for words in CUT_OFF) or _is_cut_off_webp(file)
        return "incomplete" if is_cut_off else "invalid"
    return "valid"


def _check(file: BinaryIO, image_format: str) -> None:
    """Raises Incomplete, WrongChecksum, and what Pillow and zlib raise."""
    if image_format == "PNG":
        file, pixels = _critical_chunks(file)
    with Image.open(file, formats=[image_format]) as image:
        if image_format == "PNG":
            _check_png(file, pixels)
        elif image_format == "JPEG":
            _check_jpeg(file)
        elif image_format in ("GIF", "HEIF"):
            image.load()  # a WebP's structure is checked on opening; decoding would take twice the memory


def _critical_chunks(file: BinaryIO) -> tuple[BytesIO, bytes]:
    """Return what is before the pixels of a PNG, without ancillary chunks, and the compressed pixels.

    Neither size nor content of an ancillary chunk can then do any harm. Only the first picture of an
    animation is kept: the others are in such chunks. Raises WrongChecksum.
    """
    size = _size(file)
    kept, pixels, before = BytesIO(file.read(PNG_SIGNATURE_SIZE)), BytesIO(), b""
    kept.seek(0, SEEK_END)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        resumes_pixels = kind == b"IDAT" and before != kind and pixels.tell() > 0
        if (kind == b"IHDR") != (before == b"") or resumes_pixels:
            raise SyntaxError("chunk in a wrong place")
        before = kind
        if kind[0] & ANCILLARY:
            file.seek(length + 4, SEEK_CUR)
            continue
        if kind not in CRITICAL:
            raise SyntaxError("unknown critical chunk")
        if kind == b"IEND":
            break
        content, checksum = file.read(min(length, size)), file.read(4)
        if len(checksum) == 4 and crc32(kind + content) != int.from_bytes(checksum):
            raise WrongChecksum
        kept.write(head)  # of the pixels, Pillow reads no more than this
        if kind == b"IDAT":
            pixels.write(content)
        else:
            kept.write(content + checksum)
    kept.seek(0)
    return kept, pixels.getvalue()


def _check_png(file: BinaryIO, pixels: bytes) -> None:
    """Raise Incomplete if rows are missing, and SyntaxError or zlib.error if one cannot be read.

    Pillow takes a PNG whose pixels end with a row for a complete one.
    """
    file.seek(PNG_SIGNATURE_SIZE + 8)
    inflate = decompressobj()
    for rows, row_size in _passes(*PNG_HEADER.unpack(file.read(PNG_HEADER.size))):
        done, size = 0, rows * row_size
        while done < size:
            part = inflate.decompress(pixels, min(INFLATED_SIZE, size - done))
            pixels = inflate.unconsumed_tail
            if not part:
                raise Incomplete
            if max(part[-done % row_size :: row_size], default=0) >= FILTERS:
                raise SyntaxError("unknown filter")
            done += len(part)


def _passes(
    width: int, height: int, depth: int, colour: int, _compression: int, _filter: int, interlaced: int
) -> Iterator[tuple[int, int]]:
    """Yield the number of rows, and the bytes of each, of every pass over the pixels."""
    for left, top, column_step, row_step in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        columns = len(range(left, width, column_step))
        if columns:
            yield len(range(top, height, row_step)), 1 + (columns * CHANNELS[colour] * depth + 7) // 8


def _is_cut_off_webp(file: BinaryIO) -> bool:
    """Return True for a WebP that is shorter than its header says."""
    size = _size(file)
    head = file.read(12)
    return head[:4] + head[8:] == b"RIFFWEBP" and int.from_bytes(head[4:8], "little") + 8 > size


def _check_jpeg(file: BinaryIO) -> None:
    """Raise Incomplete if pixels are missing.

    libjpeg draws what is missing in grey, and Pillow does not tell. So decode the picture twice, with
    different bytes in place of its end: they change it only if something is missing.
    """
    file.seek(0)
    JpegImagePlugin.JpegImageFile(file)  # reads up to the pixels
    start = file.tell()
    length = file.read().find(END_OF_JPEG)
    end = start + length
    if length < 0 or _decode(file, end, b"\0") != _decode(file, end, b"\x55"):
        raise Incomplete


def _decode(file: BinaryIO, end: int, filler: bytes) -> bytes:
    """Return the pixels, at half of the width and height, with `filler` in place of what is behind `end`."""
    file.seek(0)
    image = EndedJPEG(file)
    image.end = end
    image.tail = b"".join(b"\0" + 64 * filler + restart for restart in 2 * RESTARTS) + END_OF_JPEG
    image.draft(None, (max(1, image.width // 2), max(1, image.height // 2)))
    image.load()
    return image.tobytes()


class EndedJPEG(JpegImagePlugin.JpegImageFile):
    """A JPEG with the bytes `tail` in place of those behind `end`."""

    end = 0
    tail = b""

    def load_read(self, read_bytes: int) -> bytes:
        """Return the next bytes. Pillow calls this."""
        assert self.fp is not None
        if (left := self.end - self.fp.tell()) > 0:
            return self.fp.read(min(read_bytes, left))
        tail, self.tail = self.tail, b""
        return tail


def _size(file: BinaryIO) -> int:
    """Return the size in bytes, and go back to the beginning."""
    size = file.seek(0, SEEK_END)
    file.seek(0)
    return size
