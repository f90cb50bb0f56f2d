"""The objects of a ticket: where they may be, and how they go."""

import structlog

from api.uploads.models import Upload
from storage.base import ARRIVALS, ObjectMissing, SignedStorage, StorageError, store_of

logger = structlog.get_logger("api.uploads")


def objects_of(upload: Upload) -> list[tuple[SignedStorage, str]]:
    """Wherever the object that was sent with this ticket may have got to."""
    store = upload.field().storage
    return [(store_of(ARRIVALS), upload.path), *((store, key) for key in upload.chosen_keys())]


def delete_objects(upload: Upload) -> None:
    """Raises StorageUnavailable; then it can be called again."""
    for store, key in objects_of(upload):
        store.delete(key)


def discard(store: SignedStorage, key: str) -> bool:
    """Delete an object that nothing refers to any more; the change that freed it stands in any case.

    Whether it is gone.
    """
    try:
        if key:
            store.delete(key)
    except StorageError:
        logger.exception("object_left_behind", bucket=store.bucket, key=key)
        return False
    return True


def files_in(store: SignedStorage, folder: str) -> list[str]:
    """The keys of the objects right in this folder; none if there is no such folder."""
    try:
        return [f"{folder}/{name}" for name in store.listdir(folder)[1]]
    except ObjectMissing:
        return []
