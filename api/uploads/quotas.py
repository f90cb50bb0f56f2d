"""What the files of a member use of QUOTA_BYTES and QUOTA_OPEN_TICKETS.

A file counts for its owner, whoever asked for the ticket: the field's `owner_field` says who that is. Files
of a field without it, as those of the catalogue, do not count.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models, transaction
from django.db.models import Count, QuerySet, Sum, Value
from django.db.models.fields.json import KT
from django.db.models.functions import Cast
from django.utils.translation import gettext

from api.compiled_queries import CompiledQuery, Parameter
from api.exceptions import Refused
from api.uploads.models import Upload
from storage.fields import StoredFile, UploadField, upload_fields

DECLARED_SIZE = Cast(KT("declared__size"), models.BigIntegerField())


@dataclass(frozen=True, slots=True)
class Usage:
    """The bytes of a member's recorded files and open tickets, and the number of open tickets.

    The declared size of an open ticket counts. A ticket that has expired does not count.
    """

    used: int
    open_tickets: int


def usage(member: UUID) -> Usage:
    """Return what this member uses, in one query."""
    fields = [field for field in upload_fields() if field.owner_field]
    first, *others = [part(field, member) for part in (_open_tickets, _recorded) for field in fields]
    rows = list(first.union(*others, all=True).order_by())
    return Usage(sum(used or 0 for used, _ in rows), sum(count for _, count in rows))


def are_limited() -> bool:
    """Return True if there is a quota."""
    return bool(settings.QUOTA_BYTES or settings.QUOTA_OPEN_TICKETS)


def lock(file: StoredFile) -> None:
    """Make other transactions that call this for a file of the same owner wait for the end of this one.

    Those that change or delete the row of the file wait too. Raises the row's DoesNotExist if it, or the
    owner, was deleted meanwhile.
    """
    model: Any = file.field.model
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("A lock without a transaction would end at once.")
    if file.owner_id is not None and not lock_query(file.field, shared=False).rows({"id": file.instance.pk}):
        raise model.DoesNotExist


@cache
def lock_query(field: UploadField, *, shared: bool) -> CompiledQuery[Any]:
    """Return the query that locks the row with this `id`, which has this field, and its owner.

    Transactions that use it with `shared` do not wait for each other, but whoever changes or deletes the row
    waits for them.
    """
    model: Any = field.model
    owner: Any = field.owner()
    locked = model._base_manager.select_for_update(no_key=True).only("pk")
    if owner.related_model:
        locked = locked.select_for_update(no_key=True, of=("self", owner.name))
        locked = locked.select_related(owner.name).only(f"{owner.name}__{owner.target_field.name}")
    with transaction.atomic():  # outside of one, Django compiles no lock
        query = CompiledQuery(locked.order_by().filter(pk=Parameter("id", model._meta.pk)))
    if shared and connection.features.has_select_for_update:
        assert "FOR NO KEY UPDATE" in query.sql
        query.sql = query.sql.replace("FOR NO KEY UPDATE", "FOR SHARE")  # `select_for_update` has no option
    return query


def check(file: StoredFile, size: int) -> None:
    """Raise Refused if there may be no further ticket for this file, whose new size would be `size`.

    The result is valid until the end of the transaction if `lock` was called in it.
    """
    if file.owner_id is not None and are_limited():
        found = usage(file.owner_id)
        _check_bytes(found, size)
        _check_open_tickets(found)


def check_late(file: StoredFile) -> None:
    """Raise Refused if the owner of this file, whose expired ticket is being verified, is over the quota.

    Such a ticket counts again. Otherwise a member could send any number of files, wait until their tickets
    have expired, and complete them all. Call `lock` before.
    """
    if file.owner_id is not None and settings.QUOTA_BYTES:
        _check_bytes(usage(file.owner_id), 0)


def _check_bytes(found: Usage, size: int) -> None:
    limit = settings.QUOTA_BYTES
    if limit and found.used + size > limit:
        detail = gettext("This file would exceed the quota: %(used)s of %(limit)s bytes are in use.")
        raise _refusal("bytes", detail, used=found.used, limit=limit)


def _check_open_tickets(found: Usage) -> None:
    limit = settings.QUOTA_OPEN_TICKETS
    if limit and found.open_tickets >= limit:
        detail = gettext("Too many tickets are open, %(used)s of %(limit)s: complete or cancel some.")
        raise _refusal("open_tickets", detail, used=found.open_tickets, limit=limit)


def _refusal(quota: str, detail: str, **numbers: int) -> Refused:
    return Refused("quota_exceeded", detail % numbers, quota=quota, **numbers)


def _recorded(field: UploadField, member: UUID) -> QuerySet[Any, tuple[int | None, int]]:
    """Return the bytes of the member's recorded files, in a form that `usage` can combine."""
    files = field.model._base_manager.filter(**{field.owner_field: member}).order_by()
    return files.values(field.owner_field).annotate(used=Sum(field.size_field)).values_list("used", Value(0))


def _open_tickets(field: UploadField, member: UUID) -> QuerySet[Any, tuple[int | None, int]]:
    """Return the bytes and the number of the open tickets for the member's files of this field."""
    rows = field.model._base_manager.filter(**{field.owner_field: member}).order_by()
    content_type = ContentType.objects.get_for_model(field.model)
    tickets = Upload.objects.open().filter(content_type=content_type, field_name=field.name).order_by()
    counted = tickets.filter(object_id__in=rows.values("pk")).values("field_name")
    return counted.annotate(used=Sum(DECLARED_SIZE), number=Count("pk")).values_list("used", "number")
