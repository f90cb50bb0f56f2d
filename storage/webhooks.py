"""The messages with which a store reports a new object in the incoming bucket, and their signatures.

The body is that of Supabase's Database Webhooks. The signature follows Standard Webhooks
(https://www.standardwebhooks.com). `supabase/sql/webhook.sql` makes the same messages in PostgreSQL.
"""

import base64
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal, TypedDict
from uuid import uuid4

from standardwebhooks import Webhook, WebhookVerificationError

PREFIX = "whsec_"  # of a secret in base64
TOLERANCE = timedelta(minutes=5)  # between the times of the sender and of the receiver, in `standardwebhooks`
MAX_ID = 255  # characters of a message id

EventType = Literal["INSERT", "UPDATE"]


class InvalidSignature(Exception):
    """The message was not signed with the secret, or is too old or too new."""


class ObjectRow(TypedDict):
    bucket_id: str
    name: str


class Event(TypedDict):
    """A change of a row of `storage.objects`. A move and an overwrite are updates."""

    type: EventType
    table: Literal["objects"]
    schema: Literal["storage"]
    record: ObjectRow
    old_record: None


def event(type: EventType, bucket: str, key: str) -> Event:
    return {
        "type": type,
        "table": "objects",
        "schema": "storage",
        "record": {"bucket_id": bucket, "name": key},
        "old_record": None,
    }


def signing_key(secret: str) -> bytes:
    """Return the key of a secret: the bytes after `whsec_`, in base64; of any other secret its own bytes.

    Raises ValueError for a secret that is empty, is not base64, or cannot be sent in a header.
    """
    if not re.fullmatch(r"[!-~]+", secret):
        raise ValueError("The secret has characters other than printable ASCII.")
    if not secret.startswith(PREFIX):
        return secret.encode()
    key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    if not key:
        raise ValueError("The secret has no key.")
    return key


def signed(message: Event, secret: str) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of a new message."""
    body, message_id, now = json.dumps(message), str(uuid4()), datetime.now(UTC)
    return body.encode(), {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(signing_key(secret)).sign(message_id, now, body),
    }


def verify(body: bytes, headers: Mapping[str, str], secret: str) -> str:
    """Return the id of a message that was signed with the secret. Raises InvalidSignature."""
    try:
        Webhook(signing_key(secret)).verify(body, dict(headers), json_parse=False)
    except (WebhookVerificationError, ValueError) as error:  # ValueError: a header or the body is malformed
        reason = str(error) if isinstance(error, WebhookVerificationError) else "Malformed message"
        raise InvalidSignature(reason) from None
    message_id = headers["webhook-id"]
    if len(message_id) > MAX_ID:
        raise InvalidSignature("Message id too long")
    return message_id
