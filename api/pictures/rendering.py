"""Makes the renditions of an untrusted picture: it is turned upright, in sRGB, and without metadata.

Runs in a child process, so it imports Pillow and nothing of Django. The file has passed `image_check`, but
nothing relies on that. Each step is done with as few pixels as possible: a JPEG is scaled down while it is
decoded, another picture in bands, and each rendition is made from the next larger one.
"""

import errno
import struct
import warnings
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import SEEK_CUR, SEEK_END, BytesIO
from typing import Any, BinaryIO, Literal, TypedDict, final
from zlib import crc32

from PIL import Image, ImageCms, JpegImagePlugin

from api.pictures import decoders  # noqa: F401  (registers them)
from api.pictures.sizes import Size, size_at, sizes_at

SRGB = ImageCms.createProfile("sRGB")

#: Measured: method 2 takes half of the time for 5 % more bytes, method 5 takes longer and saves nothing.
WEBP = {"quality": 80, "method": 4}
JPEG = {"quality": 82, "progressive": True}
PLACEHOLDER_SIZE = 199  # characters at most
PLACEHOLDER_SIDES = (16, 12, 8, 4, 1)  # pixels of the longer side, tried in this order
PLACEHOLDER_QUALITIES = (50, 25, 0)
BAND = 1024 * 1024  # pixels
ORIENTATION = 0x0112  # the tag of Exif
#: What a picture needs with each orientation of Exif, for pixels to be where they belong.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
COLOURS = {"LA": "L", "RGBA": "RGB"}  # modes with alpha, and the same without
ANCILLARY = 0x20  # the bit of the first letter of a PNG chunk that draws nothing (PNG specification, 5.4)
CHUNK_SIZE = 4 * 1024 * 1024  # bytes: that of the ancillary chunks of a PNG which are used


class RenditionSize(TypedDict):
    width: int
    height: int


@final
class Renditions(TypedDict):
    """`width` and `height`: those of the picture, upright. `renditions`: None for an output left empty."""

    width: int
    height: int
    placeholder: str
    renditions: list[RenditionSize | None]


@final
class NotRendered(TypedDict):
    error: Literal["too_large", "invalid"]


@dataclass(frozen=True, slots=True)
class Picture:
    """An upright picture, RGB or RGBA, in sRGB. `width` and `height` are those before it was scaled down."""

    image: Image.Image
    width: int
    height: int


def render(source: BinaryIO, *rest: Any) -> Renditions | NotRendered:
    """`render_to` with the arguments in the order of a child process: files, then values.

    `render(source, output, …, image_format, max_pixels, [[max_width, format], …])`
    """
    *outputs, image_format, max_pixels, wanted = rest
    return render_to(source, outputs, image_format, max_pixels, [(width, name) for width, name in wanted])


def render_to(
    source: BinaryIO,
    outputs: Sequence[BinaryIO],
    image_format: str,
    max_pixels: int,
    wanted: Sequence[tuple[int, str]],
) -> Renditions | NotRendered:
    """Write a rendition to each output, as wanted: the largest width, and the format, "WEBP" or "JPEG".

    The widths of a format must ascend. An output stays empty if its picture would be the same as the one
    before. Raises MemoryError, and OSError if a file cannot be read or written.
    """
    try:
        picture = decode(source, image_format, max_pixels, max(width for width, _ in wanted))
    except MemoryError:
        raise
    except Image.DecompressionBombError:
        return {"error": "too_large"}
    except Exception as error:  # a hostile file can make a decoder raise anything
        if isinstance(error, OSError) and error.errno == errno.EIO:
            raise  # the disk failed, not the picture
        return {"error": "invalid"}
    sizes = _sizes(picture, wanted)
    smallest = _write(picture.image, outputs, sizes, [name for _, name in wanted])
    return {
        "width": picture.width,
        "height": picture.height,
        "placeholder": placeholder(smallest),
        "renditions": [_as_json(size) for size in sizes],
    }


def _as_json(size: Size | None) -> RenditionSize | None:
    return {"width": size[0], "height": size[1]} if size else None


def placeholder(image: Image.Image) -> str:
    """Return a tiny WebP of the picture, on white, as a data URI of at most PLACEHOLDER_SIZE characters."""
    flat = _flattened(image)
    return next(uri for uri in _placeholders(flat) if len(uri) <= PLACEHOLDER_SIZE)


