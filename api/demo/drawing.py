"""The demo's files, drawn and set here: nothing is fetched, and nobody else's pictures are carried along.

In Pillow's own font, which is the same on every machine and has no letters but those of ASCII.
"""

from collections.abc import Sequence
from io import BytesIO
from textwrap import wrap

from PIL import Image, ImageDraw

from api.demo.motifs import BACKGROUNDS, MOTIFS

WIDTH, HEIGHT = 1200, 800
FINER = 2  # drawn so much larger and then reduced, or edges would be jagged
CAPTION = 190  # pixels at the foot, for the names
AVATAR = 256
PAGE = (1240, 1754)  # A4 at 150 dots an inch
LINES = 38  # on a page

CREAM, INK = "#fbf6ea", "#22302f"


def picture(title: str, below: str, classes: Sequence[str]) -> bytes:
    """A JPEG with the motifs of these taxonomic classes, and beneath them the names."""
    ground = BACKGROUNDS[classes[0]]
    page = Image.new("RGB", (WIDTH * FINER, HEIGHT * FINER), ground)
    draw = ImageDraw.Draw(page)
    room = HEIGHT - CAPTION
    size = min(room * 0.72, WIDTH * 0.84 / len(classes))
    left = (WIDTH - size * len(classes)) / 2
    for number, each in enumerate(classes):
        _motif(draw, each, left + size * number, (room - size) / 2, size, ground)
    draw.rectangle((0, room * FINER, WIDTH * FINER, HEIGHT * FINER), fill=CREAM)
    _centred(draw, title, room + 72, 68)
    _centred(draw, below, room + 142, 38)
    return _saved(page.reduce(FINER), "JPEG", quality=88)


def _motif(draw: ImageDraw.ImageDraw, name: str, x: float, y: float, size: float, ground: str) -> None:
    """Within this square, with a little air."""
    scale, air = FINER * size * 0.9 / 100, FINER * size * 0.05
    for kind, hollow, points in MOTIFS[name]:
        placed = [(y if at % 2 else x) * FINER + air + scale * point for at, point in enumerate(points)]
        fill = ground if hollow else CREAM
        match kind:
            case "ellipse":
                draw.ellipse(placed, fill=fill)
            case "chord":
                draw.chord(placed, 0, 180, fill=fill)
            case _:
                draw.polygon(placed, fill=fill)


def _centred(draw: ImageDraw.ImageDraw, text: str, y: float, size: float) -> None:
    """A line of the caption, smaller where it would not fit."""
    room = WIDTH * FINER * 0.92
    wide = draw.textlength(text, font_size=size * FINER)
    draw.text(
        (WIDTH * FINER / 2, y * FINER),
        text,
        fill=INK,
        anchor="mm",
        font_size=size * FINER * min(1, room / wide),
    )


def avatar(name: str, colour: str) -> bytes:
    """A PNG with the first letter of the name."""
    page = Image.new("RGB", (AVATAR * FINER, AVATAR * FINER), colour)
    middle = AVATAR * FINER / 2
    ImageDraw.Draw(page).text(
        (middle, middle), name[0], fill=CREAM, anchor="mm", font_size=AVATAR * FINER * 0.6
    )
    return _saved(page.reduce(FINER), "PNG")


def pdf(title: str, text: str) -> bytes:
    """The title and the text, in paragraphs, on as many pages as they take."""
    lines = [line for paragraph in text.splitlines() for line in wrap(paragraph, 66) or [""]]
    starts = range(0, len(lines) or 1, LINES)
    pages = [_page(title, lines[at : at + LINES], f"{at // LINES + 1} / {len(starts)}") for at in starts]
    return _saved(pages[0], "PDF", save_all=True, append_images=pages[1:], title=title, resolution=150)


def _page(title: str, lines: list[str], number: str) -> Image.Image:
    page = Image.new("L", PAGE, "white")
    draw = ImageDraw.Draw(page)
    draw.text((120, 110), title, fill="black", font_size=56)
    for at, line in enumerate(lines):
        draw.text((120, 230 + at * 37), line, fill="black", font_size=30)
    draw.text((PAGE[0] / 2, PAGE[1] - 80), number, fill="black", anchor="mm", font_size=24)
    return page


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
