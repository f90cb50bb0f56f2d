"""The storage webhook: completes the ticket of an object that the storage reports, without the client.

The report is only a hint. The ticket decides what is verified and recorded, as in `lifecycle.complete()`.
"""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import Http404
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.exceptions import Refused
from api.query_parameters import KnownParametersMixin
from api.uploads import lifecycle
from api.uploads.models import Upload, WebhookMessage
from storage import keys, webhooks
from storage.base import incoming_store

logger = structlog.get_logger("api.uploads")


class WebhookAuthentication(BaseAuthentication):
    """Accepts a message that is signed as Standard Webhooks says, or the secret as a bearer token.

    Database Webhooks of Supabase's dashboard cannot sign, but can send a header. `request.auth` is the id of
    a signed message, else "".
    """

    def authenticate(self, request: Request) -> tuple[AnonymousUser, str]:
        if "webhook-signature" in request.headers:
            return AnonymousUser(), _verified_id(request)
        sent = request.headers.get("Authorization", "").encode()
        if not secrets.compare_digest(sent, f"Bearer {settings.STORAGE_WEBHOOK_SECRET}".encode()):
            raise _refused("No signature, and not the secret")
        return AnonymousUser(), ""

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class StorageWebhookView(KnownParametersMixin, APIView):
    schema = None  # the storage calls it, not the clients for whom the schema is
    authentication_classes = (WebhookAuthentication,)
    permission_classes = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if not settings.STORAGE_WEBHOOK_SECRET:
            raise Http404
        super().initial(request, *args, **kwargs)

    def post(self, request: Request) -> Response:
        """Answer 204 whatever becomes of the ticket, because the sender can do nothing about it.

        503 if the storage fails: then the sender may send the message again, with the same id.
        """
        upload = _reported_upload(request.body)
        if upload is not None:
            with _received_once(str(request.auth)):
                _complete(upload)
        return Response(status=204)


def _verified_id(request: Request) -> str:
    try:
        return webhooks.verify(request.body, request.headers, settings.STORAGE_WEBHOOK_SECRET)
    except webhooks.InvalidSignature as error:
        raise _refused(str(error)) from None


def _refused(reason: str) -> AuthenticationFailed:
    logger.warning("webhook_refused", reason=reason)
    return AuthenticationFailed(code="signature_invalid")


def _reported_upload(body: bytes) -> Upload | None:
    """Return the ticket of the reported object, None if there is none."""
    key = _reported_key(body)
    return Upload.objects.filter(path=key).first() if key else None


def _reported_key(body: bytes) -> str:
    """Return the key of an object in the incoming bucket. "" if the body reports anything else."""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    match event:
        case {
            "type": "INSERT" | "UPDATE",
            "schema": "storage",
            "table": "objects",
            "record": {"bucket_id": str(bucket), "name": str(key)},
        } if bucket == incoming_store().bucket and keys.is_legal(key):
            return key
    return ""


@contextmanager
def _received_once(message_id: str) -> Iterator[None]:
    """Raise AuthenticationFailed if a message with this id was received before, and did not fail."""
    if message_id and not WebhookMessage.objects.get_or_create(id=message_id)[1]:
        raise _refused("Message received before")
    try:
        yield
    except BaseException:
        WebhookMessage.objects.filter(id=message_id).delete()
        raise


def _complete(upload: Upload) -> None:
    """Complete the ticket, unless another caller does so now: this one would only wait for it.

    If the ticket is settled, what was sent again with its token is deleted.
    """
    try:
        lifecycle.complete(upload, wait=False)
    except Refused as refused:
        logger.info("webhook_without_effect", upload=str(upload.pk), code=refused.code)
    except Upload.DoesNotExist:  # deleted meanwhile, with its member
        pass
