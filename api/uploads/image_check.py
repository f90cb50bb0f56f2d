"""Checks an untrusted picture. Runs in a child process, so it imports Pillow and nothing of Django."""

import errno
import warnings
from typing import BinaryIO, Literal

from PIL import Image, MpoImagePlugin, TiffImagePlugin, WebPImagePlugin

Verdict = Literal["valid", "invalid", "too_large"]

# Imported before the process forks, so that no child has to: formats, and parts that they load on first use.
Image.preinit()
PRELOADED = (MpoImagePlugin, TiffImagePlugin, WebPImagePlugin)


def check(file: BinaryIO, image_format: str, max_pixels: int) -> Verdict:
    """Read the header with the decoder of this format only, then check the pixels and the structure.

    Nothing is decoded. Raises MemoryError, and OSError if the file cannot be read.
    """
    Image.MAX_IMAGE_PIXELS = max_pixels / 2  # type: ignore[assignment]  # Pillow warns, and refuses twice that
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    try:
        with Image.open(file, formats=[image_format]) as image:
            image.verify()
    except MemoryError:
        raise
    except Image.DecompressionBombError:
        return "too_large"
    except Exception as error:  # a hostile file can make a decoder raise anything
        if isinstance(error, OSError) and error.errno == errno.EIO:
            raise  # the disk failed, not the picture
        return "invalid"
    return "valid"
