"""Creates documents, alone or together with the ticket for their file."""

from typing import Any
from uuid import UUID

from django.db import transaction

from api.documents.models import Document
from api.idempotency import RecordKey
from api.profiles.models import Profile
from api.uploads import tickets
from api.uploads.models import Declared
from api.uploads.tickets import Ticket


def create(
    owner: UUID, fields: dict[str, Any], declared: Declared | None, record_key: RecordKey
) -> tuple[Document, Ticket | None]:
    """Create a document of this member, and a ticket if a file is declared: both or nothing.

    `record_key` is called with the id of the document in the same transaction. Raises as `tickets.issue`
    does; then there is no document.
    """
    document = Document(owner_id=owner, **fields)

    def insert() -> None:
        # The lock makes a concurrent erasure wait for the document.
        document.owner, _ = Profile.objects.select_for_update().get_or_create(pk=owner)
        document.save(force_insert=True)

    if declared is None:
        with transaction.atomic():
            insert()
            record_key(document.pk)
        return document, None
    ticket = tickets.issue(
        document,
        "file",
        owner,
        declared,
        on_create=lambda upload_id: record_key(document.pk),
        create_resource=insert,
    )
    return document, ticket
