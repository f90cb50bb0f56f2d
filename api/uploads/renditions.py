"""Makes the renditions of pictures, which are published in place of what was uploaded.

They are made in a child process, stored under new keys, and then recorded on the row by compare-and-swap. A
row in which `renditions_due_at` is set still needs them: the sweep makes them if the request could not.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, BinaryIO

import structlog
from django.conf import settings
from django.db import models, transaction
from django.utils import timezone

from api.pictures import rendering
from api.pictures.models import CLAIMED_FOR, PictureModel
from api.pictures.sizes import WIDTHS
from api.uploads import removals
from api.uploads.attachments import RowChanged
from api.uploads.child_process import (
    ChildFailed,
    ChildUnavailable,
    FunctionRaised,
    Limits,
    TooMuchMemory,
    TooMuchTime,
)
from api.uploads.models import Removal
from api.uploads.verification import CHILDREN, LIMITS, PILLOW_FORMATS, temporary_file
from storage.base import PRIVATE_MAX_AGE, PUBLIC_MAX_AGE, SignedStorage
from storage.errors import ObjectMissing, StorageError, translate_os_errors
from storage.fields import StoredFile, stored_file
from storage.files import read_chunks

#: In the order in which the child process writes them: field, largest width in pixels, format of Pillow.
RENDITIONS = (
    *((f"webp_{width}", width, "WEBP") for width in WIDTHS),
    ("jpeg", WIDTHS[-1], "JPEG"),
)
IMMUTABLE = f"max-age={PUBLIC_MAX_AGE}, immutable"  # a rendition never changes under its key
SECONDS_IN_REQUEST = 3.0  # after which the request leaves the renditions to the sweep
MAX_ATTEMPTS = 10  # after which only `manage.py make_renditions` tries again
BACK_OFF = (timedelta(seconds=10), timedelta(hours=1))  # between two attempts: at first, and at most

logger = structlog.get_logger("api.renditions")


class RenditionsFailed(Exception):
    """The picture cannot be converted. The message says why."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What the child process has made. `files` has the open file for each field that has a rendition."""

    width: int
    height: int
    placeholder: str
    files: dict[str, BinaryIO]


def limits() -> Limits:
    """Return the limits for making the renditions of one picture."""
    return replace(LIMITS, file_size=settings.STORAGE_FILE_SIZE_LIMIT)


def make_at_once(row: models.Model, key: str, copy: BinaryIO) -> None:
    """Make the renditions of a picture that was just recorded, unless that takes over SECONDS_IN_REQUEST.

    `copy` has the content of the picture, whose key is `key`. Rows of other models are ignored, and so are
    rows that have another picture by now. Never raises an error of the storage or of the picture: the sweep
    tries again.
    """
    if not isinstance(row, PictureModel):
        return
    pictures = type(row)._base_manager.filter(**{"pk": row.pk, row.picture_field: key})
    if recorded := pictures.first():
        in_request = replace(limits(), seconds=SECONDS_IN_REQUEST)
        with suppress(StorageError):
            try_to_make(recorded, copy, in_request, _stop_after(SECONDS_IN_REQUEST))


def make_due(row: PictureModel) -> bool:
    """Make the renditions of a row if they are due. Returns False if not, or as `try_to_make` does.

    Raises StorageError.
    """
    now = timezone.now()
    due = type(row)._base_manager.filter(pk=row.pk, renditions_due_at=row.renditions_due_at)
    if not due.update(renditions_due_at=now + CLAIMED_FOR):
        return False  # another process makes them
    row.renditions_due_at = now + CLAIMED_FOR
    return try_to_make(row)


def try_to_make(
    row: PictureModel,
    copy: BinaryIO | None = None,
    child_limits: Limits | None = None,
    on_wait: Callable[[], None] = lambda: None,
) -> bool:
    """Make the renditions. If that fails, the row says when to try again, and why.

    Returns False if they were not made. Raises StorageError, after it is recorded.
    """
    try:
        return make(row, copy, child_limits, on_wait)
    except (ChildUnavailable, OutOfTime) as error:
        _try_again(row, timezone.now())
        logger.info("renditions_postponed", picture=str(row.pk), reason=type(error).__name__)
    except StorageError as error:
        _try_again(row, timezone.now() + BACK_OFF[0], f"{type(error).__name__}: {error}")
        logger.warning("renditions_not_stored", picture=str(row.pk), error=str(error))
        raise
    except RenditionsFailed as error:
        _count_failure(row, str(error))
        logger.warning("renditions_failed", picture=str(row.pk), error=str(error))
    return False


def make(
    row: PictureModel,
    copy: BinaryIO | None = None,
    child_limits: Limits | None = None,
    on_wait: Callable[[], None] = lambda: None,
) -> bool:
    """Make and record the renditions of the picture of this row; earlier ones are removed.

    `copy`: a file with the content of the picture, if the caller has one. Returns False if the row has no
    picture, or has changed meanwhile. Raises RenditionsFailed, ChildUnavailable, StorageError, and what
    `on_wait` raises, which is called while the child process is waited for.
    """
    source = row.source
    if not source.key:
        return False
    with ExitStack() as files:
        if copy is None:
            copy = files.enter_context(_downloaded(source))
        outputs = [files.enter_context(temporary_file()) for _ in RENDITIONS]
        rendered = _render(copy, _format_of(source), outputs, child_limits or limits(), on_wait)
        return _store_and_record(row, source, rendered)


# --- Rendering ----------------------------------------------------------------------------------------


class OutOfTime(Exception):
    """The request has no more time for the renditions."""


def _stop_after(seconds: float) -> Callable[[], None]:
    deadline = time.monotonic() + seconds

    def check() -> None:
        if time.monotonic() >= deadline:
            raise OutOfTime

    return check


