"""Which buckets there should be, and their limits: read off STORAGES and the model fields, not kept apart."""

from dataclasses import dataclass

from django.core.files.storage import storages

from storage.base import ARRIVALS, SignedStorage
from storage.fields import upload_fields


@dataclass(frozen=True, slots=True)
class Bucket:
    """`file_size_limit` in bytes. None sets no limit, and neither does an empty tuple."""

    name: str
    public: bool = False
    file_size_limit: int | None = None
    allowed_mime_types: tuple[str, ...] | None = None

    def takes(self, content_type: str) -> bool:
        """Exact and case-sensitive, as the real server compares; a limit may end in `/*`."""
        family = content_type.split("/")[0] + "/*"
        allowed = self.allowed_mime_types
        return not allowed or not {content_type, family, "*", "*/*"}.isdisjoint(allowed)


def declared() -> dict[str, Bucket]:
    """The buckets of STORAGES by name, each as wide as the fields that keep their files in it.

    Everything arrives in `uploads` first, so its limits are the widest of all.
    """
    return {name: _bucket(store) for name, store in _stores().items()}


def find(name: str) -> Bucket | None:
    """As it is declared, if it is."""
    store = _stores().get(name)
    return None if store is None else _bucket(store)


def _stores() -> dict[str, SignedStorage]:
    """By the bucket's name."""
    stores = (storages[alias] for alias in storages.backends)
    return {store.bucket: store for store in stores if isinstance(store, SignedStorage)}


def _bucket(store: SignedStorage) -> Bucket:
    fields = [field for field in upload_fields() if store.bucket in (ARRIVALS, field.storage.bucket)]
    return Bucket(
        store.bucket,
        store.public,
        file_size_limit=max((field.max_bytes for field in fields), default=None),
        allowed_mime_types=tuple(sorted({kind for field in fields for kind in field.accepts})) or None,
    )
