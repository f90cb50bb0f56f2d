"""Creates rows with a private file, alone or together with the ticket for their file."""

from typing import TypeVar
from uuid import UUID

from django.db import transaction

from api.idempotency import RecordKey
from api.private_files.models import PrivateFileModel
from api.profiles.models import Profile
from api.uploads import tickets
from api.uploads.models import Declared
from api.uploads.tickets import Ticket

Row = TypeVar("Row", bound=PrivateFileModel)


def create(row: Row, declared: Declared | None, record_key: RecordKey) -> tuple[Row, Ticket | None]:
    """Insert this new row of a member, and create a ticket if a file is declared: both or nothing.

    `record_key` is called with the id of the row in the same transaction. Raises as `tickets.issue` does;
    then there is no row.
    """
    owner: UUID = row.owner_id

    def insert() -> None:
        # The lock makes a concurrent erasure wait for the row.
        row.owner, _ = Profile.objects.select_for_update().get_or_create(pk=owner)
        row.save(force_insert=True)

    if declared is None:
        with transaction.atomic():
            insert()
            record_key(row.pk)
        return row, None
    ticket = tickets.issue(
        row,
        "file",
        owner,
        declared,
        on_create=lambda upload_id: record_key(row.pk),
        create_resource=insert,
    )
    return row, ticket