def _render(
    source: BinaryIO,
    image_format: str,
    outputs: Sequence[BinaryIO],
    child_limits: Limits,
    on_wait: Callable[[], None],
) -> Rendered:
    sizes = [[width, kind] for _, width, kind in RENDITIONS]
    arguments = [image_format, settings.IMAGE_MAX_PIXELS, sizes]
    try:
        with CHILDREN.reserve(on_wait) as child:
            answer: dict[str, Any] = child.run(
                rendering.render, [source, *outputs], arguments, limits=child_limits, on_wait=on_wait
            )
    except TooMuchTime as error:
        if child_limits.seconds <= SECONDS_IN_REQUEST:
            raise OutOfTime from error
        raise RenditionsFailed("It takes too much time to convert the picture.") from error
    except TooMuchMemory as error:
        raise RenditionsFailed("It takes too much memory to convert the picture.") from error
    except ChildFailed as error:
        raise RenditionsFailed(f"The picture cannot be converted: {error}") from error
    except FunctionRaised as error:  # a mistake, which must not undo the completed upload
        logger.error("rendering_raised", exc_info=error)
        last_line = str(error).strip().rpartition("\n")[2]
        raise RenditionsFailed(f"The picture cannot be converted: {last_line}") from error
    if "error" in answer:
        raise RenditionsFailed(f"The picture cannot be converted: {answer['error']}")
    made = zip(RENDITIONS, outputs, answer["renditions"], strict=True)
    files = {name: output for (name, _, _), output, size in made if size}
    return Rendered(answer["width"], answer["height"], answer["placeholder"], files)


def _format_of(source: StoredFile) -> str:
    content_type = _content_type(source)
    if content_type not in PILLOW_FORMATS:
        raise RenditionsFailed(f"{content_type} is not a type of pictures.")
    return PILLOW_FORMATS[content_type]


def _content_type(source: StoredFile) -> str:
    """Return the recorded type of the picture, or that of its object in a row without it."""
    assert isinstance(source.instance, PictureModel)
    facts = source.instance.picture.facts
    return facts["content_type"] if facts else source.storage.describe(source.key).content_type


@contextmanager
def _downloaded(source: StoredFile) -> Iterator[BinaryIO]:
    """Yield a temporary file with the content of the object. Raises RenditionsFailed if it is missing."""
    with temporary_file() as copy:
        try:
            with source.storage.read(source.key) as file:
                for chunk in read_chunks(file):
                    with translate_os_errors():  # the disk may be full
                        copy.write(chunk)
        except ObjectMissing as error:
            raise RenditionsFailed("The uploaded picture is missing in storage.") from error
        copy.flush()
        yield copy


# --- Storing ------------------------------------------------------------------------------------------


def _store_and_record(row: PictureModel, source: StoredFile, rendered: Rendered) -> bool:
    """Store the files under new keys and record these. Returns False if the row has changed meanwhile.

    A picture of an earlier version is moved to the bucket of originals. Raises StorageError.
    """
    as_read = row.picture_as_read()
    freed = [(file.storage, file.key) for file in row.rendition_files()]
    size = {"width": rendered.width, "height": rendered.height, "placeholder": rendered.placeholder}
    changes = row.without_renditions() | size
    original = row.picture.key
    try:
        with ExitStack() as reservations:
            new: list[tuple[SignedStorage, str]] = []
            if not original:
                original = _copy_to_originals(row, source, reservations)
                new.append((row.picture.storage, original))
            for name, content in rendered.files.items():
                changes[name] = _store(stored_file(row, name), content, reservations)
                new.append((stored_file(row, name).storage, changes[name]))
            with transaction.atomic():
                if not row.picture.swap(original, as_read=as_read, **changes):
                    raise RowChanged
                removals.confirm(*new)
                removals.schedule(freed, row.pk)
    except RowChanged:
        return False
    removals.carry_out(Removal.objects.for_resource(row.pk))
    return True


def _store(file: StoredFile, content: BinaryIO, reservations: ExitStack) -> str:
    """Store a rendition under a new key. Returns the key."""
    [content_type] = file.field.accepts
    key = file.new_key(content_type, "")
    reservations.enter_context(removals.reserve(file.storage, key, file.instance.pk))
    content.seek(0)
    file.storage.put(key, read_chunks(content), content_type=content_type, cache_control=_cache_control(file))
    return key


def _copy_to_originals(row: PictureModel, source: StoredFile, reservations: ExitStack) -> str:
    key = row.picture.new_key(_content_type(source), "")
    reservations.enter_context(removals.reserve(row.picture.storage, key, row.pk))
    source.storage.copy(source.key, row.picture.storage, key)
    return key


def _cache_control(file: StoredFile) -> str:
    return IMMUTABLE if file.storage.public else f"max-age={PRIVATE_MAX_AGE}"


# --- Failures -----------------------------------------------------------------------------------------


def _try_again(row: PictureModel, due_at: datetime, error: str = "") -> None:
    _of_same_picture(row).update(renditions_due_at=due_at, rendition_error=error)


def _count_failure(row: PictureModel, error: str) -> None:
    """Record the failure. The time until the next attempt is doubled, and there are MAX_ATTEMPTS."""
    first, longest = BACK_OFF
    attempts = row.rendition_attempts + 1
    due_at = timezone.now() + min(first * 2 ** (attempts - 1), longest)
    _of_same_picture(row).update(
        rendition_attempts=attempts,
        rendition_error=error,
        renditions_due_at=due_at if attempts < MAX_ATTEMPTS else None,
    )


def _of_same_picture(row: PictureModel) -> "models.QuerySet[Any]":
    """Return the row, unless it has another picture by now."""
    return type(row)._base_manager.filter(pk=row.pk, **row.picture.as_read())
