"""The renditions of a picture: their sizes, their colours, and that they have no metadata."""

import base64
import errno
import io
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pillow_heif
import pytest
from PIL import ExifTags, Image, ImageChops, ImageCms, ImageOps

from api.pictures import rendering
from api.pictures.sizes import MAX_SIDE, WIDTHS, size_at, sizes_at
from api.uploads.child_process import ChildProcesses
from api.uploads.verification import LIMITS, MEBIBYTE, RENDER
from tests.api.uploads.test_verification import chunk, png_header
from tests.support.icc_profiles import ADOBE_RGB, DISPLAY_P3, cmyk_profile, grey_profile, rgb_profile
from tests.support.server import ROOT

WANTED = [*((width, "WEBP") for width in WIDTHS), (WIDTHS[-1], "JPEG")]
MAX_PIXELS = 50_000_000
QUADRANTS = ("red", "lime", "blue", "yellow")
SECRET = b"38.7071 N"


@pytest.fixture(autouse=True)
def _restore_pillow(monkeypatch):
    """A global limit of Pillow is changed, which does no harm in a process for one picture."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)


@dataclass
class Rendered:
    answer: dict[str, Any]
    files: list[bytes]

    @property
    def sizes(self) -> list[tuple[int, int] | None]:
        return [one and (one["width"], one["height"]) for one in self.answer["renditions"]]

    @property
    def webp(self) -> Image.Image:
        """The largest one."""
        return opened([file for file in self.files[:-1] if file][-1])

    @property
    def jpeg(self) -> Image.Image:
        return opened(self.files[-1])


def render(content: bytes, image_format: str, max_pixels: int = MAX_PIXELS) -> Rendered:
    outputs = [io.BytesIO() for _ in WANTED]
    answer: Any = rendering.render(io.BytesIO(content), *outputs, image_format, max_pixels, WANTED)
    return Rendered(answer, [output.getvalue() for output in outputs])


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def saved(image: Image.Image, image_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def plain(colour: Any, mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.new(mode, size, colour)


def quadrants() -> Image.Image:
    """A picture that looks different however it is turned."""
    image = plain(QUADRANTS[0], size=(96, 64))
    image.paste(QUADRANTS[1], (48, 0, 96, 32))
    image.paste(QUADRANTS[2], (0, 32, 48, 64))
    image.paste(QUADRANTS[3], (48, 32, 96, 64))
    return image


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    return Image.frombytes(mode, (width, height), Random(1).randbytes(width * height * len(mode)))


def centre(image: Image.Image) -> tuple[int, ...]:
    pixel: Any = image.getpixel((image.width // 2, image.height // 2))
    return pixel


def is_near(colour: tuple[int, ...], expected: tuple[int, ...], tolerance: int = 3) -> bool:
    pairs = zip(colour, expected, strict=True)
    return all(abs(found - wanted) <= tolerance for found, wanted in pairs)


def assert_same(image: Image.Image, expected: Image.Image, tolerance: int = 40) -> None:
    """A few pixels at the edges of areas may be further off."""
    assert image.size == expected.size
    difference = ImageChops.difference(image.convert("RGB"), expected.convert("RGB")).convert("L")
    far_off = sum(difference.histogram()[tolerance:])
    assert far_off < image.width * image.height / 20


# --- Sizes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((5120, 3840), [(320, 240), (640, 480), (1280, 960), (2560, 1920), (2560, 1920)]),
        ((500, 400), [(320, 256), (500, 400), None, None, (500, 400)]),
        ((320, 30), [(320, 30), None, None, None, (320, 30)]),
        ((200, 100), [(200, 100), None, None, None, (200, 100)]),
        ((1, 1), [(1, 1), None, None, None, (1, 1)]),
        ((65_000, 1), [(320, 1), (640, 1), (1280, 1), (2560, 1), (2560, 1)]),
        ((1, 65_000), [(1, 16_383), None, None, None, (1, 16_383)]),
    ],
)
def test_each_width_that_the_picture_has_is_made_in_each_format(size, sizes):
    rendered = render(saved(plain("teal", size=size), "PNG"), "PNG")

    assert rendered.sizes == sizes
    assert [rendered.answer["width"], rendered.answer["height"]] == list(size)
    assert [opened(file).size if file else None for file in rendered.files] == sizes
    kinds = [opened(file).format if file else None for file in rendered.files]
    assert kinds == [one and ("JPEG" if place == 4 else "WEBP") for place, one in enumerate(sizes)]
    for file in filter(None, rendered.files):
        assert is_near(centre(opened(file)), (0, 128, 128))


def test_no_size_is_enlarged_empty_or_too_large_for_webp():
    random = Random(2)
    for _ in range(2000):
        width, height = (random.randint(1, 10 ** random.randint(1, 5)) for _ in range(2))
        for max_width in WIDTHS:
            made = size_at(width, height, max_width)
            assert 1 <= made[0] <= min(width, max_width)
            assert 1 <= made[1] <= min(height, MAX_SIDE)


def test_a_size_is_not_made_twice():
    assert sizes_at(4000, 3000, WIDTHS) == [(320, 240), (640, 480), (1280, 960), (2560, 1920)]
    assert sizes_at(400, 300, WIDTHS) == [(320, 240), (400, 300), None, None]
    assert sizes_at(600, 65_000, WIDTHS) == [(151, 16_383), None, None, None]


def test_a_rendition_looks_like_the_picture():
    image = Image.radial_gradient("L").resize((1500, 1100)).convert("RGB")

    for file in filter(None, render(saved(image, "PNG"), "PNG").files):
        assert_same(opened(file), image.resize(opened(file).size), tolerance=8)


# --- Turned upright -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "HEIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_upright(orientation: int, image_format: str):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image = quadrants()
    content = saved(
        image, image_format, exif=exif.tobytes(), quality=95
    )  # a HEIC has boxes that say the same
    image.getexif()[ExifTags.Base.Orientation] = orientation
    expected = ImageOps.exif_transpose(image)

    rendered = render(content, image_format)

    assert (rendered.answer["width"], rendered.answer["height"]) == expected.size
    assert_same(rendered.webp, expected)
    assert_same(rendered.jpeg, expected)


def test_the_width_is_that_of_the_upright_picture():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6

    rendered = render(saved(plain("teal", size=(6000, 400)), "JPEG", exif=exif), "JPEG")

    assert rendered.answer["width"] == 400
    assert rendered.sizes[:3] == [(320, 4800), (400, 6000), None]


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0no exif", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
def test_metadata_that_cannot_be_read_is_ignored(exif: bytes):
    for image_format in ("JPEG", "PNG", "WEBP"):
        assert render(saved(quadrants(), image_format, exif=exif), image_format).sizes[0] == (96, 64)


# --- Without metadata ---------------------------------------------------------------------------------------


def private_metadata() -> dict[str, Any]:
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = SECRET.decode()
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSAreaInformation] = SECRET
    return {"exif": exif, "xmp": b"<x:xmpmeta>" + SECRET}


@pytest.mark.parametrize("has_profile", [True, False])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "HEIF"])
def test_a_rendition_has_no_metadata(image_format: str, mode: str, has_profile: bool):
    options = private_metadata()
    if has_profile:
        options["icc_profile"] = ImageCms.ImageCmsProfile(rendering.SRGB).tobytes()
    if image_format == "JPEG":
        mode = "RGB"
        options |= {"comment": SECRET, "dpi": (300, 300)}
    image = noise(400, 300, mode)
    content = saved(image, image_format, **options)
    if image_format == "JPEG":  # IPTC, as Photoshop writes it
        iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">IBBBH", 14, 0x1C, 2, 90, 9) + SECRET
        content = content[:2] + b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc + content[2:]
    assert SECRET in content

    rendered = render(content, image_format)

    assert rendered.sizes[:2] == [(320, 240), (400, 300)]
    for file in filter(None, rendered.files):
        parts = set(webp_chunks(file) if file[:4] == b"RIFF" else jpeg_markers(file))
        assert parts <= {"VP8 ", "VP8X", "ALPH", "JFIF", "DQT", "SOF", "DHT", "SOS"}
        assert SECRET not in file


def webp_chunks(content: bytes) -> Iterator[str]:
    assert len(content) == 8 + int.from_bytes(content[4:8], "little")
    at = 12
    while at < len(content):
        name, size = struct.unpack_from("<4sI", content, at)
        if name == b"VP8X":
            assert content[at + 8] & ~0x10 == 0, "it announces alpha at most"
        yield name.decode()
        at += 8 + size + size % 2


def jpeg_markers(content: bytes) -> Iterator[str]:
    names = {0xE0: "JFIF", 0xDB: "DQT", 0xC0: "SOF", 0xC2: "SOF", 0xC4: "DHT", 0xDA: "SOS"}
    assert content[:2] == b"\xff\xd8"
    assert content[-2:] == b"\xff\xd9"
    at = 2
    while content[at : at + 2] != b"\xff\xd9":
        size = int.from_bytes(content[at + 2 : at + 4])
        yield names.get(content[at + 1], hex(content[at + 1]))
        is_scan = content[at + 1] == 0xDA
        at += 2 + size
        while is_scan and (content[at] != 0xFF or content[at + 1] == 0):
            at += 1


# --- Colours ------------------------------------------------------------------------------------------------


def png(colour_type: int, depth: int, row: bytes, width: int, *ancillary: bytes) -> bytes:
    """A PNG with this row 24 times."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 24, depth, colour_type, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress((b"\0" + row) * 24))
    return b"\x89PNG\r\n\x1a\n" + b"".join([header, *ancillary, pixels, chunk(b"IEND", b"")])


