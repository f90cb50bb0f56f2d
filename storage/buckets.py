"""Which buckets there should be, and their limits: read off STORAGES and the model fields, not kept apart."""

from dataclasses import dataclass

from storage.base import SignedStorage, signed_stores
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

    Every upload arrives in the incoming bucket first, so that one has the widest limits of all.
    """
    return {name: _bucket(store) for name, store in _stores().items()}


def find(name: str) -> Bucket | None:
    """As it is declared, if it is."""
    store = _stores().get(name)
    return None if store is None else _bucket(store)


def _stores() -> dict[str, SignedStorage]:
    """By the bucket's name."""
    return {store.bucket: store for store in signed_stores()}


def _bucket(store: SignedStorage) -> Bucket:
    fields = [field for field in upload_fields() if store.incoming or field.storage.bucket == store.bucket]
    return Bucket(
        store.bucket,
        store.public,
        file_size_limit=max((field.max_bytes for field in fields), default=None),
        allowed_mime_types=tuple(sorted({kind for field in fields for kind in field.accepts})) or None,
    )
