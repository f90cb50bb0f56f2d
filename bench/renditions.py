"""Measure how long a child process takes to make the renditions of large photographs, and its memory.

Run: `python bench/renditions.py`. The pictures look like photographs: their files have the usual sizes.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import IO, Any

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # not this folder: it has a module `requests`
os.environ.update(ENV_FILE=os.devnull, DEBUG="true", DJANGO_SETTINGS_MODULE="backend.settings")

import django

django.setup()

from PIL import Image, ImageChops

from api.pictures.sizes import WIDTHS
from api.uploads.child_process import ChildFailed, ChildProcesses
from api.uploads.verification import LIMITS, MEBIBYTE, RENDER

MAX_PIXELS = 50_000_000
WANTED = [*((width, "WEBP") for width in WIDTHS), (WIDTHS[-1], "JPEG")]
RENDERING = replace(LIMITS, file_size=32 * MEBIBYTE, may_start_threads=True)
ROUNDS = 3
MEMORY_STEP = 32  # MiB


def photograph(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Return a picture with edges, areas and noise of several sizes in each colour."""
    bands = [_details(width, height, seed) for seed in range(len(mode))]
    return Image.merge(mode, bands)


def _details(width: int, height: int, seed: int) -> Image.Image:
    picture = Image.linear_gradient("L").rotate(90 * seed).resize((width, height))
    for divisor in (256, 64, 16, 4):
        noise = Image.effect_noise((width // divisor, height // divisor), 40)
        picture = ImageChops.overlay(picture, noise.resize((width, height), Image.Resampling.BICUBIC))
    return picture


def pictures() -> Iterator[tuple[str, str, Callable[[], bytes]]]:
    """Yield name, format, and a function that returns the content."""
    yield "JPEG of 12 megapixels", "JPEG", lambda: saved(photograph(4000, 3000), "JPEG", quality=90)
    yield "JPEG of 48 megapixels", "JPEG", lambda: saved(photograph(8000, 6000), "JPEG", quality=90)
    yield (
        "progressive JPEG of 48 megapixels",
        "JPEG",
        lambda: saved(photograph(8000, 6000), "JPEG", quality=90, progressive=True, subsampling=0),
    )
    yield "PNG of 20 megapixels", "PNG", lambda: saved(photograph(5472, 3648), "PNG", compress_level=1)
    yield (
        "PNG of 48 megapixels with alpha",
        "PNG",
        lambda: saved(photograph(8000, 6000, "RGBA"), "PNG", compress_level=1),
    )
    yield "WebP of 12 megapixels", "WEBP", lambda: saved(photograph(4000, 3000), "WEBP", method=0)
    yield "WebP of 24 megapixels", "WEBP", lambda: saved(photograph(6000, 4000), "WEBP", method=0)
    yield "WebP of 48 megapixels", "WEBP", lambda: saved(photograph(8000, 6000), "WEBP", method=0)
    yield "HEIC of 12 megapixels", "HEIF", lambda: saved(photograph(4000, 3000), "HEIF", quality=60)
    yield "HEIC of 48 megapixels", "HEIF", lambda: saved(photograph(8000, 6000), "HEIF", quality=60)


def saved(image: Image.Image, image_format: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def render(
    children: ChildProcesses, source: IO[bytes], image_format: str, memory: int
) -> tuple[str, list[int]]:
    """Return the outcome, and the size of each output in bytes."""
    with ExitStack() as stack, children.reserve(lambda: None) as child:
        outputs = [stack.enter_context(tempfile.TemporaryFile()) for _ in WANTED]
        arguments = [image_format, MAX_PIXELS, WANTED]
        limits = replace(RENDERING, memory=memory)
        try:
            answer = child.run(RENDER, [source, *outputs], arguments, limits=limits, on_wait=lambda: None)
        except ChildFailed as failed:
            return type(failed).__name__, []
        return str(answer.get("error", "rendered")), [os.fstat(output.fileno()).st_size for output in outputs]


def needed_memory(children: ChildProcesses, source: IO[bytes], image_format: str) -> int:
    """Return the lowest limit of memory with which the picture is rendered, in MiB."""
    lowest, highest = 0, 2048 // MEMORY_STEP
    while highest - lowest > 1:
        middle = (lowest + highest) // 2
        outcome, _ = render(children, source, image_format, middle * MEMORY_STEP * MEBIBYTE)
        lowest, highest = (lowest, middle) if outcome == "rendered" else (middle, highest)
    return highest * MEMORY_STEP


def measure(children: ChildProcesses, name: str, image_format: str, content: bytes) -> None:
    with tempfile.TemporaryFile() as source:
        source.write(content)
        source.flush()
        times = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            outcome, sizes = render(children, source, image_format, RENDERING.memory)
            times.append(time.perf_counter() - began)
        memory = needed_memory(children, source, image_format)
    kibibytes = ", ".join(str(size // 1024) for size in sizes)
    print(
        f"{name} ({len(content) / MEBIBYTE:.1f} MiB): {outcome}, {min(times):.2f} s,"
        f" needs a limit of {memory} MiB; KiB written: {kibibytes}",
        flush=True,
    )


def main() -> None:
    children = ChildProcesses(at_once=1, modules=[RENDER.module])
    for name, image_format, content in pictures():
        if not sys.argv[1:] or any(word in name for word in sys.argv[1:]):
            measure(children, name, image_format, content())
    children.close()


if __name__ == "__main__":
    main()