def row_of(image: Image.Image, places: list[int]) -> list[Any]:
    return [image.getpixel((place, 12)) for place in places]


def test_sixteen_bits_become_eight_and_are_not_cut_off():
    levels = [0x0000, 0x4000, 0x8000, 0xFFFF]
    grey = b"".join(level.to_bytes(2) * 16 for level in levels)
    colour = b"".join((level.to_bytes(2) + bytes(2) + level.to_bytes(2)) * 16 for level in levels)
    grey_alpha = b"".join((level.to_bytes(2) + b"\xff\xff") * 16 for level in levels)

    for content in (png(0, 16, grey, 64), png(4, 16, grey_alpha, 64)):
        reds = [pixel[0] for pixel in row_of(render(content, "PNG").webp, [8, 24, 40, 56])]
        assert is_near(tuple(reds), (0, 64, 128, 255))
    pixels = row_of(render(png(2, 16, colour, 64), "PNG").webp, [8, 24, 40, 56])
    for pixel, level in zip(pixels, (0, 64, 128, 255), strict=True):
        assert is_near(pixel, (level, 0, level), 8)


@pytest.mark.parametrize(
    ("colour_type", "depth", "row", "transparent"),
    [
        (0, 1, b"\x00\x00\xff\xff", b"\x00\x01"),
        (0, 2, b"\x00" * 4 + b"\xff" * 4, b"\x00\x03"),
        (0, 4, b"\x00" * 8 + b"\xff" * 8, b"\x00\x0f"),
        (0, 8, b"\x00" * 16 + b"\xff" * 16, b"\x00\xff"),
        (0, 16, b"\x00" * 32 + b"\xff" * 32, b"\xff\xff"),
        (2, 8, b"\x00" * 48 + b"\xff" * 48, b"\x00\xff" * 3),
        (2, 16, b"\x00" * 96 + b"\x80\x40" * 48, b"\x80\x40" * 3),
    ],
)
def test_one_colour_of_a_png_may_be_transparent(colour_type, depth, row, transparent):
    rendered = render(png(colour_type, depth, row, 32, chunk(b"tRNS", transparent)), "PNG")

    assert [pixel[3] for pixel in row_of(rendered.webp, [4, 28])] == [255, 0]
    assert is_near(row_of(rendered.jpeg, [4])[0], (0, 0, 0), 12)
    assert is_near(row_of(rendered.jpeg, [28])[0], (255, 255, 255))


