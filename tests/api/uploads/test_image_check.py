"""The check of a picture: its format, its pixels and its structure, in whatever process."""

import errno
import io
import struct
import subprocess
import sys
import zlib
from random import Random
from typing import Any

import pytest
from PIL import Image

from api.uploads import image_check
from tests.api.uploads.test_verification import GIF, JPEG, PNG, WEBP, chunk, picture, png_header
from tests.support.server import ROOT

HEIC = picture("HEIF")
PICTURES = {"PNG": PNG, "JPEG": JPEG, "WEBP": WEBP, "GIF": GIF, "HEIF": HEIC}
PIXELS = 40 * 30


@pytest.fixture(autouse=True)
def _restore_pillow(monkeypatch):
    """The check changes a global limit of Pillow, which does no harm in a process for one picture."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)


def check(content: bytes, image_format: str, max_pixels: int = PIXELS) -> str:
    return image_check.check(io.BytesIO(content), image_format, max_pixels)


@pytest.mark.parametrize("image_format", PICTURES)
def test_a_picture_is_checked_with_the_decoder_of_its_format_only(image_format: str):
    verdicts = {name: check(content, image_format) for name, content in PICTURES.items()}

    assert verdicts == {name: "valid" if name == image_format else "invalid" for name in PICTURES}


@pytest.mark.parametrize("image_format", PICTURES)
def test_the_limit_of_pixels_is_exact(image_format: str):
    assert check(PICTURES[image_format], image_format, PIXELS) == "valid"
    assert check(PICTURES[image_format], image_format, PIXELS - 1) == "too_large"


#: With so many details that each part of the file draws something.
NOISE = Image.frombytes("RGB", (80, 60), Random(1).randbytes(80 * 60 * 3))
EOI = b"\xff\xd9"


def noise(image_format: str, mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    NOISE.convert(mode).save(file, image_format, **options)
    return file.getvalue()


PNG_OF_NOISE = noise("PNG")
DRAWN = {
    "baseline": noise("JPEG"),
    "progressive": noise("JPEG", progressive=True),
    "all colours": noise("JPEG", subsampling=0, optimize=True),
    "restart markers": noise("JPEG", restart_marker_blocks=2),
    "CMYK": noise("JPEG", "CMYK"),
    "grey": noise("JPEG", "L"),
    "several pictures": noise("MPO", save_all=True, append_images=[NOISE]),
}


@pytest.mark.parametrize("jpeg", DRAWN.values(), ids=DRAWN)
def test_a_jpeg_is_valid_if_all_its_pixels_are_there(jpeg: bytes):
    end = jpeg.index(EOI, jpeg.index(b"\xff\xda"))

    assert check(jpeg, "JPEG", 80 * 60) == "valid"
    assert check(jpeg[: end + 2] + b"<html>", "JPEG", 80 * 60) == "valid"
    for rest in (jpeg[:end], jpeg[: end - 300] + EOI, jpeg[: end // 2], jpeg[: end // 2] + EOI, jpeg[:300]):
        assert check(rest, "JPEG", 80 * 60) == "incomplete"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_png_is_valid_if_all_its_pixels_are_there(mode: str):
    png = noise("PNG", mode)

    assert check(png, "PNG", 80 * 60) == "valid"
    assert check(png[:-12], "PNG", 80 * 60) == "valid"  # without IEND
    assert check(png + b"<html>", "PNG", 80 * 60) == "valid"
    for rest in (png[:-30], png[: len(png) // 2], png[:60], png[:20]):
        assert check(rest, "PNG", 80 * 60) == "incomplete"


def png_of_rows(content: bytes, *, is_interlaced: bool = False) -> bytes:
    """A grey PNG of 8 × 8 pixels, with these rows."""
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, is_interlaced)
    return PNG[:8] + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(content)) + PNG[-12:]


def test_a_png_without_its_last_rows_is_incomplete():
    assert check(png_of_rows(bytes(8 * 9)), "PNG") == "valid"
    assert check(png_of_rows(bytes(9 * 9)), "PNG") == "valid"  # one row more, which is not drawn
    assert check(png_of_rows(bytes(7 * 9)), "PNG") == "incomplete"


def test_a_png_without_the_last_pixel_of_an_interlaced_picture_is_incomplete():
    size = 2 + 2 + 3 + 2 * 3 + 2 * 5 + 4 * 5 + 4 * 9  # of the rows in seven passes

    assert check(png_of_rows(bytes(size), is_interlaced=True), "PNG") == "valid"
    assert check(png_of_rows(bytes(size - 1), is_interlaced=True), "PNG") == "incomplete"


IHDR, IDAT, IEND = PNG[8:33], PNG[33:-12], PNG[-12:]
HALVES = [chunk(b"IDAT", half) for half in (IDAT[8:20], IDAT[20:-4])]
TEXT = chunk(b"tEXt", b"Title\0Otter")


@pytest.mark.parametrize(
    ("chunks", "verdict"),
    [
        ([IHDR, *HALVES, TEXT, IEND], "valid"),
        ([IHDR, IDAT, IEND[:-1] + b"?"], "valid"),
        ([IHDR, HALVES[0], TEXT, HALVES[1], IEND], "invalid"),
        ([TEXT, IHDR, IDAT, IEND], "invalid"),
        ([IHDR, IHDR, IDAT, IEND], "invalid"),
    ],
)
def test_browsers_need_the_chunks_of_a_png_in_order(chunks: list[bytes], verdict: str):
    assert check(b"".join([PNG[:8], *chunks]), "PNG") == verdict


def heic_of_size(width: int, height: int) -> bytes:
    """A HEIC whose header says this size."""
    return picture("HEIF", (64, 64)).replace(struct.pack(">II", 64, 64), struct.pack(">II", width, height))


def broken(kind: bytes, content: bytes) -> bytes:
    """A chunk with a wrong checksum."""
    return chunk(kind, content)[:-1] + b"?"


@pytest.mark.parametrize(
    "ancillary",
    [
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"x" * 1_500_000),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1_000_000))) * 70,
        chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(5_000_000))),
        chunk(b"iCCP", b"no profile"),
        chunk(b"tEXt", b""),
        broken(b"pHYs", bytes(9)),
        broken(b"gAMA", bytes(4)),
        chunk(b"eXIf", b"no exif") + chunk(b"acTL", bytes(8)) + chunk(b"vpAg", bytes(9)),
    ],
)
def test_what_a_png_does_not_draw_is_not_checked(ancillary: bytes):
    assert check(PNG_OF_NOISE[:33] + ancillary + PNG_OF_NOISE[33:], "PNG", 80 * 60) == "valid"


def test_the_first_picture_of_an_animation_is_checked():
    png = noise("PNG", save_all=True, append_images=[NOISE.rotate(180)])

    assert check(png, "PNG", 80 * 60) == "valid"
    assert check(png.replace(b"IDAT", b"IDAT?", 1), "PNG", 80 * 60) == "damaged"


@pytest.mark.parametrize(
    ("content", "image_format", "verdict"),
    [
        (png_header(2**31 - 1, 2**31 - 1), "PNG", "too_large"),
        (b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\x3f\x00" * 2, "WEBP", "too_large"),
        (PNG[:33] + broken(b"IDAT", PNG[41:-16]) + PNG[-12:], "PNG", "damaged"),
        (PNG[:8] + broken(b"IHDR", PNG[16:29]) + PNG[33:], "PNG", "damaged"),
        (PNG[:33] + chunk(b"IDAT", PNG[41:-40]) + PNG[-12:], "PNG", "incomplete"),
        (PNG[:33] + chunk(b"IDAT", b"not compressed") + PNG[-12:], "PNG", "invalid"),
        (png_of_rows(bytes(9) + b"\5" + bytes(6 * 9 + 8)), "PNG", "invalid"),
        (PNG[:33] + b"\x7f\xff\xff\xffIDAT", "PNG", "incomplete"),
        (PNG[:33] + chunk(b"CgBI", bytes(4)) + PNG[33:], "PNG", "invalid"),
        (WEBP[:-1], "WEBP", "incomplete"),
        (WEBP[:-20], "WEBP", "incomplete"),
        (WEBP[:10], "WEBP", "invalid"),
        (WEBP + b"<html>", "WEBP", "valid"),
        (noise("GIF")[:-1], "GIF", "valid"),
        (noise("GIF")[:-100], "GIF", "incomplete"),
        (JPEG[:100], "JPEG", "incomplete"),
        (HEIC[:-1], "HEIF", "incomplete"),
        (HEIC[: len(HEIC) // 2], "HEIF", "invalid"),  # without a part of the header
        (HEIC.replace(b"hvcC", b"hvc?"), "HEIF", "invalid"),
        (HEIC + b"<html>", "HEIF", "valid"),
        (heic_of_size(80, 61), "HEIF", "too_large"),
        (heic_of_size(30_000, 30_000), "HEIF", "too_large"),
        (b"", "PNG", "invalid"),
    ],
)
def test_the_verdict_says_what_is_wrong_with_a_picture(content: bytes, image_format: str, verdict: str):
    assert check(content, image_format, 80 * 60) == verdict


def test_a_picture_is_not_to_blame_for_a_disk_that_fails():
    class FailingFile(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        image_check.check(FailingFile(PNG), "PNG", PIXELS)


def test_a_lack_of_memory_is_not_taken_for_an_invalid_picture():
    class EndlessFile(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise MemoryError

    with pytest.raises(MemoryError):
        image_check.check(EndlessFile(PNG), "PNG", PIXELS)


def test_it_needs_no_django_and_loads_every_format_before_the_first_picture():
    """What is imported before the fork server forks is not imported again for each picture."""
    program = f"""
import sys
from api.uploads import image_check
before = set(sys.modules)
import io
for image_format, content in {PICTURES}.items():
    image_check.check(io.BytesIO(content), image_format, 10_000)
print(sorted(name for name in sys.modules if name.startswith("django")))
print(sorted(name for name in set(sys.modules) - before if name.startswith("PIL")))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    assert done.stdout.split() == ["[]", "[]"], done.stderr
