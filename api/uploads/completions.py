"""Completes several tickets in one request, so that a failure of one does not spoil the others."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

import structlog
from django.utils.translation import gettext

from api.errors import Problem, problem_of
from api.exceptions import Refused
from api.uploads import lifecycle
from api.uploads.models import Upload
from storage import budget

#: After these seconds no further ticket is completed, and no other caller is waited for.
SECONDS = 10.0

logger = structlog.get_logger("api.uploads")


@dataclass(frozen=True, slots=True)
class Completion:
    """The completed upload, or why it is not completed. `id` is the one that was asked for."""

    id: UUID
    upload: Upload | None = None
    problem: Problem | None = None


def complete_all(ids: Iterable[UUID], get_upload: Callable[[UUID], Upload]) -> list[Completion]:
    """Complete these tickets as `lifecycle.complete` does, in this order. A repeated id is completed once.

    `get_upload` returns the ticket, or raises what says why the caller may not complete it. What cannot be
    reached within SECONDS, or within the time that the request has for the storage, has the problem
    `not_ready`.
    """
    ends_at = time.monotonic() + SECONDS
    completions: dict[UUID, Completion] = {}
    ids = list(ids)
    for upload_id in ids:
        if upload_id not in completions:
            completions[upload_id] = _completion(upload_id, get_upload, ends_at)
    return [completions[upload_id] for upload_id in ids]


def _completion(upload_id: UUID, get_upload: Callable[[UUID], Upload], ends_at: float) -> Completion:
    try:
        return Completion(upload_id, upload=_complete(get_upload(upload_id), ends_at))
    except Exception as error:
        return Completion(upload_id, problem=problem_of(error) or _internal(upload_id, error))


def _complete(upload: Upload, ends_at: float) -> Upload:
    seconds_left = ends_at - time.monotonic()
    if seconds_left <= 0 or budget.is_used_up():
        raise Refused("not_ready", gettext("There was no time left for this file: try again."))
    return lifecycle.complete(upload, wait_seconds=seconds_left)


def _internal(upload_id: UUID, error: Exception) -> Problem:
    """Log an unexpected exception as for a request of its own: only the response to the others goes on."""
    logger.error("unhandled_exception", upload=str(upload_id), exc_info=error)
    return Problem("internal")