def test_a_palette_with_transparency_keeps_it_in_webp_and_is_white_in_jpeg():
    palette = chunk(b"PLTE", bytes([0, 0, 255, 255, 0, 0, 0, 255, 0]))
    row = b"\0" * 16 + b"\1" * 16 + b"\2" * 16

    rendered = render(png(3, 8, row, 48, palette, chunk(b"tRNS", bytes([0, 255, 128]))), "PNG")

    assert [pixel[3] for pixel in row_of(rendered.webp, [8, 24, 40])] == [0, 255, 128]
    white, red, light_green = row_of(rendered.jpeg, [8, 24, 40])
    assert is_near(white, (255, 255, 255))
    assert is_near(red, (255, 0, 0), 8)
    assert is_near(light_green, (127, 255, 127), 8)


def test_what_is_transparent_does_not_colour_its_surroundings():
    image = plain((255, 0, 0, 0), "RGBA", (1280, 960))
    image.paste((0, 0, 255, 255), (0, 0, 643, 960))

    small = opened(render(saved(image, "PNG"), "PNG").files[0])

    for place in range(150, 170):
        red, _, blue, alpha = small.getpixel((place, 120))
        assert alpha < 30 or (red < 60 and blue > 180)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (plain(1, "1"), (255, 255, 255)),
        (plain(77, "L"), (77, 77, 77)),
        (plain((77, 255), "LA"), (77, 77, 77)),
        (plain((10, 20, 30)).quantize(4), (10, 20, 30)),
    ],
)
def test_pictures_of_few_colours_become_rgb(image: Image.Image, expected: tuple[int, ...]):
    rendered = render(saved(image, "PNG"), "PNG")

    assert rendered.webp.mode == rendered.jpeg.mode == "RGB"
    assert is_near(centre(rendered.webp), expected)
    assert is_near(centre(rendered.jpeg), expected)


