"""The response of a ticket is written without DRF's fields, and is what they would write."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.test import RequestFactory
from rest_framework import serializers

from api.models import Document, Upload
from api.uploads.serializers import TicketSerializer
from api.uploads.tickets import Ticket
from storage.base import incoming_store


@pytest.fixture
def ticket() -> Ticket:
    upload = Upload(id=uuid4(), field_name="file", state=Upload.State.PENDING)
    upload.field = lambda: Document._meta.get_field("file")
    signed = incoming_store().sign_upload(f"{upload.pk}.pdf", "application/pdf", seconds=60, size=9)
    return Ticket(upload, signed)


def test_it_is_what_its_fields_say(ticket: Ticket):
    context: Any = {"request": RequestFactory().get("/")}
    serializer = TicketSerializer(ticket, context=context)
    fields = serializers.Serializer.to_representation(serializer, ticket)

    assert serializer.data == fields
    assert list(serializer.data) == list(serializer.fields)


def test_a_store_without_resumable_uploads(ticket: Ticket):
    time = datetime(2026, 1, 1, 12, 0, 0, 500, tzinfo=UTC)
    signed = replace(ticket.signed, resumable=None, expires_at=time)
    context: Any = {"request": RequestFactory().get("/")}
    found = TicketSerializer(Ticket(ticket.upload, signed), context=context).data

    assert found["resumable"] is None
    assert found["expires_at"] == "2026-01-01T12:00:00.000500Z"
