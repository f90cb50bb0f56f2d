"""Issues tickets, and signs a new URL for a ticket whose response a client has lost."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext
from uuid_utils.compat import uuid7

from api.base_models import Resource
from api.compiled_queries import CompiledInsert
from api.exceptions import Refused
from api.uploads import quotas
from api.uploads.attachments import objects_of
from api.uploads.models import Declared, Upload
from storage import keys
from storage.base import PRIVATE_MAX_AGE, PUBLIC_MAX_AGE, SignedUpload, incoming_store
from storage.errors import ObjectExists
from storage.fields import StoredFile, UploadField

State = Upload.State


@dataclass(frozen=True, slots=True)
class Ticket:
    """An upload, and what the client needs to send the file. The token is not stored."""

    upload: Upload
    signed: SignedUpload


def issue(
    resource: Resource,
    field_name: str,
    owner: UUID,
    declared: Declared,
    *,
    on_create: Callable[[UUID], None] | None = None,
    create_resource: Callable[[], None] | None = None,
) -> Ticket:
    """Issue a ticket for a file of this resource. `declared` must be valid by the rules of its field.

    Raises Refused if the owner of the file has reached a quota, DoesNotExist if the owner was erased or the
    owner's resource deleted meanwhile, and StorageUnavailable. The file that it replaces counts until the
    ticket is completed. `on_create` is called with the id of the ticket, in the transaction that creates it;
    if it raises, there is no ticket. `create_resource` inserts the resource in the same transaction, if it is
    new; it is deleted if the ticket is cancelled.
    """
    upload_id = uuid7()
    file = resource.upload_file(field_name, upload_id)
    signed = _sign(file, keys.generate(str(upload_id), declared["content_type"]), declared)
    upload = Upload(
        id=upload_id,
        owner=owner,
        content_type=ContentType.objects.get_for_model(resource),
        object_id=resource.pk,
        field_name=field_name,
        declared=declared,
        path=signed.key,
        expires_at=signed.expires_at,
        creates_resource=create_resource is not None,
        held_key="",  # its default is made by the database, but a compiled INSERT has a value for each field
    )
    is_limited = quotas.are_limited()
    has_one_statement = not (create_resource or on_create or is_limited)
    with nullcontext() if has_one_statement else transaction.atomic():
        if create_resource:
            create_resource()
        if is_limited:
            quotas.lock(file)
        if on_create:
            on_create(upload_id)  # before the check: a repeated request is not checked again
        quotas.check(file, declared["size"])
        _insert(upload, file)
    return Ticket(upload, signed)


def _insert(upload: Upload, file: StoredFile) -> None:
    """Insert the row. Raises DoesNotExist if the resource, or the owner of its file, was deleted."""
    model: Any = file.field.model
    if file.owner_id is None:
        _plain_insert().save(upload)
    elif not _locking_insert(file.field).save(upload, {"id": file.instance.pk}):
        raise model.DoesNotExist


@cache
def _plain_insert() -> CompiledInsert:
    return CompiledInsert(Upload)


@cache
def _locking_insert(field: UploadField) -> CompiledInsert:
    """Return the INSERT of a ticket that also locks the row of its file, and the owner, if both exist."""
    return CompiledInsert(Upload, quotas.lock_query(field, shared=True))


def reissue(upload_id: UUID, resource: Resource) -> Ticket | Upload | None:
    """Return the ticket with a new URL, which works for another UPLOAD_URL_TTL.

    Returns the upload if there is nothing to send: its object has arrived, or it is not pending any more.
    Returns None if it was purged, or has ended without an object. Raises StorageUnavailable, and Refused if
    it has expired and a quota does not allow it any more.
    """
    upload = Upload.objects.filter(pk=upload_id).first()
    if upload is None or upload.state == State.EXPIRED:
        return None
    file = resource.upload_file(upload.field_name, upload.pk)
    if upload.state != State.PENDING or not (signed := _sign_again(file, upload)):
        return upload
    renewed = _renew(file, upload, signed.expires_at)
    upload.refresh_from_db()
    return Ticket(upload, signed) if renewed else upload


def sign_anew(upload: Upload) -> Ticket:
    """Return the ticket with a new URL, which works for another UPLOAD_URL_TTL.

    Raises Refused with the reason if there is nothing to send, or if it has expired and a quota does not
    allow it any more, and StorageUnavailable.
    """
    resource = upload.read_resource()
    if resource is None and not upload.is_settled:
        raise Refused("resource_gone")
    found = reissue(upload.pk, resource) if resource else upload
    match found:
        case Ticket():
            return found
        case Upload(state=State.PENDING):
            raise Refused("object_arrived")
        case Upload(state=State.COMPLETED):
            raise Refused("ticket_completed", gettext("The file was recorded: there is nothing to send."))
        case Upload():
            raise found.refusal()
    upload.refresh_from_db()  # it has expired, or was purged: then DoesNotExist is raised
    raise Refused("ticket_expired")


def reissue_created(resource: Resource) -> Ticket | None:
    """Return the ticket that created this resource, with a new URL. None if there is nothing to send.

    Raises as `reissue` does.
    """
    upload = Upload.objects.for_resource(resource).filter(creates_resource=True).first()
    ticket = upload and reissue(upload.pk, resource)
    return ticket if isinstance(ticket, Ticket) else None


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
    if any(store.has_object(key) for store, key in objects_of(upload)):
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