def test_grey_jpegs_become_rgb():
    assert is_near(centre(render(saved(plain(77, "L"), "JPEG"), "JPEG").webp), (77, 77, 77))


def test_cmyk_is_taken_as_adobe_writes_it():
    """Pillow writes inverted values, and the marker of Adobe."""
    content = saved(plain((0, 255, 255, 0), "CMYK"), "JPEG", quality=95)
    assert b"Adobe\0" in content

    assert is_near(centre(render(content, "JPEG").webp), (255, 0, 0), 8)


def test_cmyk_is_converted_with_its_profile():
    """The profile says that ink of any colour is middle grey."""
    profile = cmyk_profile(white=(255, 128, 128), ink=(128, 128, 128))

    white = render(saved(plain((0, 0, 0, 0), "CMYK"), "JPEG", icc_profile=profile), "JPEG")
    cyan = render(saved(plain((255, 0, 0, 0), "CMYK"), "JPEG", icc_profile=profile), "JPEG")

    wide = plain((255, 0, 0, 0), "CMYK", (41_000, 160))  # more than the decoder can scale down

    assert is_near(centre(white.webp), (255, 255, 255))
    assert is_near(centre(cyan.webp), (119, 119, 119))
    assert is_near(centre(render(saved(wide, "JPEG", icc_profile=profile), "JPEG").webp), (119, 119, 119))


TO_SRGB = (  # from XYZ for the white of D50 to linear sRGB, by Bruce Lindbloom
    (3.1338561, -1.6168667, -0.4906146),
    (-0.9787684, 1.9161415, 0.0334540),
    (0.0719453, -0.2289914, 1.4052427),
)


def in_srgb(
    colour: tuple[int, ...], primaries: tuple[tuple[float, ...], ...], gamma: float
) -> tuple[int, ...]:
    linear = [(value / 255) ** gamma for value in colour]
    xyz = [sum(linear[i] * primaries[i][j] for i in range(3)) for j in range(3)]
    values = [min(1.0, max(0.0, sum(row[j] * xyz[j] for j in range(3)))) for row in TO_SRGB]
    return tuple(
        round(255 * (12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055))
        for value in values
    )


