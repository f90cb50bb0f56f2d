"""The ticket's life: issue → the client sends → complete, or give up.

Correctness rests on the database: a state changes by compare-and-swap, and every write after a
claim asks for the claim. No storage call is made inside a transaction.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import structlog
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import models, transaction
from django.utils import timezone
from uuid_utils.compat import uuid7

from api.refusals import Refused
from api.uploads import verification
from api.uploads.models import Upload
from api.uploads.objects import delete_objects, discard
from storage import keys
from storage.base import (
    ARRIVALS,
    FOREVER,
    ObjectExists,
    ObjectMissing,
    SignedUpload,
    store_of,
)
from storage.fields import UploadField

State = Upload.State

PATIENCE = 10.0  # seconds that a second caller waits for the answer of the first
LEASE = timedelta(seconds=8)  # below PATIENCE: whoever asks after a crash gets the answer in the same call
RENEWAL = 2.0  # seconds after which a verifier that still reads renews its lease
LOOKS = (0.05, 0.5)  # seconds between two looks at the row, at first and at the most

logger = structlog.get_logger("api.uploads")


class LostClaim(Exception):
    """The lease ran out and another took over: what that one finds is the answer."""


class Outdated(Exception):
    """The resource changed since the place of its file was chosen: choose again."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A new upload, with what the client needs to send it. Only this once: no token is kept."""

    upload: Upload
    signed: SignedUpload


# --- Issue ------------------------------------------------------------------------------------------


def issue(
    resource: models.Model,
    field_name: str,
    owner: UUID,
    *,
    filename: str,
    content_type: str,
    size: int,
    sha256: str | None = None,
) -> Ticket:
    """A ticket for one file of this resource. The announcement has been checked against the field."""
    field = resource._meta.get_field(field_name)
    assert isinstance(field, UploadField)
    upload_id = uuid7()
    signed = store_of(ARRIVALS).sign_upload(
        keys.fresh(str(upload_id), content_type),
        content_type,
        seconds=settings.UPLOAD_URL_TTL,
        max_age=FOREVER if field.storage.public else 3600,
    )
    upload = Upload.objects.create(
        id=upload_id,
        owner=owner,
        content_type=ContentType.objects.get_for_model(resource),
        object_id=resource.pk,
        field_name=field_name,
        declared={"filename": filename, "content_type": content_type, "size": size, "sha256": sha256},
        path=signed.key,
        expires_at=signed.expires_at,
    )
    return Ticket(upload, signed)


# --- Complete ---------------------------------------------------------------------------------------


def complete(upload: Upload, *, patience: float = PATIENCE) -> Upload:
    """The completed upload: the same answer however often, and from however many sides, it is asked for.

    Raises Refused with the reason, and StorageUnavailable, after which the ticket is as it was.
    """
    upload = _settle(upload, _judge, patience)
    if upload.state != State.COMPLETED:
        raise _refusal(upload)
    return upload


def give_up(upload: Upload, *, patience: float = PATIENCE) -> None:
    """Cancel the ticket and delete what was sent. Raises Refused once it is completed."""
    upload = _settle(upload, _cancel, patience)
    if upload.state == State.COMPLETED:
        raise Refused("ticket_completed")


def _settle(upload: Upload, act: Callable[[Upload], None], patience: float) -> Upload:
    """The row as it is settled: by `act`, under a claim, or by whoever holds the claim already."""
    deadline, pause = time.monotonic() + patience, LOOKS[0]
    while True:
        upload = Upload.objects.get(pk=upload.pk)
        if upload.is_settled:
            if upload.state != State.COMPLETED:  # the token outlives the ticket, and may fill the path again
                discard(store_of(ARRIVALS), upload.path)
            return upload
        try:
            if claimed := _claim(upload):
                _act(claimed, act)
                return claimed
        except LostClaim:
            continue
        if time.monotonic() >= deadline:
            raise Refused("verification_in_progress", retry_after=1)
        time.sleep(pause)
        pause = min(pause * 2, LOOKS[1])


def _act(upload: Upload, act: Callable[[Upload], None]) -> None:
    """Do what was claimed for; whatever goes wrong, the claim does not stay behind."""
    try:
        act(upload)
    except LostClaim:
        raise
    except BaseException:
        _release(upload)
        raise


