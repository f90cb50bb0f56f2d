"""Renderer: runs `api.pictures.rendering` in a child process, with limits on memory and time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO, Self

import structlog
from django.conf import settings
from django.utils.translation import gettext_noop as _

from api.pictures.models import MAX_BYTES
from api.pictures.sizes import WIDTHS
from api.uploads.child_process import (
    ChildFailed,
    ChildProcesses,
    FunctionRaised,
    Limits,
    TooMuchMemory,
    TooMuchTime,
)
from api.uploads.verification import CHILDREN, LIMITS, RENDER

if TYPE_CHECKING:
    from api.pictures.rendering import NotRendered, Renditions

#: In the order in which the child process writes them: field, largest width in pixels, format of Pillow.
RENDITIONS = (
    *((f"webp_{width}", width, "WEBP") for width in WIDTHS),
    ("jpeg", WIDTHS[-1], "JPEG"),
)

logger = structlog.get_logger("api.renditions")

REASONS = {
    "invalid": _("The picture cannot be opened."),
    "too_large": _("The picture has too many pixels."),
}


class RenditionsFailed(Exception):
    """The picture cannot be converted. The message says why, and is translated when it is displayed."""


class OutOfTime(Exception):
    """The caller has no more time for the renditions."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What the child process has made. `files` has the open file for each field that has a rendition."""

    width: int
    height: int
    placeholder: str
    files: dict[str, BinaryIO]


def limits_for(image_format: str) -> Limits:
    """Return the limits for converting a picture of this format.

    Decoding a WebP and scaling it takes 16 bytes for each pixel, another picture at most 9 (measured with
    `bench/renditions.py`). The decoder of HEIC starts a thread.
    """
    return replace(
        LIMITS,
        memory=LIMITS.memory * (2 if image_format == "WEBP" else 1),
        file_size=MAX_BYTES,
        may_start_threads=image_format == "HEIF",
    )


@dataclass(frozen=True, slots=True)
class Renderer:
    """`on_wait` is called while the child process is waited for; what it raises ends the child."""

    children: ChildProcesses = CHILDREN
    on_wait: Callable[[], None] = lambda: None

    @classmethod
    def within(cls, seconds: float) -> Self:
        """Return a renderer that raises OutOfTime when so much time has passed."""
        deadline = time.monotonic() + seconds

        def check() -> None:
            if time.monotonic() >= deadline:
                raise OutOfTime

        return cls(on_wait=check)

    def render(self, source: BinaryIO, image_format: str, outputs: Sequence[BinaryIO]) -> Rendered:
        """Convert the picture. The files are written to `outputs`, one for each of RENDITIONS.

        Raises RenditionsFailed, ChildUnavailable, and what `on_wait` raises.
        """
        answer = self._run([source, *outputs], image_format)
        if "error" in answer:
            raise RenditionsFailed(REASONS[answer["error"]])
        made = zip(RENDITIONS, outputs, answer["renditions"], strict=True)
        files = {name: output for (name, _, _), output, size in made if size}
        return Rendered(answer["width"], answer["height"], answer["placeholder"], files)

    def _run(self, files: Sequence[BinaryIO], image_format: str) -> "Renditions | NotRendered":
        kinds = [[width, kind] for _, width, kind in RENDITIONS]
        limits = limits_for(image_format)
        arguments = [image_format, settings.IMAGE_MAX_PIXELS, kinds]
        try:
            with self.children.reserve(self.on_wait) as child:
                return child.run(RENDER, files, arguments, limits=limits, on_wait=self.on_wait)
        except TooMuchTime as error:
            raise RenditionsFailed(_("It takes too much time to convert the picture.")) from error
        except TooMuchMemory as error:
            raise RenditionsFailed(_("It takes too much memory to convert the picture.")) from error
        except ChildFailed as error:
            raise RenditionsFailed(f"The picture cannot be converted: {error}") from error
        except FunctionRaised as error:  # a mistake, which must not undo the completed upload
            logger.error("rendering_raised", exc_info=error)
            last_line = str(error).strip().rpartition("\n")[2]
            raise RenditionsFailed(f"The picture cannot be converted: {last_line}") from error
