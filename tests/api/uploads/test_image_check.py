"""The check of a picture: its format, its pixels and its structure, in whatever process."""

import errno
import io
import subprocess
import sys

import pytest
from PIL import Image

from api.uploads import image_check
from tests.api.uploads.test_verification import GIF, JPEG, PNG, WEBP, png_header
from tests.support.server import ROOT

PICTURES = {"PNG": PNG, "JPEG": JPEG, "WEBP": WEBP, "GIF": GIF}
PIXELS = 40 * 30


@pytest.fixture(autouse=True)
def _restore_pillow(monkeypatch):
    """The check changes a global limit of Pillow, which does no harm in a process for one picture."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)


def check(content: bytes, image_format: str, max_pixels: int = PIXELS) -> str:
    return image_check.check(io.BytesIO(content), image_format, max_pixels)


@pytest.mark.parametrize("image_format", PICTURES)
def test_a_picture_is_checked_with_the_decoder_of_its_format_only(image_format: str):
    verdicts = {name: check(content, image_format) for name, content in PICTURES.items()}

    assert verdicts == {name: "valid" if name == image_format else "invalid" for name in PICTURES}


@pytest.mark.parametrize("image_format", PICTURES)
def test_the_limit_of_pixels_is_exact(image_format: str):
    assert check(PICTURES[image_format], image_format, PIXELS) == "valid"
    assert check(PICTURES[image_format], image_format, PIXELS - 1) == "too_large"


@pytest.mark.parametrize(
    ("content", "image_format", "verdict"),
    [
        (png_header(2**31 - 1, 2**31 - 1), "PNG", "too_large"),
        (b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\x3f\x00" * 2, "WEBP", "too_large"),
        (WEBP[:-20], "WEBP", "invalid"),
        (JPEG[:100], "JPEG", "invalid"),
        (b"", "PNG", "invalid"),
    ],
)
def test_lies_and_rests_are_not_valid(content: bytes, image_format: str, verdict: str):
    assert check(content, image_format) == verdict


def test_a_picture_is_not_to_blame_for_a_disk_that_fails():
    class FailingFile(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        image_check.check(FailingFile(PNG), "PNG", PIXELS)


def test_a_lack_of_memory_is_not_taken_for_an_invalid_picture():
    class EndlessFile(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise MemoryError

    with pytest.raises(MemoryError):
        image_check.check(EndlessFile(PNG), "PNG", PIXELS)


def test_it_needs_no_django_and_loads_every_format_before_the_first_picture():
    """What is imported before the fork server forks is not imported again for each picture."""
    program = f"""
import sys
from api.uploads import image_check
before = set(sys.modules)
import io
for image_format, content in {PICTURES}.items():
    image_check.check(io.BytesIO(content), image_format, 10_000)
print(sorted(name for name in sys.modules if name.startswith("django")))
print(sorted(name for name in set(sys.modules) - before if name.startswith("PIL")))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    assert done.stdout.split() == ["[]", "[]"], done.stderr