def _claim(upload: Upload) -> Upload | None:
    """The row as only this caller may now write it, for as long as LEASE; None if another has it."""
    now, claim_id = timezone.now(), uuid4()
    this = Upload.objects.filter(pk=upload.pk)
    claim = {
        "state": State.VERIFYING,
        "claim_id": claim_id,
        "lease_expires_at": now + LEASE,
        "updated_at": now,
    }
    taken_over = False
    if not this.pending().update(**claim):
        taken_over = bool(this.abandoned(now).update(**claim))
        if not taken_over:
            return None
    # Read again: an earlier claimant may have left its mark between our first look and our claim.
    claimed = this.filter(claim_id=claim_id).first()
    if claimed and taken_over:
        # Whoever had it may only be slow, and still delete or fill the key that it knows: take another.
        _write(claimed, earlier_keys=claimed.chosen_keys(), final_key="")
    return claimed


def _write(upload: Upload, **values: Any) -> None:
    """Change the claimed row, in the database and in hand; a new state ends the claim. Raises LostClaim."""
    values["updated_at"] = timezone.now()
    if "state" in values:
        values |= {"claim_id": None, "lease_expires_at": None}
    if not Upload.objects.claimed_as(upload).update(**values):
        raise LostClaim
    for name, value in values.items():
        setattr(upload, name, value)


def _release(upload: Upload) -> None:
    """Hand the ticket back as it was, keys included: the object may have been moved already."""
    try:
        _write(upload, state=State.PENDING)
    except LostClaim:
        pass


def _renewal(upload: Upload) -> Callable[[], None]:
    """To be called while reading goes on; it raises LostClaim when another has taken over."""
    renewed = time.monotonic()

    def renew() -> None:
        nonlocal renewed
        if time.monotonic() - renewed > RENEWAL:
            _write(upload, lease_expires_at=timezone.now() + LEASE)
            renewed = time.monotonic()

    return renew


def _judge(upload: Upload) -> None:
    """Move the object to where nobody holds a token for it, look at it there, and record it."""
    while True:
        resource = upload.model()._base_manager.filter(pk=upload.object_id).first()
        if resource is None:
            delete_objects(upload)
            return _write(upload, state=State.CANCELLED, problem=Upload.RESOURCE_GONE)
        try:
            _bring(upload, resource)
            found = verification.examine(
                upload.field().storage, upload.final_key, upload.declared, upload.field(), _renewal(upload)
            )
            return _record(upload, resource, found)
        except Outdated:
            upload.refresh_from_db()  # the row was rolled back, and with it the end of our claim
        except ObjectMissing:
            return _write(upload, state=State.PENDING)  # also when it is late: a slow PUT may still end
        except verification.Untrue as untrue:
            upload.field().storage.delete(upload.final_key)
            findings = {"found": untrue.found.as_json(), "problem": untrue.as_json()}
            return _write(upload, state=State.REJECTED, **findings)


def _cancel(upload: Upload) -> None:
    delete_objects(upload)
    _write(upload, state=State.CANCELLED)


def _bring(upload: Upload, resource: models.Model) -> None:
    """The object stands at `final_key`, in the folder where files of this resource belong now.

    Raises ObjectMissing. Every key is written down before anything is moved there, so that whoever
    comes after a crash finds the object.
    """
    field = upload.field()
    if not (upload.final_key and field.belongs(upload.final_key, resource)):
        fresh = field.fresh_key(resource, upload.declared["content_type"])
        _write(upload, earlier_keys=upload.chosen_keys(), final_key=fresh)
    # Keys that nobody holds a token for come first: what lies at `path` may have been sent again.
    places = [
        *((field.storage, key) for key in reversed(upload.earlier_keys)),
        (store_of(ARRIVALS), upload.path),
    ]
    for store, key in places:
        try:
            return store.move(key, field.storage, upload.final_key)
        except ObjectExists:
            return  # moved before
        except ObjectMissing:
            continue
    field.storage.describe(upload.final_key)


def _record(upload: Upload, resource: models.Model, found: verification.Found) -> None:
    """Ticket and resource in one transaction; then the file that was there before goes."""
    field, now = upload.field(), timezone.now()
    facts = {"name": upload.declared["filename"], **found.as_json(), "uploaded_at": now}
    with transaction.atomic(durable=True):
        _write(upload, state=State.COMPLETED, found=found.as_json())
        unchanged = type(resource)._base_manager.filter(pk=resource.pk, **field.placement(resource))
        recorded = {field.name: upload.final_key, field.facts_field: facts}
        if not unchanged.update(**recorded, updated_at=now):
            raise Outdated
    discard(field.storage, field.key_of(resource))
    logger.info("upload_completed", upload=str(upload.pk), **found.as_json())


def _refusal(upload: Upload) -> Refused:
    """Why a ticket that is not completed is not."""
    match upload.shown_state:
        case State.PENDING:
            return Refused("object_missing")
        case State.EXPIRED:
            return Refused("ticket_expired")
    problem = upload.shown_problem or {"code": "ticket_cancelled", "detail": ""}
    return Refused(problem["code"], problem["detail"])