@pytest.mark.parametrize("colour", [(100, 160, 90), (200, 90, 110), (128, 128, 128), (0, 255, 0)])
@pytest.mark.parametrize(
    ("primaries", "gamma"), [(ADOBE_RGB, 2.19921875), (DISPLAY_P3, 2.2)], ids=["Adobe RGB", "Display P3"]
)
def test_colours_are_converted_with_the_profile(colour, primaries, gamma):
    expected = in_srgb(colour, primaries, gamma)
    profile = rgb_profile(primaries, gamma)
    options = {
        "JPEG": {"quality": 100, "subsampling": 0},
        "WEBP": {"lossless": True},
        "HEIF": {"quality": -1},
    }

    for image_format in ("JPEG", "PNG", "WEBP", "HEIF"):
        content = saved(plain(colour), image_format, icc_profile=profile, **options.get(image_format, {}))
        assert is_near(centre(render(content, image_format).webp), expected, 5), image_format


def test_profiles_of_grey_pictures_and_of_transparent_ones_are_used():
    grey = saved(plain(128, "L"), "PNG", icc_profile=grey_profile(1.0))
    grey_alpha = saved(plain((128, 100), "LA"), "PNG", icc_profile=grey_profile(1.0))
    colour = saved(
        plain((0, 255, 0, 100), "RGBA"), "PNG", icc_profile=rgb_profile(DISPLAY_P3[1:] + DISPLAY_P3[:1], 1)
    )

    assert is_near(centre(render(grey, "PNG").webp), (188, 188, 188))
    assert is_near(centre(render(grey_alpha, "PNG").webp), (188, 188, 188, 100))
    assert is_near(centre(render(colour, "PNG").webp)[2:], (255, 100), 8), "green was declared to be blue"


def test_a_profile_that_does_not_fit_or_is_broken_is_ignored():
    adobe = rgb_profile(ADOBE_RGB, 2.2)
    profiles = [b"no profile", adobe[:200], adobe[:128] + b"\xff" * 300, grey_profile(1.0)]
    profiles += [cmyk_profile((255, 128, 128), (0, 128, 128)), bytes(2_000)]

    for profile in profiles:
        for image_format in ("PNG", "JPEG"):
            content = saved(plain((40, 90, 160)), image_format, icc_profile=profile)
            assert is_near(centre(render(content, image_format).webp), (40, 90, 160), 5)
    for image, expected in ((plain(77, "L"), (77, 77, 77)), (plain((0, 255, 255, 0), "CMYK"), (255, 0, 0))):
        content = saved(image, "JPEG", icc_profile=adobe)
        assert is_near(centre(render(content, "JPEG").webp), expected, 8)


# --- Which picture ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image_format", "saved_as", "options"),
    [
        ("JPEG", "JPEG", {"progressive": True}),
        ("JPEG", "MPO", {"save_all": True, "append_images": [plain("red", size=(96, 64))]}),
        ("PNG", "PNG", {"save_all": True, "append_images": [plain("red", size=(96, 64))]}),
        ("WEBP", "WEBP", {"save_all": True, "append_images": [plain("red", size=(96, 64))]}),
        ("HEIF", "HEIF", {"save_all": True, "append_images": [plain("red", size=(32, 32))]}),
        ("WEBP", "WEBP", {"lossless": True}),
        ("HEIF", "HEIF", {"tile_size": 64}),
    ],
)
def test_the_first_picture_of_a_file_is_rendered(image_format: str, saved_as: str, options: dict[str, Any]):
    rendered = render(saved(quadrants(), saved_as, **options), image_format)

    assert_same(rendered.webp, quadrants())


@pytest.mark.parametrize(
    ("mode", "image_format"), [("RGB", "JPEG"), ("CMYK", "JPEG"), ("RGBA", "PNG"), ("I;16", "PNG")]
)
def test_a_large_picture_is_scaled_down_in_parts(mode: str, image_format: str):
    """These sizes are no multiples of anything."""
    shape = Image.radial_gradient("L").resize((7001, 301))
    image = (
        Image.merge(mode, [shape] * len(mode))
        if mode != "I;16"
        else shape.convert("I").point(lambda v: v * 257).convert("I;16")
    )

    made = render(saved(image, image_format), image_format).webp

    reference = image.convert("RGB") if mode != "I;16" else shape.convert("RGB")
    assert made.size == (2560, 110)
    assert_same(made, reference.resize((2560, 110)), tolerance=16)


