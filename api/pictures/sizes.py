"""The sizes of renditions."""

WIDTHS = (320, 640, 1280, 2560)  # pixels
MAX_SIDE = 16383  # pixels, the limit of WebP


def size_at(width: int, height: int, max_width: int) -> tuple[int, int]:
    """Return the size of the rendition of a picture that is at most `max_width` wide, in pixels."""
    scale = min(1, max_width / width, MAX_SIDE / height, MAX_SIDE / width)
    return max(1, round(width * scale)), max(1, round(height * scale))
