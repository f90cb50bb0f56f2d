"""The life of a ticket: it is issued, the client sends the file, and it is completed or cancelled.

Correctness rests on the database: a state changes by compare-and-swap, and every write after a claim checks
that the claim still holds. No storage call is made inside a transaction.
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
from django.db import transaction
from django.utils import timezone
from uuid_utils.compat import uuid7

from api.exceptions import Refused
from api.uploads import verification
from api.uploads.attachments import delete_objects, discard
from api.uploads.models import Declared, Upload
from api.uploads.verification import VerificationFailed, VerifiedFile
from storage import keys
from storage.base import PRIVATE_MAX_AGE, PUBLIC_MAX_AGE, SignedUpload, incoming_store
from storage.errors import ObjectExists, ObjectMissing
from storage.fields import FileFacts, StoredFile, stored_file

State = Upload.State

WAIT_SECONDS = 10.0  # for which a second caller waits for the answer of the first
LEASE = timedelta(seconds=8)  # below WAIT_SECONDS: after a crash, one call takes over and gets the answer
RENEWAL = 2.0  # seconds after which a verifier that is still reading renews its lease
POLL_INTERVALS = (0.05, 0.5)  # seconds between two looks at the row, at first and at the most

logger = structlog.get_logger("api.uploads")


class ClaimLost(Exception):
    """The lease ran out and another caller took over: its result is the answer."""


class StaleResource(Exception):
    """The resource has changed since the final key was chosen: choose again."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A new upload, and what the client needs to send the file. The token is kept nowhere."""

    upload: Upload
    signed: SignedUpload


# --- Issue ------------------------------------------------------------------------------------------


def issue(file: StoredFile, owner: UUID, declared: Declared) -> Ticket:
    """A ticket to replace this file. `declared` has been checked against the rules of its field."""
    upload_id = uuid7()
    signed = incoming_store().sign_upload(
        keys.generate(str(upload_id), declared["content_type"]),
        declared["content_type"],
        seconds=settings.UPLOAD_URL_TTL,
        max_age=PUBLIC_MAX_AGE if file.storage.public else PRIVATE_MAX_AGE,
    )
    upload = Upload.objects.create(
        id=upload_id,
        owner=owner,
        content_type=ContentType.objects.get_for_model(file.instance),
        object_id=file.instance.pk,
        field_name=file.field.name,
        declared=declared,
        path=signed.key,
        expires_at=signed.expires_at,
    )
    return Ticket(upload, signed)


# --- Complete ---------------------------------------------------------------------------------------


def complete(upload: Upload) -> Upload:
    """The completed upload: the same answer however often, and by however many callers, it is asked for.

    Raises Refused with the reason, and StorageUnavailable, after which the ticket is as it was.
    """
    upload = _settle(upload, _verify_and_record)
    if upload.state != State.COMPLETED:
        raise _refusal(upload)
    return upload


def cancel(upload: Upload) -> None:
    """Cancel the ticket and delete what was sent. Raises Refused once it is completed."""
    upload = _settle(upload, _delete_and_cancel)
    if upload.state == State.COMPLETED:
        raise Refused("ticket_completed")


def _settle(upload: Upload, act: Callable[[Upload], None]) -> Upload:
    """The row as it is settled: by `act`, under a claim, or by whoever holds the claim already."""
    deadline, pause = time.monotonic() + WAIT_SECONDS, POLL_INTERVALS[0]
    while True:
        upload = Upload.objects.get(pk=upload.pk)
        if upload.is_settled:
            if upload.state != State.COMPLETED:  # the token outlives the ticket, and may fill the path again
                discard(incoming_store(), upload.path)
            return upload
        try:
            if claimed := _claim(upload):
                _act(claimed, act)
                return claimed
        except ClaimLost:
            continue
        if time.monotonic() >= deadline:
            raise Refused("verification_in_progress", retry_after=1)
        time.sleep(pause)
        pause = min(pause * 2, POLL_INTERVALS[1])


def _act(upload: Upload, act: Callable[[Upload], None]) -> None:
    """Do what was claimed for; whatever goes wrong, the claim does not stay behind."""
    try:
        act(upload)
    except ClaimLost:
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
        raise ClaimLost
    for name, value in values.items():
        setattr(upload, name, value)


def _release(upload: Upload) -> None:
    """Hand the ticket back as it was, keys included: the object may have been moved already."""
    try:
        _write(upload, state=State.PENDING)
    except ClaimLost:
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


def _verify_and_record(upload: Upload) -> None:
    """Move the object to where nobody holds a token for it, look at it there, and record it."""
    while True:
        resource = upload.model()._base_manager.filter(pk=upload.object_id).first()
        if resource is None:
            delete_objects(upload)
            return _write(upload, state=State.CANCELLED, problem=Upload.RESOURCE_GONE)
        try:
            file = stored_file(resource, upload.field_name)
            _move_to_final_key(upload, file)
            found = verification.verify(upload.final_key, upload.declared, upload.field(), _renewal(upload))
            return _record(upload, file, found)
        except StaleResource:
            upload.refresh_from_db()  # the row was rolled back, and with it the end of our claim
        except ObjectMissing:
            return _write(upload, state=State.PENDING)  # also when it is late: a slow PUT may still end
        except VerificationFailed as failed:
            upload.field().storage.delete(upload.final_key)
            findings = {"found": failed.found.as_json(), "problem": failed.as_json()}
            return _write(upload, state=State.REJECTED, **findings)


def _delete_and_cancel(upload: Upload) -> None:
    delete_objects(upload)
    _write(upload, state=State.CANCELLED)


def _move_to_final_key(upload: Upload, file: StoredFile) -> None:
    """Move the object to `final_key`, in the folder where a file of the resource belongs now.

    Every key is written down before anything is moved there, so that whoever comes after a crash finds the
    object. Raises ObjectMissing.
    """
    if not (upload.final_key and file.belongs(upload.final_key)):
        fresh = file.new_key(upload.declared["content_type"])
        _write(upload, earlier_keys=upload.chosen_keys(), final_key=fresh)
    # Keys that nobody holds a token for come first: the object at `path` may have been sent again.
    places = [
        *((file.storage, key) for key in reversed(upload.earlier_keys)),
        (incoming_store(), upload.path),
    ]
    for store, key in places:
        try:
            return store.move(key, file.storage, upload.final_key)
        except ObjectExists:
            return  # moved before
        except ObjectMissing:
            continue
    file.storage.describe(upload.final_key)


def _record(upload: Upload, file: StoredFile, found: VerifiedFile) -> None:
    """Change ticket and resource in one transaction, then delete the file that was there before."""
    facts: FileFacts = {
        "name": upload.declared["filename"],
        "content_type": found.content_type,
        "size": found.size,
        "sha256": found.sha256,
        "uploaded_at": timezone.now(),
    }
    with transaction.atomic(durable=True):
        _write(upload, state=State.COMPLETED, found=found.as_json())
        if not file.swap(upload.final_key, facts=facts):
            raise StaleResource
    discard(file.storage, file.key)
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
