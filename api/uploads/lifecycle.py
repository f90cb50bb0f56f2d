"""Issues, completes and cancels tickets, for any caller: a view, a webhook, the sweep or another command.

No storage call is made inside a transaction. Every write to a ticket checks its claim: see
`api.uploads.claims`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.utils import timezone
from uuid_utils.compat import uuid7

from api.exceptions import Refused
from api.uploads import claims, quotas, removals, scanning, verification
from api.uploads.attachments import objects_of
from api.uploads.models import Declared, Removal, Upload
from api.uploads.scanning import Hold, Reject, ScannedFile
from api.uploads.verification import VerificationFailed, VerifiedFile
from storage import keys
from storage.base import PRIVATE_MAX_AGE, PUBLIC_MAX_AGE, SignedUpload, incoming_store
from storage.errors import ObjectExists, ObjectMissing, StorageError
from storage.fields import FileFacts, StoredFile, stored_file

State = Upload.State

WAIT_SECONDS = 10.0  # for which a caller waits while another caller has the claim
UNCLAIMED = (State.PENDING, State.EXPIRED)  # the states in which a caller may complete a ticket
HELD_FOLDER = "held"  # in each bucket: the row-level-security policies let no member read it

logger = structlog.get_logger("api.uploads")


class StaleResource(Exception):
    """The resource has changed since the final key was chosen: choose another key."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """An upload, and what the client needs to send the file. The token is not stored."""

    upload: Upload
    signed: SignedUpload


# --- Issue ------------------------------------------------------------------------------------------


def issue(
    file: StoredFile, owner: UUID, declared: Declared, *, on_create: Callable[[UUID], None] | None = None
) -> Ticket:
    """Issue a ticket to replace this file. `declared` must be valid by the rules of its field.

    Raises Refused if the owner of the file has reached a quota, and StorageUnavailable. The file that it
    replaces counts until the ticket is completed. `on_create` is called with the id of the ticket, in the
    transaction that creates it; if it raises, there is no ticket.
    """
    upload_id = uuid7()
    signed = _sign(file, keys.generate(str(upload_id), declared["content_type"]), declared)
    with transaction.atomic():
        quotas.lock(file)
        if on_create:
            on_create(upload_id)  # before the check: a repeated request needs no place in the quota
        quotas.check(file, declared["size"])
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


def reissue(upload_id: UUID, file: StoredFile) -> Ticket | Upload | None:
    """Return the ticket with a new URL, which works for another UPLOAD_URL_TTL.

    Returns the upload if there is nothing to send: its object has arrived, or it is not pending any more.
    Returns None if it was purged, or has ended without an object. Raises StorageUnavailable, and Refused if
    it has expired and a quota does not allow it any more.
    """
    upload = Upload.objects.filter(pk=upload_id).first()
    if upload is None or upload.state == State.EXPIRED:
        return None
    if upload.state != State.PENDING or not (signed := _sign_again(file, upload)):
        return upload
    renewed = _renew(file, upload, signed.expires_at)
    upload.refresh_from_db()
    return Ticket(upload, signed) if renewed else upload


def _sign(file: StoredFile, key: str, declared: Declared) -> SignedUpload:
    """Return what a client needs to send the file to this key. Raises StorageUnavailable."""
    return incoming_store().sign_upload(
        key,
        declared["content_type"],
        seconds=settings.UPLOAD_URL_TTL,
        max_age=PUBLIC_MAX_AGE if file.storage.public else PRIVATE_MAX_AGE,
        size=declared["size"],
    )


def _sign_again(file: StoredFile, upload: Upload) -> SignedUpload | None:
    """Return None if the object has arrived: some stores sign no upload URL for an object that exists."""
    if incoming_store().exists(upload.path):
        return None
    try:
        return _sign(file, upload.path, upload.declared)
    except ObjectExists:
        return None


def _renew(file: StoredFile, upload: Upload, expires_at: datetime) -> bool:
    """Set when a pending ticket expires. One that has expired did not count, and counts again."""
    with transaction.atomic():
        quotas.lock(file)
        if upload.expires_at <= timezone.now():
            quotas.check(file, upload.declared["size"])
        pending = Upload.objects.filter(pk=upload.pk, state=State.PENDING)
        return bool(pending.update(expires_at=expires_at, updated_at=timezone.now()))


# --- Complete ---------------------------------------------------------------------------------------


def complete(upload: Upload, *, wait: bool = True) -> Upload:
    """Verify the file and record it on its resource. Returns the completed upload.

    Idempotent, also for concurrent callers: all get the same result, for which they wait unless `wait` is
    False. Raises Refused with the reason, and StorageUnavailable, after which the ticket is unchanged.
    """
    upload = _claim_and_run(upload, _verify_and_record, UNCLAIMED, WAIT_SECONDS if wait else 0)
    if upload.state != State.COMPLETED:
        remove_objects(upload)
        raise _refusal(upload)
    return upload


def cancel(upload: Upload) -> None:
    """Cancel the ticket and schedule the removal of its objects. Raises Refused if it is completed."""
    states = (*UNCLAIMED, State.HELD)
    upload = _claim_and_run(upload, partial(_settle, state=State.CANCELLED), states, WAIT_SECONDS)
    if upload.state == State.COMPLETED:
        raise Refused("ticket_completed")


def expire(upload: Upload) -> bool:
    """Mark a pending ticket as expired, and remove what it left in storage. Returns False if it is claimed.

    It can still be completed if a file arrives late, under another final key: an earlier claim may still move
    an object to the one that it chose, so those are removed.
    """
    store = upload.field().storage
    expired = Upload.objects.filter(pk=upload.pk, state=State.PENDING, expires_at__lt=timezone.now())
    with transaction.atomic(durable=True):
        locked = expired.select_for_update().first()
        if locked is None:
            return False
        chosen = [(store, key) for key in locked.chosen_keys()]
        expired.update(state=State.EXPIRED, final_key="", earlier_keys=[], updated_at=timezone.now())
        removals.schedule(chosen, upload.pk, may_appear=True)
    incoming_store().delete(upload.path)  # the parts of a resumable upload
    remove_objects(upload)
    return True


def release(upload: Upload) -> Upload:
    """Publish a file that the scanner holds. Raises as `complete` does, and Refused if it is not held."""
    Upload.objects.filter(pk=upload.pk, state=State.HELD).update(is_released=True)
    upload = _claim_and_run(upload, _verify_and_record, (*UNCLAIMED, State.HELD), WAIT_SECONDS)
    if upload.state != State.COMPLETED:
        raise _refusal(upload)
    return upload


def reject(upload: Upload, verdict: Reject) -> None:
    """Delete a file that the scanner holds. Raises Refused if the ticket is completed or cancelled."""
    action = partial(_reject, verdict=verdict, found=upload.found)
    upload = _claim_and_run(upload, action, (State.HELD,), WAIT_SECONDS)
    if upload.state != State.REJECTED:
        raise _refusal(upload)
    remove_objects(upload)


def remove_objects(upload: Upload) -> bool:
    """Delete the objects of a settled ticket. Returns False if the storage failed and the sweep does it."""
    return removals.carry_out(Removal.objects.for_resource(upload.pk))


def _claim_and_run(upload: Upload, *rest: Any) -> Upload:
    """Call `claims.claim_and_run` with the row as it is in the database.

    If it is settled, delete what was sent since, because a client can still use the token.
    """
    upload = Upload.objects.get(pk=upload.pk)
    if upload.is_settled:
        try:
            incoming_store().delete(upload.path)
        except StorageError:
            removals.schedule([(incoming_store(), upload.path)], upload.pk)
    return claims.claim_and_run(upload, *rest)


def _verify_and_record(upload: Upload) -> None:
    """Move the object to its final key, for which there is no upload token; verify it there; record it."""
    renew_lease = claims.lease_renewer(upload)
    while True:
        resource = upload.model()._base_manager.filter(pk=upload.object_id).first()
        if resource is None:
            return _settle(upload, state=State.CANCELLED, problem=Upload.RESOURCE_GONE)
        try:
            file = stored_file(resource, upload.field_name)
            _check_quota_if_late(upload, file)
            _move_to_final_key(upload, file, renew_lease)
            found = verification.verify(upload.final_key, upload.declared, upload.field(), renew_lease)
            match _scan(upload, found, renew_lease):
                case Hold():
                    return _hold(upload, file, found)
                case Reject() as verdict:
                    return _reject(upload, verdict, found.as_json())
            return _record(upload, file, found)
        except StaleResource:
            upload.refresh_from_db()  # the transaction was rolled back: the claim is valid again
        except ObjectMissing:
            # Also past `expires_at`: a slow PUT may still finish.
            return claims.write(upload, state=State.PENDING)
        except VerificationFailed as failed:
            return _settle(
                upload, state=State.REJECTED, found=failed.found.as_json(), problem=failed.as_json()
            )


def _check_quota_if_late(upload: Upload, file: StoredFile) -> None:
    """A ticket that has expired does not count for the quota any more, unless its file was held."""
    if upload.expires_at <= timezone.now() and not upload.is_released:
        with transaction.atomic(durable=True):
            quotas.lock(file)
            quotas.check_late(file)


def _scan(upload: Upload, found: VerifiedFile, renew_lease: Callable[[], None]) -> scanning.Verdict:
    """Return the scanner's verdict; Accept if the file was released."""
    if upload.is_released:
        return scanning.Accept()
    return scanning.scan(
        ScannedFile(
            upload_id=upload.pk,
            filename=upload.declared["filename"],
            content_type=found.content_type,
            size=found.size,
            sha256=found.sha256,
            storage=upload.field().storage,
            key=upload.final_key,
            on_chunk=renew_lease,
        )
    )


