"""Issues, completes and cancels tickets, for any caller: a view, a command or a webhook.

Processes are synchronised by the database alone. A state changes by compare-and-swap, and every write after
a claim checks that the claim is still valid. No storage call is made inside a transaction.
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

WAIT_SECONDS = 10.0  # for which a caller waits while another caller has the claim
LEASE = timedelta(seconds=8)  # below WAIT_SECONDS: after a crash, a waiting caller can take over in time
RENEWAL_SECONDS = 2.0  # after which the lease is renewed while the file is read
POLL_INTERVALS = (0.05, 0.5)  # seconds between two reads of the row, at first and at most

logger = structlog.get_logger("api.uploads")


class ClaimLost(Exception):
    """The lease expired and another caller took the claim; its result counts."""


class StaleResource(Exception):
    """The resource has changed since the final key was chosen: choose another key."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A new upload, and what the client needs to send the file. The token is not stored."""

    upload: Upload
    signed: SignedUpload


# --- Issue ------------------------------------------------------------------------------------------


def issue(file: StoredFile, owner: UUID, declared: Declared) -> Ticket:
    """Issue a ticket to replace this file. `declared` must be valid by the rules of its field."""
    upload_id = uuid7()
    signed = incoming_store().sign_upload(
        keys.generate(str(upload_id), declared["content_type"]),
        declared["content_type"],
        seconds=settings.UPLOAD_URL_TTL,
        max_age=PUBLIC_MAX_AGE if file.storage.public else PRIVATE_MAX_AGE,
        size=declared["size"],
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
    """Verify the file and record it on its resource. Returns the completed upload.

    Idempotent, also for concurrent callers: all get the same result. Raises Refused with the reason, and
    StorageUnavailable, after which the ticket is unchanged.
    """
    upload = _claim_and_run(upload, _verify_and_record)
    if upload.state != State.COMPLETED:
        raise _refusal(upload)
    return upload


def cancel(upload: Upload) -> None:
    """Cancel the ticket and delete its objects. Raises Refused if it is completed, StorageUnavailable."""
    upload = _claim_and_run(upload, _delete_objects_and_cancel)
    if upload.state == State.COMPLETED:
        raise Refused("ticket_completed")


def _claim_and_run(upload: Upload, action: Callable[[Upload], None]) -> Upload:
    """Claim the ticket and run the action, unless it is settled. Returns the row as it is then.

    While another caller has the claim, wait for its result. Raises Refused after WAIT_SECONDS.
    """
    deadline, pause = time.monotonic() + WAIT_SECONDS, POLL_INTERVALS[0]
    while True:
        upload = Upload.objects.get(pk=upload.pk)
        if upload.is_settled:
            if upload.state != State.COMPLETED:  # a client can still use the token and send the file again
                discard(incoming_store(), upload.path)
            return upload
        try:
            if claimed := _claim(upload):
                _run_or_release(claimed, action)
                return claimed
        except ClaimLost:
            continue
        if time.monotonic() >= deadline:
            raise Refused("verification_in_progress", retry_after=1)
        time.sleep(pause)
        pause = min(pause * 2, POLL_INTERVALS[1])


def _run_or_release(upload: Upload, action: Callable[[Upload], None]) -> None:
    """Run the action on a claimed ticket. Release the claim if it raises."""
    try:
        action(upload)
    except ClaimLost:
        raise
    except BaseException:
        _release(upload)
        raise


def _claim(upload: Upload) -> Upload | None:
    """Claim the ticket for the time of LEASE. Returns the claimed row, None if another caller has it."""
    now, claim_id = timezone.now(), uuid4()
    ticket = Upload.objects.filter(pk=upload.pk)
    claim = {
        "state": State.VERIFYING,
        "claim_id": claim_id,
        "lease_expires_at": now + LEASE,
        "updated_at": now,
    }
    taken_over = False
    if not ticket.pending().update(**claim):
        taken_over = bool(ticket.with_expired_lease(now).update(**claim))
        if not taken_over:
            return None
    # Read the row again: an earlier caller may have changed it before this claim.
    claimed = ticket.filter(claim_id=claim_id).first()
    if claimed and taken_over:
        # The earlier caller may still run, and move an object to its key or delete it: use another key.
        _write(claimed, earlier_keys=claimed.chosen_keys(), final_key="")
    return claimed


def _write(upload: Upload, **values: Any) -> None:
    """Change the claimed row in the database and in memory. A new state ends the claim. Raises ClaimLost."""
    values["updated_at"] = timezone.now()
    if "state" in values:
        values |= {"claim_id": None, "lease_expires_at": None}
    if not Upload.objects.with_claim_of(upload).update(**values):
        raise ClaimLost
    for name, value in values.items():
        setattr(upload, name, value)


def _release(upload: Upload) -> None:
    """Set the ticket to pending. It keeps its keys, because the object may have been moved already."""
    try:
        _write(upload, state=State.PENDING)
    except ClaimLost:
        pass


def _lease_renewer(upload: Upload) -> Callable[[], None]:
    """Return a function to call while the file is read. It renews the lease, and raises ClaimLost."""
    renewed_at = time.monotonic()

    def renew() -> None:
        nonlocal renewed_at
        if time.monotonic() - renewed_at > RENEWAL_SECONDS:
            _write(upload, lease_expires_at=timezone.now() + LEASE)
            renewed_at = time.monotonic()

    return renew


def _verify_and_record(upload: Upload) -> None:
    """Move the object to its final key, for which there is no upload token; verify it there; record it."""
    while True:
        resource = upload.model()._base_manager.filter(pk=upload.object_id).first()
        if resource is None:
            delete_objects(upload)
            return _write(upload, state=State.CANCELLED, problem=Upload.RESOURCE_GONE)
        try:
            file = stored_file(resource, upload.field_name)
            _move_to_final_key(upload, file)
            found = verification.verify(
                upload.final_key, upload.declared, upload.field(), _lease_renewer(upload)
            )
            return _record(upload, file, found)
        except StaleResource:
            upload.refresh_from_db()  # the transaction was rolled back: the claim is valid again
        except ObjectMissing:
            return _write(upload, state=State.PENDING)  # also past `expires_at`: a slow PUT may still finish
        except VerificationFailed as failed:
            upload.field().storage.delete(upload.final_key)
            findings = {"found": failed.found.as_json(), "problem": failed.as_json()}
            return _write(upload, state=State.REJECTED, **findings)


def _delete_objects_and_cancel(upload: Upload) -> None:
    delete_objects(upload)
    _write(upload, state=State.CANCELLED)


def _move_to_final_key(upload: Upload, file: StoredFile) -> None:
    """Move the object to `final_key`, in the folder where a file of the resource belongs now.

    Each key is saved before the object is moved there, so that the object can be found after a crash.
    Raises ObjectMissing, StorageUnavailable.
    """
    if not (upload.final_key and file.belongs(upload.final_key)):
        fresh = file.new_key(upload.declared["content_type"])
        _write(upload, earlier_keys=upload.chosen_keys(), final_key=fresh)
    # Keys without an upload token come first: a client may have sent another object to `path` since.
    places = [
        *((file.storage, key) for key in reversed(upload.earlier_keys)),
        (incoming_store(), upload.path),
    ]
    for store, key in places:
        try:
            return store.move(key, file.storage, upload.final_key)
        except ObjectExists:
            return  # moved by an earlier call
        except ObjectMissing:
            continue
    file.storage.describe(upload.final_key)


def _record(upload: Upload, file: StoredFile, found: VerifiedFile) -> None:
    """Update the ticket and the resource in one transaction, then delete the object of the old file.

    Raises StaleResource, ClaimLost.
    """
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
    """Return the error for a ticket that is not completed."""
    match upload.shown_state:
        case State.PENDING:
            return Refused("object_missing")
        case State.EXPIRED:
            return Refused("ticket_expired")
    problem = upload.shown_problem or {"code": "ticket_cancelled", "detail": ""}
    return Refused(problem["code"], problem["detail"])