def _placeholders(image: Image.Image) -> Iterator[str]:
    """Yield placeholders that become smaller. The last one, of a single pixel, is always small enough."""
    for side in PLACEHOLDER_SIDES:
        small = image.resize(_fitting(image.size, side), Image.Resampling.BOX)
        for quality in PLACEHOLDER_QUALITIES:
            content = _encoded(small, "WEBP", quality=quality, method=6)
            yield f"data:image/webp;base64,{b64encode(content).decode()}"


def _fitting(size: Size, side: int) -> Size:
    """Return the size with this longer side."""
    scale = side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


# --- Writing ----------------------------------------------------------------------------------------


def _sizes(picture: Picture, wanted: Sequence[tuple[int, str]]) -> list[Size | None]:
    """Return the size of each rendition, None for one that would be the same again in its format."""
    sizes: list[Size | None] = [None] * len(wanted)
    for name in {name for _, name in wanted}:
        places = [place for place, (_, its_name) in enumerate(wanted) if its_name == name]
        of_format = sizes_at(picture.width, picture.height, [wanted[place][0] for place in places])
        for place, size in zip(places, of_format, strict=True):
            sizes[place] = size
    return sizes


def _write(
    image: Image.Image, outputs: Sequence[BinaryIO], sizes: Sequence[Size | None], formats: Sequence[str]
) -> Image.Image:
    """Write the renditions, the largest first, and return the smallest one."""
    rows = [row for row in zip(sizes, outputs, formats, strict=True) if row[0]]
    for size, output, image_format in sorted(rows, key=lambda row: row[0] or (0, 0), reverse=True):
        image = _resized(image, size or image.size)
        output.seek(0)
        output.write(_encode(image, image_format))
        output.flush()
    return image


def _encode(image: Image.Image, image_format: str) -> bytes:
    if image_format == "JPEG":
        return _encoded(_flattened(image), "JPEG", **JPEG)
    return _encoded(image, "WEBP", **WEBP)


def _encoded(image: Image.Image, image_format: str, **options: int) -> bytes:
    file = BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def _resized(image: Image.Image, size: Size) -> Image.Image:
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def _flattened(image: Image.Image) -> Image.Image:
    """Return the picture on white, without alpha."""
    if image.mode != "RGBA":
        return image
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


# --- Decoding ---------------------------------------------------------------------------------------


def decode(file: BinaryIO, image_format: str, max_pixels: int, max_width: int) -> Picture:
    """Return the picture, no wider than this. Raises DecompressionBombError, and whatever decoders raise."""
    Image.MAX_IMAGE_PIXELS = max_pixels / 2  # type: ignore[assignment]  # Pillow warns, and refuses twice that
    warnings.simplefilter("ignore")  # also of metadata
    image = _open(file, image_format)
    if image.width * image.height > max_pixels:
        raise Image.DecompressionBombError
    orientation, profile = _orientation(image), image.info.get("icc_profile")
    width, height = _turned_size(image.size, orientation)
    size = _turned_size(size_at(width, height, max_width), orientation)
    image.draft(None, size)
    image = _in_srgb(_resized(_reduced(image, size), size), profile)
    if orientation in TURNS:
        image = image.transpose(TURNS[orientation])
    image.info.clear()  # Pillow would write some of it
    return Picture(image, width, height)


def _open(file: BinaryIO, image_format: str) -> Image.Image:
    """Read the header with the decoder of this format only. Of several pictures, the first is opened."""
    file.seek(0)
    if image_format == "PNG":
        return _open_png(file)
    if image_format == "JPEG":
        return JpegImagePlugin.JpegImageFile(file)
    return Image.open(file, formats=[image_format])


def _orientation(image: Image.Image) -> int:
    """Return the orientation of Exif, 1 if the metadata cannot be read."""
    try:
        orientation = image.getexif().get(ORIENTATION)
    except MemoryError:
        raise
    except Exception:  # hostile metadata can make Pillow raise anything
        return 1
    return orientation if orientation in TURNS else 1


def _turned_size(size: Size, orientation: int) -> Size:
    return (size[1], size[0]) if orientation >= 5 else size