@pytest.mark.parametrize(
    "ancillary",
    [
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"x" * 1_500_000),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1_000_000))) * 70,
        chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(5_000_000))),
        chunk(b"iCCP", b"no profile"),
        chunk(b"iCCP", b""),
        chunk(b"tRNS", b""),
        chunk(b"tRNS", bytes(1000)),
        chunk(b"tEXt", b""),
        chunk(b"pHYs", bytes(9))[:-1] + b"?",
        chunk(b"tRNS", bytes(6))[:-1] + b"?",
        chunk(b"eXIf", bytes(20))[:-1] + b"?",
        chunk(b"eXIf", b"no exif") + chunk(b"acTL", bytes(8)) + chunk(b"vpAg", bytes(9)),
    ],
)
def test_what_a_png_does_not_draw_is_no_obstacle(ancillary: bytes):
    content = saved(plain((40, 90, 160)), "PNG")

    for png in (content[:33] + ancillary + content[33:-12], content[:-12] + ancillary + content[-12:]):
        assert is_near(centre(render(png, "PNG").webp), (40, 90, 160))


def test_no_colour_of_a_png_is_transparent_that_is_named_behind_the_pixels():
    content = saved(plain((40, 90, 160)), "PNG")

    late = render(content[:-12] + chunk(b"tRNS", bytes([0, 40, 0, 90, 0, 160])) + content[-12:], "PNG")

    assert late.webp.mode == "RGB"


def test_the_metadata_of_a_png_is_used_though_other_parts_are_damaged():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    profile = rgb_profile(ADOBE_RGB, 2.2)
    content = saved(plain((100, 160, 90)), "PNG", icc_profile=profile)
    damaged = chunk(b"tRNS", bytes(6))[:-1] + b"?"

    rendered = render(
        content[:33] + damaged + content[33:-12] + chunk(b"eXIf", exif.tobytes()[6:]) + content[-12:], "PNG"
    )

    assert rendered.sizes[0] == (30, 40)
    assert is_near(centre(rendered.webp), in_srgb((100, 160, 90), ADOBE_RGB, 2.2), 5)


# --- The placeholder ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (640, 480), (480, 640), (3000, 1), (1, 3000), (333, 7)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_placeholder_is_a_tiny_webp_without_alpha(mode: str, size: tuple[int, int]):
    uri = render(saved(noise(*size, mode), "PNG"), "PNG").answer["placeholder"]

    head, _, content = uri.partition(",")
    image = opened(base64.b64decode(content, validate=True))
    assert head == "data:image/webp;base64"
    assert len(uri) < 200
    assert (image.format, image.mode) == ("WEBP", "RGB")
    assert max(image.size) <= 16
    assert max(image.size) == 16 or max(size) < 16 or min(size) > 16


def test_a_placeholder_looks_like_the_picture():
    def shown(image: Image.Image) -> Image.Image:
        uri = render(saved(image, "PNG"), "PNG").answer["placeholder"]
        return opened(base64.b64decode(uri.partition(",")[2]))

    small = shown(quadrants().resize((960, 640)))
    assert small.size == (16, 11)
    assert small.getpixel((2, 2))[0] > 150 > small.getpixel((2, 8))[0]
    assert is_near(centre(shown(plain((0, 0, 0, 0), "RGBA"))), (255, 255, 255))


# --- Hostile pictures ---------------------------------------------------------------------------------------


def heic() -> bytes:
    return saved(noise(128, 96), "HEIF", quality=50)


def heic_of_size(width: int, height: int) -> bytes:
    """A HEIC that says this size in its header."""
    content = heic()
    return content.replace(
        b"ispe" + bytes(4) + struct.pack(">II", 128, 96),
        b"ispe" + bytes(4) + struct.pack(">II", width, height),
    )


def jpeg_of_size(width: int, height: int) -> bytes:
    content = saved(noise(128, 96), "JPEG")
    return content.replace(struct.pack(">HH", 96, 128), struct.pack(">HH", height, width), 1)


BOMBS = {
    "PNG": png_header(2**31 - 1, 2**31 - 1),
    "JPEG": jpeg_of_size(65_000, 65_000),
    "WEBP": b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\x3f\x00" * 2,
    "HEIF": heic_of_size(30_000, 30_000),
}
CUT_OFF = {
    "PNG": saved(noise(128, 96), "PNG")[:-3000],
    "JPEG": saved(noise(128, 96), "JPEG")[:-3000],
    "WEBP": saved(noise(128, 96), "WEBP")[:-3000],
    "HEIF": heic()[:-1000],
}


