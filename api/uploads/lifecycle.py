"""Completes, cancels, expires and releases tickets, for any caller: a view, a webhook or a command.

No storage call is made inside a transaction. Every write to a ticket checks its claim: see
`api.uploads.claims`.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, BinaryIO

import structlog
from django.core.exceptions import ObjectDoesNotExist
from django.db import transaction
from django.utils import timezone

from api.exceptions import GalleryFull, Refused
from api.uploads import attachments, claims, quotas, removals, renditions, scanning, verification
from api.uploads.attachments import RowChanged, objects_of
from api.uploads.models import Removal, Upload
from api.uploads.scanning import Hold, Reject, ScannedFile
from api.uploads.verification import VerificationFailed, VerifiedFile
from storage import keys
from storage.base import incoming_store
from storage.errors import ObjectExists, ObjectMissing, StorageError
from storage.fields import FileFacts, StoredFile
from storage.files import read_chunks

State = Upload.State

WAIT_SECONDS = 10.0  # for which a caller waits while another caller has the claim
UNCLAIMED = (State.PENDING, State.EXPIRED)  # the states in which a caller may complete a ticket
MAX_EARLIER_KEYS = 10  # final keys of earlier claims that a ticket without a file remembers
HELD_FOLDER = "held"  # in the bucket of incoming uploads, where nobody can read it

logger = structlog.get_logger("api.uploads")


def complete(upload: Upload, *, wait: bool = True, wait_seconds: float = math.inf) -> Upload:
    """Verify the file and record it on its resource. Returns the completed upload.

    Idempotent, also for concurrent callers: all get the same result, for which they wait unless `wait` is
    False, for `wait_seconds` and WAIT_SECONDS at most. Raises Refused with the reason, and
    StorageUnavailable, after which the ticket is unchanged.
    """
    seconds = min(WAIT_SECONDS, wait_seconds) if wait else 0
    upload = _claim_and_run(upload, _verify_and_record, UNCLAIMED, seconds)
    if upload.state != State.COMPLETED:
        remove_objects(upload)
        raise upload.refusal()
    return upload


def cancel(upload: Upload, *, keep_resource: bool = False) -> None:
    """Cancel the ticket and schedule the removal of its objects. Raises Refused if it is completed.

    If the resource was created with the ticket and is still without a file, it is deleted too, unless
    `keep_resource`: see `attachments.lock_unused`.
    """
    states = (*UNCLAIMED, State.HELD)
    action = partial(_cancel, keep_resource=keep_resource)
    upload = _claim_and_run(upload, action, states, WAIT_SECONDS)
    if upload.state == State.COMPLETED:
        raise Refused("ticket_completed")


def expire(upload: Upload) -> Upload:
    """Complete a pending ticket past `expires_at` if its file has arrived, else mark it as expired.

    If a file arrives later, the ticket can still be completed, under a new final key. Returns the ticket.
    Raises Refused while another caller has the claim, and StorageUnavailable.
    """
    upload = _claim_and_run(upload, _record_or_expire, (State.PENDING,), 0)
    if upload.state == State.EXPIRED:
        incoming_store().delete_parts(upload.path)
    remove_objects(upload)
    return upload


def release(upload: Upload) -> Upload:
    """Publish a file that the scanner holds. Raises as `complete` does.

    If the storage fails, the ticket is pending, and the sweep or the next call publishes the file.
    """
    Upload.objects.filter(pk=upload.pk, state=State.HELD).update(is_released=True)
    upload.refresh_from_db()
    if upload.is_released:
        upload = _claim_and_run(upload, _verify_and_record, (*UNCLAIMED, State.HELD), WAIT_SECONDS)
    if upload.state != State.COMPLETED:
        raise upload.refusal()
    return upload


def reject(upload: Upload, verdict: Reject) -> None:
    """Delete a file that the scanner holds. Raises Refused if the ticket is not held."""
    action = partial(_reject, verdict=verdict, found=upload.found)
    upload = _claim_and_run(upload, action, (State.HELD,), WAIT_SECONDS)
    if upload.state != State.REJECTED:
        raise upload.refusal()
    remove_objects(upload)


def remove_objects(upload: Upload) -> bool:
    """Carry out the removals of this ticket. Returns False if the storage failed and the sweep does it."""
    return removals.carry_out(Removal.objects.for_resource(upload.pk))


def _claim_and_run(upload: Upload, *rest: Any) -> Upload:
    """Call `claims.claim_and_run` with the row as it is in the database.

    If it is settled, delete what was sent since, because a client can still use the token.
    """
    upload = Upload.objects.get(pk=upload.pk)
    if upload.is_settled:
        try:
            incoming_store().delete_if_exists(upload.path)
        except StorageError:
            removals.schedule([(incoming_store(), upload.path)], upload.pk)
    return claims.claim_and_run(upload, *rest)


def _verify_and_record(upload: Upload, on_missing: Callable[[Upload], None] | None = None) -> None:
    """Move the object to its final key, for which there is no upload token; verify it there; record it.

    If there is no object, call `on_missing`, which ends the claim; by default the ticket is pending again.
    """
    renew_lease, claim_id = claims.lease_renewer(upload), upload.claim_id
    while True:
        file = upload.read_file()
        if file is None:
            return _settle(upload, state=State.CANCELLED, problem=Upload.RESOURCE_GONE)
        try:
            with verification.temporary_file() as copy:
                return _verify_copy_and_record(upload, file, copy, renew_lease)
        except RowChanged:
            claims.restore(upload, claim_id)  # the transaction was rolled back
        except ObjectMissing:
            return (on_missing or _mark_pending)(upload)
        except VerificationFailed as failed:
            return _settle(
                upload, state=State.REJECTED, found=failed.found.as_json(), problem=failed.as_json()
            )
        except GalleryFull as full:
            claims.restore(upload, claim_id)
            return _settle(upload, state=State.REJECTED, problem={"code": full.code, "detail": ""})


def _verify_copy_and_record(
    upload: Upload, file: StoredFile, copy: BinaryIO, renew_lease: Callable[[], None]
) -> None:
    """Raises RowChanged, VerificationFailed, GalleryFull, Refused, StorageError, ClaimLost."""
    _check_quota_if_late(upload, file)
    move_to_final_key(upload, file, renew_lease)
    found = verification.verify(upload.final_key, upload.declared, file.field, renew_lease, copy)
    match _scan(upload, found, renew_lease):
        case Hold():
            return _hold(upload, file, found)
        case Reject() as verdict:
            return _reject(upload, verdict, found.as_json())
    if found.is_mislabelled:
        _relabel(upload, file, found.content_type, renew_lease)
    record(upload, file, found)
    renditions.make_at_once(file.instance, upload.final_key, copy)


def _check_quota_if_late(upload: Upload, file: StoredFile) -> None:
    """Raise Refused if the ticket has expired, so that it does not count, and the file is over the quota.

    Raises RowChanged if the resource was deleted meanwhile.
    """
    if upload.expires_at <= timezone.now() and not upload.is_released:
        with transaction.atomic(durable=True):
            try:
                quotas.lock(file)
            except ObjectDoesNotExist:
                raise RowChanged from None
            quotas.check_late(file)


def _record_or_expire(upload: Upload) -> None:
    """Record the file if it has arrived. If it is over the quota, the ticket is rejected."""
    try:
        _verify_and_record(upload, _mark_expired)
    except Refused as refused:
        if refused.code != "quota_exceeded":
            raise
        _settle(upload, State.REJECTED, problem={"code": refused.code, "detail": ""})


def _mark_expired(upload: Upload) -> None:
    """End the claim. The final keys are removed, because an earlier claim may still move an object there."""
    if upload.expires_at > timezone.now():  # the ticket was renewed since it was found expired
        return _mark_pending(upload)
    chosen = [(upload.field().storage, key) for key in upload.chosen_keys()]
    with transaction.atomic(durable=True):
        claims.write(upload, state=State.EXPIRED, final_key="", earlier_keys=[])
        removals.schedule(chosen, upload.pk, may_appear=True)


def _mark_pending(upload: Upload) -> None:
    """End the claim. The ticket may be past `expires_at`: a slow upload may still finish.

    There is no object under any of its keys. If there are very many, the earlier ones are removed: each would
    be looked up by the next call.
    """
    many = upload.earlier_keys if len(upload.earlier_keys) > MAX_EARLIER_KEYS else []
    store = upload.field().storage
    with transaction.atomic(durable=True):
        removals.schedule([(store, key) for key in many], upload.pk, may_appear=True)
        claims.write(upload, state=State.PENDING, **({"earlier_keys": []} if many else {}))


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
    """Move the object to HELD_FOLDER and end the claim. Raises StorageError."""
    claims.write(upload, held_key=keys.generate(HELD_FOLDER, found.content_type))
    file.storage.move(upload.final_key, incoming_store(), upload.held_key)
    claims.write(upload, state=State.HELD, found=found.as_json())
    logger.info("upload_held", upload=str(upload.pk))


def _reject(upload: Upload, verdict: Reject, found: dict[str, Any] | None) -> None:
    _settle(upload, State.REJECTED, found=found, problem={"code": verdict.code, "detail": verdict.detail})


def _settle(upload: Upload, state: State, **values: Any) -> None:
    """End a claimed ticket without recording its file. Schedules the removal of all that was sent with it."""
    with transaction.atomic(durable=True):
        claims.write(upload, state=state, **values)
        removals.schedule(objects_of(upload), upload.pk, may_appear=True)


def _cancel(upload: Upload, *, keep_resource: bool) -> None:
    """End a claimed ticket. Deletes the resource with it if it is unused."""
    with transaction.atomic(durable=True):
        unused = None if keep_resource else attachments.lock_unused(upload)
        claims.write(upload, state=State.CANCELLED)
        removals.schedule(objects_of(upload), upload.pk, may_appear=True)
        if unused:
            unused.delete()


def move_to_final_key(upload: Upload, file: StoredFile, renew_lease: Callable[[], None]) -> None:
    """Move the object to `final_key`, in the folder where a file of the resource belongs now.

    Each key is saved before the object is moved there, so that the object can be found after a crash.
    Raises ObjectMissing, StorageUnavailable.
    """
    if not (upload.final_key and file.belongs(upload.final_key)):
        _choose_final_key(upload, file)
    # Keys without an upload token come first: a client may have sent another object to `path` since.
    places = [
        *((file.storage, key) for key in reversed(upload.earlier_keys)),
        *((incoming_store(), key) for key in (upload.held_key, upload.path) if key),
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


def _choose_final_key(upload: Upload, file: StoredFile) -> None:
    key = file.new_key(upload.declared["content_type"], upload.declared["filename"])
    claims.write(upload, earlier_keys=upload.chosen_keys(), final_key=key)


def _relabel(upload: Upload, file: StoredFile, content_type: str, renew_lease: Callable[[], None]) -> None:
    """Write the object to a new final key with this content type. Raises ObjectMissing, StorageUnavailable.

    A copy would be served with the old type, whatever its metadata says (measured on Storage v1.36.4).
    """
    store, verified = file.storage, upload.final_key
    info = store.describe(verified)
    if info.content_type == content_type:
        return  # a gateway in front of the store has sent another spelling of it
    _choose_final_key(upload, file)

    def chunks() -> Iterator[bytes]:
        for chunk in read_chunks(source):
            renew_lease()
            yield chunk

    with store.read(verified) as source:
        store.put(upload.final_key, chunks(), content_type=content_type, cache_control=info.cache_control)


def record(upload: Upload, file: StoredFile, found: VerifiedFile) -> None:
    """Update the ticket and the resource in one transaction, then remove the object of the old file.

    An earlier claim may still move an object to the key that it chose, so those keys are removed too.
    Raises RowChanged, GalleryFull, ClaimLost.
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
        freed = attachments.record(file, upload.final_key, facts)
        freed += [(file.storage, key) for key in upload.earlier_keys]
        replaced = removals.schedule(freed, file.instance.pk, may_appear=bool(upload.earlier_keys))
    removals.carry_out(replaced)
    logger.info("upload_completed", upload=str(upload.pk), **found.as_json())
