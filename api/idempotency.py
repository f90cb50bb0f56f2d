"""Requests with an `Idempotency-Key`, which a client may repeat after it lost the response.

The header is that of draft-ietf-httpapi-idempotency-key-header. A key belongs to one member and one request.
It is stored in the transaction that creates the row, so of concurrent requests with one key one creates it,
and the others find it. Requests that failed leave no key.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Self, TypeVar
from uuid import UUID

from django.db import IntegrityError, models
from django.utils import timezone
from django.utils.translation import gettext
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from api.auth.principal import principal_of
from api.exceptions import Refused

LIFETIME = timedelta(hours=24)
MAX_LENGTH = 255  # characters
KEY = re.compile(rf'"([ -~]{{1,{MAX_LENGTH}}})"|((?!")[ -~]{{1,{MAX_LENGTH}}})')  # in quotes or not

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "pattern": "^[ -~]+$", "maxLength": MAX_LENGTH},
    OpenApiParameter.HEADER,
    description="Up to 255 printable ASCII characters, such as a UUID. For 24 hours, a repeated request with "
    "the same key gets what the first one created.",
)

Created = TypeVar("Created")
#: Stores the key of a request for the row with this id. Call it in the transaction that creates the row.
RecordKey = Callable[[UUID], None]


class IdempotencyKeyQuerySet(models.QuerySet["IdempotencyKey"]):
    def expired(self) -> Self:
        return self.filter(created_at__lte=timezone.now() - LIFETIME)


class IdempotencyKey(models.Model):
    """A key that was used, and what its request created."""

    owner = models.UUIDField(help_text="The member who sent the request.")
    key = models.CharField(max_length=MAX_LENGTH)
    fingerprint = models.CharField(max_length=64, help_text="The SHA-256 of its method, path and body.")
    created_id = models.UUIDField(help_text="The id of the row that it created.")
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    objects = IdempotencyKeyQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "key"], name="idempotency_key_of_owner")]

    def __str__(self) -> str:
        return self.key

    @property
    def has_expired(self) -> bool:
        return self.created_at <= timezone.now() - LIFETIME


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request with an Idempotency-Key. `fingerprint` is the SHA-256 of its method, path and body."""

    owner: UUID
    key: str
    fingerprint: str

    def find(self) -> IdempotencyKey | None:
        """Return the stored key, None if there is none. Raises Refused if it belongs to another request."""
        stored = IdempotencyKey.objects.filter(owner=self.owner, key=self.key).first()
        if stored and stored.has_expired:
            stored.delete()
            return None
        if stored and stored.fingerprint != self.fingerprint:
            raise Refused("idempotency_key_reused")
        return stored

    def store(self, created_id: UUID) -> None:
        """Store the key in the current transaction. Raises IntegrityError if it is stored already."""
        IdempotencyKey.objects.create(
            owner=self.owner, key=self.key, fingerprint=self.fingerprint, created_id=created_id
        )


def run_once(
    request: Request, create: Callable[[RecordKey], Created], repeat: Callable[[UUID], Created | None]
) -> Created:
    """Return `create(record_key)`, or `repeat(id)` for what an earlier request with the same key created.

    `create` calls `record_key` with the id of the new row, in the transaction that creates it. `repeat`
    returns None if there is nothing to return any more; then the request is carried out anew. Raises Refused
    if the key is malformed or was used for another request.
    """
    keyed = _keyed(request)
    if keyed is None:
        return create(record_nothing)
    if (earlier := _repeat(keyed, repeat)) is not None:
        return earlier
    try:
        return create(keyed.store)
    except IntegrityError:  # a concurrent request has stored the key, if it is this error
        if (earlier := _repeat(keyed, repeat)) is not None:
            return earlier
        raise


def record_nothing(created_id: UUID) -> None:
    """The `record_key` of a request without a key."""


def _repeat(keyed: KeyedRequest, repeat: Callable[[UUID], Created | None]) -> Created | None:
    stored = keyed.find()
    if stored is None:
        return None
    earlier = repeat(stored.created_id)
    if earlier is None:
        stored.delete()
    return earlier


def _keyed(request: Request) -> KeyedRequest | None:
    """Return None if the request has no key. Raises Refused if the key is malformed."""
    sent = request.headers.get("Idempotency-Key")
    if sent is None:
        return None
    if not (key := KEY.fullmatch(sent)):
        detail = gettext("Send an Idempotency-Key of 1 to %(limit)s printable ASCII characters.")
        raise Refused("malformed", detail % {"limit": MAX_LENGTH})
    return KeyedRequest(principal_of(request).id, key[1] or key[2], _fingerprint(request))


def _fingerprint(request: Request) -> str:
    try:
        body = json.dumps(request.data, sort_keys=True)
    except RecursionError:
        raise Refused("malformed") from None
    return hashlib.sha256(f"{request.method} {request.path_info}\n{body}".encode()).hexdigest()