def _reduced(image: Image.Image, size: Size) -> Image.Image:
    """Return the picture with 8 bits for each colour, and at least this size, but less than twice.

    It is converted and reduced in bands, because both need memory for each pixel.
    """
    factor = max(1, min(image.width // size[0], image.height // size[1]))
    if factor == 1 and not _needs_conversion(image):
        return image
    rows = max(1, BAND // image.width // factor) * factor
    reduced: Image.Image | None = None
    for top in range(0, image.height, rows):
        band = image.crop((0, top, image.width, min(top + rows, image.height)))
        band = _in_8_bits(band).reduce(factor)
        if reduced is None:
            reduced = Image.new(band.mode, (band.width, -(-image.height // factor)))
        reduced.paste(band, (0, top // factor))
    assert reduced is not None
    return reduced


def _needs_conversion(image: Image.Image) -> bool:
    return image.mode not in ("L", "RGB", "RGBA", "CMYK") or "transparency" in image.info


def _in_8_bits(image: Image.Image) -> Image.Image:
    """Return the picture in one of the modes L, LA, RGB, RGBA and CMYK."""
    is_transparent = image.has_transparency_data
    if image.mode == "I;16":
        info, image = image.info, Image.frombytes("L", image.size, image.tobytes()[1::2])  # Pillow would clip
        image.info = info
    if image.mode in ("1", "L", "LA"):
        return image.convert("LA" if is_transparent else "L")
    if image.mode in ("RGB", "RGBA", "P") or is_transparent:
        return image.convert("RGBA" if is_transparent else "RGB")
    return image if image.mode == "CMYK" else image.convert("RGB")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return the picture in the colours of sRGB, RGB or RGBA. A profile that cannot be used is ignored."""
    colours = image.convert(COLOURS[image.mode]) if image.mode in COLOURS else image
    converted = _converted(colours, profile) if profile else None
    converted = converted or colours.convert("RGB")
    if image.mode in COLOURS:
        converted.putalpha(image.getchannel("A"))
    return converted


def _converted(image: Image.Image, profile: bytes) -> Image.Image | None:
    """Return the picture in sRGB, None if this is not a profile of such pictures."""
    try:
        opened = ImageCms.getOpenProfile(BytesIO(profile))
        return ImageCms.profileToProfile(image, opened, SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


# --- PNG --------------------------------------------------------------------------------------------


def _open_png(file: BinaryIO) -> Image.Image:
    """Open it without the ancillary chunks that cannot be read. Their size can then do no harm, either."""
    for kinds in ([b"tRNS", b"iCCP", b"eXIf"], [b"tRNS"]):
        try:
            return _open_png_with(file, kinds)
        except (MemoryError, Image.DecompressionBombError):
            raise
        except Exception:  # noqa: S112  (hostile chunks can make Pillow raise anything)
            continue
    return _open_png_with(file, [])


def _open_png_with(file: BinaryIO, kinds: Sequence[bytes]) -> Image.Image:
    image = Image.open(_chunks(file, kinds), formats=["PNG"])
    colour = image.info.get("transparency")
    if image.mode in ("L", "I;16", "RGB") and colour is not None:
        file.seek(24)  # the depth in IHDR
        image.info["transparency"] = _in_depth_8(colour, file.read(1)[0])
    return image


def _in_depth_8(colour: int | tuple[int, ...], depth: int) -> int | tuple[int, ...]:
    """Return the transparent colour as Pillow has it in pixels. It reads the number as it is in the file."""
    if isinstance(colour, tuple):
        return tuple(value >> max(0, depth - 8) & 255 for value in colour)
    value = colour & (1 << depth) - 1
    return value >> 8 if depth == 16 else value * 255 // ((1 << depth) - 1)


def _chunks(file: BinaryIO, kinds: Sequence[bytes]) -> BytesIO:
    """Return the critical chunks of a PNG, and the undamaged ones of these kinds.

    Behind the pixels, only Exif is kept: Pillow reads it after them, and then cannot do without it.
    """
    size = file.seek(0, SEEK_END)
    file.seek(0)
    kept = BytesIO()
    kept.write(file.read(8))
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IDAT":
            kinds = [kind for kind in kinds if kind == b"eXIf"]
        is_ancillary = bool(kind[0] & ANCILLARY)
        if is_ancillary and (kind not in kinds or length > CHUNK_SIZE):
            file.seek(length + 4, SEEK_CUR)
            continue
        content, checksum = file.read(min(length, size)), file.read(4)
        if is_ancillary and checksum != crc32(kind + content).to_bytes(4):
            continue
        kept.write(head + content + checksum)
        if kind == b"IEND":
            break
    kept.seek(0)
    return kept
