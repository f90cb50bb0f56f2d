"""Changes the order and the number of the pictures of an entry, in transactions that lock the entry."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Case, F, Value, When

from api.catalog.models import Entry
from api.catalog.pictures import Picture, check_room, lock_gallery
from api.uploads import removals
from api.uploads.models import Removal, Upload
from storage.fields import stored_files


class PositionOutOfRange(Exception):
    """The gallery has no such position. `last` is its last one."""

    def __init__(self, last: int) -> None:
        super().__init__(last)
        self.last = last


def check_ticket(entry: Entry) -> None:
    """Raise GalleryFull if there may be no further picture. Call it in the transaction that adds the ticket.

    Open tickets for further pictures count. Raises the model's DoesNotExist if the entry was deleted.
    """
    gallery = lock_gallery(entry)
    if gallery is None:
        raise type(entry).DoesNotExist
    tickets = Upload.objects.for_resource(entry).open().filter(field_name="pictures")
    check_room(gallery.count() + tickets.count())


def change(picture: Picture, changes: dict[str, object]) -> None:
    """Save these changes of a picture. `position` moves it, and the pictures between make room.

    Raises PositionOutOfRange, PreconditionFailed, and DoesNotExist if the picture was deleted meanwhile.
    """
    position = changes.pop("position", None)
    with transaction.atomic():
        picture.before_publishing()
        if isinstance(position, int):
            _move(picture, position)
        picture.update(changes)


def _move(picture: Picture, position: int) -> None:
    gallery = lock_gallery(picture.entry)
    order = [] if gallery is None else list(gallery.values_list("pk", flat=True))
    if picture.pk not in order:
        raise type(picture).DoesNotExist
    if position >= len(order):
        raise PositionOutOfRange(len(order) - 1)
    order.remove(picture.pk)
    order.insert(position, picture.pk)
    _number(picture, order)
    picture.position = position


def delete(picture: Picture) -> bool:
    """Delete the picture and its objects. The pictures behind it move up.

    Returns True if the objects are gone, False if the storage failed and the sweep deletes them. Raises
    DoesNotExist if the picture was deleted meanwhile, and PreconditionFailed.
    """
    with transaction.atomic(durable=True):
        gallery = lock_gallery(picture.entry)
        if gallery is None:
            raise type(picture).DoesNotExist
        picture.before_publishing()
        locked = gallery.select_for_update().get(pk=picture.pk)
        picture.check_version(locked)
        removals.schedule([(file.storage, file.key) for file in stored_files(locked)], picture.pk)
        locked.delete()
        _number(picture, list(gallery.values_list("pk", flat=True)))
    return removals.carry_out(Removal.objects.for_resource(picture.pk))


def _number(picture: Picture, order: list[UUID]) -> None:
    """Set the positions of the entry's pictures. In two steps, because a position is unique at any time."""
    gallery: Any = picture.entry.pictures.order_by()
    gallery.update(position=-1 - F("position"))
    numbered = [When(pk=pk, then=Value(position)) for position, pk in enumerate(order)]
    if numbered:
        gallery.update(position=Case(*numbered))