def _hold(upload: Upload, file: StoredFile, found: VerifiedFile) -> None:
    """Move the object to HELD_FOLDER and end the claim."""
    key, held_key = upload.final_key, keys.generate(HELD_FOLDER, found.content_type)
    claims.write(upload, earlier_keys=upload.chosen_keys(), final_key=held_key)
    file.storage.move(key, file.storage, held_key)
    claims.write(upload, state=State.HELD, found=found.as_json())


def _reject(upload: Upload, verdict: Reject, found: dict[str, Any] | None) -> None:
    _settle(upload, State.REJECTED, found=found, problem={"code": verdict.code, "detail": verdict.detail})


def _settle(upload: Upload, state: State, **values: Any) -> None:
    """End a claimed ticket without recording its file. Schedules the removal of all that was sent with it."""
    with transaction.atomic(durable=True):
        claims.write(upload, state=state, **values)
        removals.schedule(objects_of(upload), upload.pk, may_appear=True)


def _move_to_final_key(upload: Upload, file: StoredFile, renew_lease: Callable[[], None]) -> None:
    """Move the object to `final_key`, in the folder where a file of the resource belongs now.

    Each key is saved before the object is moved there, so that the object can be found after a crash.
    Raises ObjectMissing, StorageUnavailable.
    """
    if not (upload.final_key and file.belongs(upload.final_key)):
        fresh = file.new_key(upload.declared["content_type"])
        claims.write(upload, earlier_keys=upload.chosen_keys(), final_key=fresh)
    # Keys without an upload token come first: a client may have sent another object to `path` since.
    places = [
        *((file.storage, key) for key in reversed(upload.earlier_keys)),
        (incoming_store(), upload.path),
    ]
    for store, key in places:
        renew_lease()
        try:
            return store.move(key, file.storage, upload.final_key)
        except ObjectExists:
            return  # moved by an earlier call
        except ObjectMissing:
            continue
    file.storage.describe(upload.final_key)


def _record(upload: Upload, file: StoredFile, found: VerifiedFile) -> None:
    """Update the ticket and the resource in one transaction, then remove the object of the old file.

    An earlier claim may still move an object to the key that it chose, so those keys are removed too.

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
        claims.write(upload, state=State.COMPLETED, found=found.as_json())
        if not file.swap(upload.final_key, facts=facts):
            raise StaleResource
        freed = [file.key, *upload.earlier_keys]
        replaced = removals.schedule(
            [(file.storage, key) for key in freed], file.instance.pk, may_appear=bool(upload.earlier_keys)
        )
    removals.carry_out(replaced)
    logger.info("upload_completed", upload=str(upload.pk), **found.as_json())


def _refusal(upload: Upload) -> Refused:
    """Return the error for a ticket that is not completed."""
    match upload.shown_state:
        case State.PENDING:
            return Refused("object_missing")
        case State.EXPIRED:
            return Refused("ticket_expired")
        case State.HELD:
            return Refused("held")
    problem = upload.shown_problem or {"code": "ticket_cancelled", "detail": ""}
    return Refused(problem["code"], problem["detail"])
