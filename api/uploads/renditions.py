"""Makes the renditions of pictures, which are published in place of what was uploaded.

They are made in a child process, stored under new keys, and then recorded on the row by compare-and-swap. A
row in which `renditions_due_at` is set still needs them: the sweep makes them if the request could not.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO
from uuid import UUID

import structlog
from django.core.exceptions import ObjectDoesNotExist
from django.db import connections, models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_noop

from api.pictures.models import CLAIMED_FOR, PictureModel, picture_models
from api.uploads import removals
from api.uploads.attachments import RowChanged
from api.uploads.child_process import ChildProcesses, ChildUnavailable
from api.uploads.models import Removal
from api.uploads.renderer import RENDITIONS, OutOfTime, Rendered, Renderer, RenditionsFailed
from api.uploads.verification import MODULES, PILLOW_FORMATS, temporary_file
from storage.base import PRIVATE_MAX_AGE, PUBLIC_MAX_AGE, SignedStorage
from storage.errors import (
    ObjectMissing,
    ObjectRefused,
    StorageError,
    StorageUnavailable,
    translate_os_errors,
)
from storage.fields import StoredFile, stored_file
from storage.files import read_chunks

IMMUTABLE = f"max-age={PUBLIC_MAX_AGE}, immutable"  # a rendition never changes under its key
SECONDS_IN_REQUEST = 3.0  # after which the request leaves the renditions to the sweep
MAX_ATTEMPTS = 10  # after which only `manage.py make_renditions` tries again

logger = structlog.get_logger("api.renditions")


def make(row: PictureModel, *, copy: BinaryIO | None = None, renderer: Renderer | None = None) -> bool:
    """Make and record the renditions of the picture of this row; earlier ones are deleted.

    `copy`: a file with the content of the picture, if the caller has one. Returns False if the row has no
    picture, or has changed meanwhile. Raises RenditionsFailed, ChildUnavailable, StorageError, and what the
    renderer's `on_wait` raises.
    """
    source = row.source
    if not source.key:
        return False
    with ExitStack() as files:
        if copy is None:
            copy = files.enter_context(_downloaded(source))
        outputs = [files.enter_context(temporary_file()) for _ in RENDITIONS]
        rendered = (renderer or Renderer()).render(copy, _format_of(source), outputs)
        return _store_and_record(row, source, rendered)


def make_at_once(row: models.Model, key: str, copy: BinaryIO) -> None:
    """Make the renditions of a picture that was just recorded, unless that takes over SECONDS_IN_REQUEST.

    `copy` has the content of the picture, whose key is `key`. Rows of other models are ignored, and so are
    rows that have another picture by now. No error of the storage or of the picture is raised: the sweep
    tries again.
    """
    if not isinstance(row, PictureModel):
        return
    recorded = type(row)._base_manager.filter(**{"pk": row.pk, row.picture_field: key}).first()
    if recorded:
        with suppress(StorageError):
            _make_or_postpone(recorded, copy=copy, renderer=Renderer.within(SECONDS_IN_REQUEST))


def make_due(row: PictureModel) -> bool:
    """Make the renditions of a row that are due. Returns False if that failed, or another process does it.

    Raises StorageError.
    """
    now = timezone.now()
    due = type(row)._base_manager.filter(pk=row.pk, renditions_due_at=row.renditions_due_at)
    if not due.update(renditions_due_at=now + CLAIMED_FOR):
        return False
    claimed = type(row)._base_manager.filter(pk=row.pk).first()  # it may be deleted since
    return claimed is not None and _make_or_postpone(claimed)


def _make_or_postpone(row: PictureModel, **options: Any) -> bool:
    """Make the renditions, or record why that failed and when to try again. Raises StorageError."""
    try:
        return make(row, **options)
    except (ChildUnavailable, OutOfTime) as error:
        _postpone(row, timezone.now())
        logger.info("renditions_postponed", picture=str(row.pk), reason=type(error).__name__)
    except ObjectRefused as error:
        _count_failure(row, f"The storage refused a rendition: {error}"[:1000])
        raise
    except StorageError as error:
        _postpone(row, timezone.now() + removals.back_off(0), f"{type(error).__name__}: {error}"[:1000])
        logger.warning("renditions_not_stored", picture=str(row.pk), error=str(error))
        raise
    except RenditionsFailed as error:
        _count_failure(row, str(error))
        logger.warning("renditions_failed", picture=str(row.pk), error=str(error))
    return False


# --- Many pictures ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PictureReference:
    """A row with a picture, which is read when it is its turn."""

    model: type[PictureModel]
    pk: UUID

    def __str__(self) -> str:
        return f"{self.model._meta.label} {self.pk}"

    def read(self) -> PictureModel | None:
        return self.model._base_manager.filter(pk=self.pk).first()


def find(*, only_missing: bool) -> list[PictureReference]:
    """Return all rows with a picture, or those without renditions."""
    return [
        PictureReference(model, pk)
        for model in picture_models()
        for pk in _with_picture(model, only_missing).order_by("pk").values_list("pk", flat=True)
    ]


def _with_picture(model: type[PictureModel], only_missing: bool) -> "models.QuerySet[Any]":
    without = Q(**{model.picture_field: ""}, published_original="")
    rows = model._base_manager.exclude(without)
    return rows.filter(jpeg="") if only_missing else rows


def make_all(pictures: Sequence[PictureReference], *, jobs: int) -> Iterator[tuple[PictureReference, str]]:
    """Make the renditions, `jobs` pictures at once. Yields each picture, and why it failed or ""."""
    children = ChildProcesses(at_once=jobs, modules=MODULES)
    renderer = Renderer(children=children)
    try:
        with ThreadPoolExecutor(jobs, thread_name_prefix="renditions") as pool:
            yield from zip(pictures, pool.map(lambda each: _make_one(each, renderer), pictures), strict=True)
    finally:
        children.close()


def _make_one(reference: PictureReference, renderer: Renderer) -> str:
    """Returns the error, "" if there is none: also for a row that was deleted or changed meanwhile."""
    try:
        if row := reference.read():
            return _error_of(row, renderer)
    except (ChildUnavailable, StorageError) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        connections.close_all()  # those of this thread
    return ""


def _error_of(row: PictureModel, renderer: Renderer) -> str:
    try:
        make(row, renderer=renderer)
    except RenditionsFailed as error:
        _count_failure(row, str(error))
        return str(error)
    return ""


# --- The uploaded picture -----------------------------------------------------------------------------


def _format_of(source: StoredFile) -> str:
    """Return the name of the picture's format in Pillow. Raises RenditionsFailed, StorageError."""
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
            raise RenditionsFailed(gettext_noop("The uploaded picture is missing in storage.")) from error
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
                row.before_publishing()
                if not row.picture.swap(original, as_read=as_read, **changes):
                    raise RowChanged
                removals.confirm(*new)
                removals.schedule(freed, row.pk)
    except (RowChanged, ObjectDoesNotExist):  # the entry of the picture may be deleted, too
        return False
    removals.carry_out(Removal.objects.for_resource(row.pk))
    return True


