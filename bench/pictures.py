"""Measure what it costs to check a picture in a child process, compared with the same in this process.

Run: `python bench/pictures.py`. It begins with hostile pictures of 50 MB: how soon each is refused, and the
memory of this process and of the child. `--unlimited` also opens them in a process without limits: that takes
gigabytes, and the last one more than an hour.
"""

import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import IO, BinaryIO

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # not this folder: it has a module `requests`
os.environ.update(ENV_FILE=os.devnull, DEBUG="true", DJANGO_SETTINGS_MODULE="backend.settings")

import django

django.setup()

from PIL import Image

from api.uploads import image_check
from api.uploads.child_process import ChildFailed, ChildProcesses, Limits
from api.uploads.verification import CHECK, LIMITS

MEBIBYTE = 1024 * 1024
ROUNDS = 200
MAX_PIXELS = 50_000_000
HOSTILE_SIZE = 50 * MEBIBYTE
UNLIMITED = """
import resource, sys, time
from PIL import Image
began = time.perf_counter()
try:
    with Image.open(sys.argv[1]) as image:
        image.verify()
except Exception as error:
    print(type(error).__name__, end=", ")
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(f"{time.perf_counter() - began:.1f} s, {memory} MiB")
"""


def pictures() -> Iterator[tuple[str, str, bytes]]:
    """Yield name, format and content of harmless pictures."""
    yield "a small PNG", "PNG", saved(Image.new("RGB", (40, 30), "teal"), "PNG")
    noise = Image.effect_noise((3000, 3000), 100)
    yield "a PNG of 10 MB", "PNG", saved(noise, "PNG", compress_level=0)
    yield "a JPEG of 5 MB", "JPEG", saved(noise, "JPEG", quality=95)
    yield "a WebP of 5 MB", "WEBP", saved(noise, "WEBP", quality=90, method=0)
    yield "a WebP of 50 million pixels", "WEBP", saved(Image.new("RGB", (10_000, 5_000)), "WEBP", method=0)


def saved(image: Image.Image, image_format: str, **options: int) -> bytes:
    file = BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def hostile_pictures() -> Iterator[tuple[str, str, bytes, bytes]]:
    """Yield pictures that keep a decoder busy: name, format, start, and a part that is repeated."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    png, jpeg = b"\x89PNG\r\n\x1a\n" + header, b"\xff\xd8"
    yield "a PNG of private chunks", "PNG", png, png_chunk(b"prVt", b"")
    text = b"Comment\x00\x00" + zlib.compress(bytes(MEBIBYTE), 9)
    yield "a PNG of compressed texts", "PNG", png, png_chunk(b"zTXt", text)
    yield "a JPEG of small segments", "JPEG", jpeg, b"\xff\xe5\x00\x02"
    yield "a JPEG of Exif segments", "JPEG", jpeg, b"\xff\xe1\x00\x09Exif\x00\x00x"


def write_repeatedly(file: IO[bytes], start: bytes, part: bytes) -> None:
    """Fill the file up to HOSTILE_SIZE with little memory, because that of children is compared with it."""
    block = part * (MEBIBYTE // len(part))
    file.write(start)
    while file.tell() < HOSTILE_SIZE:
        file.write(block)
    file.flush()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def check_in_child(
    children: ChildProcesses, file: IO[bytes], image_format: str, limits: Limits = LIMITS
) -> str:
    with children.reserve(lambda: None) as child:
        arguments = [image_format, MAX_PIXELS]
        try:
            return child.run(CHECK, [file], arguments, limits=limits, on_wait=lambda: None)
        except ChildFailed as failed:
            return type(failed).__name__


def milliseconds(call: Callable[[], object]) -> float:
    """Return the median of ROUNDS calls."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return median(times) * 1000


def processor_milliseconds(image_format: str, file: IO[bytes]) -> float:
    """Return the processor time of a call in all processes, without that of starting the fork server."""
    children = ChildProcesses(at_once=1, modules=[image_check.__name__])
    check_in_child(children, file, image_format)
    children.close()
    started = processor_seconds()
    check_in_child(children, file, image_format)
    children.close()
    once = processor_seconds()
    for _ in range(ROUNDS + 1):
        check_in_child(children, file, image_format)
    children.close()
    return (processor_seconds() - once - (once - started)) / ROUNDS * 1000


def processor_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_memory(who: int) -> int:
    """Return the largest memory that was resident, in MiB: of this process, or of its largest descendant."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(who).ru_maxrss * unit // MEBIBYTE


def measure_cost(children: ChildProcesses) -> None:
    began = time.perf_counter()
    with tempfile.TemporaryFile() as file:
        check_in_child(children, file, "PNG")
    print(f"the first picture of a server process: {(time.perf_counter() - began) * 1000:.0f} ms")
    for name, image_format, content in pictures():
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.flush()
            assert check_in_child(children, file, image_format) == "valid", name
            here = milliseconds(lambda: image_check.check(open_again(file), image_format, MAX_PIXELS))  # noqa: B023
            there = milliseconds(lambda: check_in_child(children, file, image_format))  # noqa: B023
            processor = processor_milliseconds(image_format, file)
        print(f"{name}: {there:.1f} ms ({processor:.1f} of processor time), in this process {here:.1f}")


def open_again(file: IO[bytes]) -> BinaryIO:
    """Return a file that `verify` may close."""
    copy = os.fdopen(os.dup(file.fileno()), "rb")
    copy.seek(0)
    return copy


def measure_hostile(children: ChildProcesses, unlimited: bool) -> None:
    """Only the processor time is limited, because the memory of a child that was killed is unknown."""
    limits = replace(LIMITS, seconds=600)
    for name, image_format, start, part in hostile_pictures():
        with tempfile.NamedTemporaryFile() as file:
            write_repeatedly(file, start, part)
            began = time.perf_counter()
            verdict = check_in_child(children, file, image_format, limits)
            print(f"{name}: {verdict} after {time.perf_counter() - began:.1f} s", end="", flush=True)
            if unlimited:
                print("; without limits ", end="", flush=True)
                subprocess.run([sys.executable, "-c", UNLIMITED, file.name], check=True)
            else:
                print()
    children.close()
    memory = peak_memory(resource.RUSAGE_CHILDREN)
    print(f"memory: this process {peak_memory(resource.RUSAGE_SELF)} MiB, the largest child {memory} MiB")


def main() -> None:
    children = ChildProcesses(at_once=1, modules=[image_check.__name__])
    measure_hostile(children, "--unlimited" in sys.argv)
    measure_cost(children)
    children.close()


if __name__ == "__main__":
    main()
