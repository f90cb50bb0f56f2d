"""Imports the decoders of pictures before the process forks: Pillow would load them in each child process.

It imports Pillow and nothing of Django.
"""

from contextlib import suppress

from PIL import Image, MpoImagePlugin, TiffImagePlugin, WebPImagePlugin

# HEIC pictures need an optional package. What else is in their files is not opened.
with suppress(ModuleNotFoundError):
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)

Image.preinit()
PRELOADED = (MpoImagePlugin, TiffImagePlugin, WebPImagePlugin)
