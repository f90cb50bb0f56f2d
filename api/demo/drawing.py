"""Draws the images and PDFs of the demo, so that none have to be downloaded or shipped.

Texts are in Pillow's built-in font, which is the same on every machine and only has ASCII letters.
"""

from collections.abc import Sequence
from io import BytesIO
from textwrap import wrap

from PIL import Image, ImageDraw

from api.demo.motifs import BACKGROUNDS, MOTIFS

WIDTH, HEIGHT = 1200, 800
OVERSAMPLING = 2  # images are drawn this many times larger and then reduced, so that edges are smooth
CAPTION_HEIGHT = 190  # pixels at the bottom, for the names
AVATAR_SIZE = 256  # pixels
PAGE_SIZE = (1240, 1754)  # pixels: A4 at 150 dots per inch
LINES_PER_PAGE = 38

CREAM, INK = "#fbf6ea", "#22302f"


def illustration(title: str, subtitle: str, classes: Sequence[str]) -> bytes:
    """Return a JPEG with the motifs of these taxonomic classes, and the two lines of text below."""
    background = BACKGROUNDS[classes[0]]
    image = Image.new("RGB", (WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING), background)
    draw = ImageDraw.Draw(image)
    height = HEIGHT - CAPTION_HEIGHT
    size = min(height * 0.72, WIDTH * 0.84 / len(classes))
    left = (WIDTH - size * len(classes)) / 2
    for number, name in enumerate(classes):
        _draw_motif(draw, name, left + size * number, (height - size) / 2, size, background)
    draw.rectangle((0, height * OVERSAMPLING, WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING), fill=CREAM)
    _draw_centred(draw, title, height + 72, 68)
    _draw_centred(draw, subtitle, height + 142, 38)
    return _encode(image.reduce(OVERSAMPLING), "JPEG", quality=88)


def _draw_motif(
    draw: ImageDraw.ImageDraw, name: str, x: float, y: float, size: float, background: str
) -> None:
    """Draw the motif in this square, with a margin of 5 %."""
    scale, margin = OVERSAMPLING * size * 0.9 / 100, OVERSAMPLING * size * 0.05
    for kind, is_hollow, points in MOTIFS[name]:
        placed = [
            (y if at % 2 else x) * OVERSAMPLING + margin + scale * point for at, point in enumerate(points)
        ]
        fill = background if is_hollow else CREAM
        match kind:
            case "ellipse":
                draw.ellipse(placed, fill=fill)
            case "chord":
                draw.chord(placed, 0, 180, fill=fill)
            case _:
                draw.polygon(placed, fill=fill)


def _draw_centred(draw: ImageDraw.ImageDraw, text: str, y: float, size: float) -> None:
    """Draw a line of text, reduced if it is too wide."""
    max_width = WIDTH * OVERSAMPLING * 0.92
    width = draw.textlength(text, font_size=size * OVERSAMPLING)
    draw.text(
        (WIDTH * OVERSAMPLING / 2, y * OVERSAMPLING),
        text,
        fill=INK,
        anchor="mm",
        font_size=size * OVERSAMPLING * min(1, max_width / width),
    )


def avatar(name: str, colour: str) -> bytes:
    """Return a PNG with the first letter of the name."""
    size = AVATAR_SIZE * OVERSAMPLING
    image = Image.new("RGB", (size, size), colour)
    centre = (size / 2, size / 2)
    ImageDraw.Draw(image).text(centre, name[0], fill=CREAM, anchor="mm", font_size=size * 0.6)
    return _encode(image.reduce(OVERSAMPLING), "PNG")


def pdf(title: str, text: str) -> bytes:
    """Return a PDF with the title and the paragraphs of the text, on as many pages as are needed."""
    lines = [line for paragraph in text.splitlines() for line in wrap(paragraph, 66) or [""]]
    starts = range(0, len(lines) or 1, LINES_PER_PAGE)
    pages = [
        _page(title, lines[at : at + LINES_PER_PAGE], f"{number} / {len(starts)}")
        for number, at in enumerate(starts, start=1)
    ]
    return _encode(pages[0], "PDF", save_all=True, append_images=pages[1:], title=title, resolution=150)


def _page(title: str, lines: list[str], page_number: str) -> Image.Image:
    page = Image.new("L", PAGE_SIZE, "white")
    draw = ImageDraw.Draw(page)
    draw.text((120, 110), title, fill="black", font_size=56)
    for at, line in enumerate(lines):
        draw.text((120, 230 + at * 37), line, fill="black", font_size=30)
    draw.text((PAGE_SIZE[0] / 2, PAGE_SIZE[1] - 80), page_number, fill="black", anchor="mm", font_size=24)
    return page


def _encode(image: Image.Image, image_format: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()