def _store(file: StoredFile, content: BinaryIO, reservations: ExitStack) -> str:
    """Store a rendition under a new key. Returns the key.

    After a failure it is tried once more, under another key: the server may only have closed a connection.
    """
    try:
        return _put(file, content, reservations)
    except StorageUnavailable:
        return _put(file, content, reservations)


def _put(file: StoredFile, content: BinaryIO, reservations: ExitStack) -> str:
    [content_type] = file.field.accepts
    options = {"content_type": content_type, "cache_control": _cache_control(file)}
    key = file.new_key(content_type, "")
    with ExitStack() as reservation:
        reservation.enter_context(removals.reserve(file.storage, key, file.instance.pk, CLAIMED_FOR))
        content.seek(0)
        file.storage.put_at_new_key(key, read_chunks(content), **options)
        reservations.enter_context(reservation.pop_all())
    return key


def _copy_to_originals(row: PictureModel, source: StoredFile, reservations: ExitStack) -> str:
    key = row.picture.new_key(_content_type(source), "")
    reservations.enter_context(removals.reserve(row.picture.storage, key, row.pk, CLAIMED_FOR))
    source.storage.copy(source.key, row.picture.storage, key)
    return key


def _cache_control(file: StoredFile) -> str:
    return IMMUTABLE if file.storage.public else f"max-age={PRIVATE_MAX_AGE}"


# --- Failures -----------------------------------------------------------------------------------------


def _postpone(row: PictureModel, due_at: datetime, error: str = "") -> None:
    _of_same_picture(row).update(renditions_due_at=due_at, rendition_error=error)


def _count_failure(row: PictureModel, error: str) -> None:
    """Record the failure. The time until the next attempt is doubled, and there are MAX_ATTEMPTS."""
    attempts = row.rendition_attempts + 1
    due_at = timezone.now() + removals.back_off(row.rendition_attempts)
    _of_same_picture(row).update(
        rendition_attempts=attempts,
        rendition_error=error,
        renditions_due_at=due_at if attempts < MAX_ATTEMPTS else None,
    )


def _of_same_picture(row: PictureModel) -> "models.QuerySet[Any]":
    """Return the row, unless it has another picture by now."""
    return type(row)._base_manager.filter(pk=row.pk, **row.picture.as_read())
