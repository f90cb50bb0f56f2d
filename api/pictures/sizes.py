"""The sizes of the renditions of a picture. It imports nothing of Django, for the child process."""

from collections.abc import Iterable

Size = tuple[int, int]  # width and height in pixels

WIDTHS = (320, 640, 1280, 2560)  # pixels: the widths of the renditions
MAX_SIDE = 16383  # pixels: the limit of WebP


def size_at(width: int, height: int, max_width: int) -> Size:
    """Return the size of a picture scaled down to this width. It is never enlarged, and has no side of 0."""
    scale = min(1.0, max_width / width, MAX_SIDE / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def sizes_at(width: int, height: int, max_widths: Iterable[int]) -> list[Size | None]:
    """Return the size at each of these widths, which ascend; None where it would be the same again."""
    sizes: list[Size | None] = []
    for max_width in max_widths:
        size = size_at(width, height, max_width)
        sizes.append(None if size in sizes else size)
    return sizes