@pytest.mark.parametrize("image_format", BOMBS)
def test_the_limit_of_pixels_is_exact(image_format: str):
    content = saved(plain("teal", size=(64, 64)), image_format)

    assert render(content, image_format, 64 * 64).sizes[0] == (64, 64)
    assert render(content, image_format, 64 * 64 - 1).answer == {"error": "too_large"}


@pytest.mark.parametrize("image_format", CUT_OFF)
def test_a_picture_that_cannot_be_decoded_is_invalid(image_format: str):
    for content in (CUT_OFF[image_format], b"", b"<html>", BOMBS["PNG" if image_format != "PNG" else "WEBP"]):
        rendered = render(content, image_format)

        assert rendered.answer == {"error": "invalid"}
        assert rendered.files == [b""] * len(WANTED)


def test_a_picture_is_not_to_blame_for_a_disk_that_fails():
    class FailingFile(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        rendering.render(FailingFile(b""), io.BytesIO(), "JPEG", MAX_PIXELS, [(320, "WEBP")])


# --- In the child process -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def children() -> Iterator[ChildProcesses]:
    children = ChildProcesses(at_once=1, modules=[rendering.__name__])
    yield children
    children.close()


def render_in_child(children: ChildProcesses, content: bytes, image_format: str) -> Rendered:
    with ExitStack() as stack, children.reserve(lambda: None) as child:
        source, *outputs = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(1 + len(WANTED)))
        source.write(content)
        source.flush()
        limits = replace(LIMITS, file_size=16 * MEBIBYTE, may_start_threads=image_format == "HEIF")
        arguments = [image_format, MAX_PIXELS, WANTED]
        answer: Any = child.run(RENDER, [source, *outputs], arguments, limits=limits, on_wait=lambda: None)
        for output in outputs:
            output.seek(0)
        return Rendered(answer, [output.read() for output in outputs])


@pytest.mark.parametrize("image_format", BOMBS)
def test_a_bomb_is_refused_within_the_limits(children: ChildProcesses, image_format: str):
    assert render_in_child(children, BOMBS[image_format], image_format).answer == {"error": "too_large"}


@pytest.mark.parametrize("image_format", BOMBS)
def test_a_child_writes_the_renditions_to_its_files(children: ChildProcesses, image_format: str):
    content = saved(plain("teal", size=(1400, 1050)), image_format)

    rendered = render_in_child(children, content, image_format)

    assert rendered.sizes == [(320, 240), (640, 480), (1280, 960), (1400, 1050), (1400, 1050)]
    assert [opened(file).size for file in rendered.files] == rendered.sizes
    assert is_near(centre(rendered.jpeg), (0, 128, 128))


def test_fifty_million_pixels_need_no_more_than_the_limit(children: ChildProcesses):
    content = saved(plain("teal", size=(10_000, 5_000)), "JPEG")

    assert render_in_child(children, content, "JPEG").sizes[-1] == (2560, 1280)


def test_it_needs_no_django_and_loads_every_format_before_the_first_picture():
    """What is imported before the fork server forks is not imported again for each picture."""
    contents = {name: saved(quadrants(), name) for name in ("JPEG", "PNG", "WEBP", "HEIF")}
    program = f"""
import sys
from api.pictures import rendering
before = set(sys.modules)
import io
for image_format, content in {contents}.items():
    outputs = [io.BytesIO(), io.BytesIO()]
    wanted = [[40, "WEBP"], [40, "JPEG"]]
    rendering.render(io.BytesIO(content), *outputs, image_format, 10_000, wanted)["width"]
print(sorted(name for name in sys.modules if name.startswith("django")))
print(sorted(name for name in set(sys.modules) - before if "PIL" in name or "heif" in name))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    assert done.stdout.split() == ["[]", "[]"], done.stderr


def test_the_tests_of_heic_do_not_pass_for_lack_of_the_package():
    assert pillow_heif.libheif_info()["HEIF"]
