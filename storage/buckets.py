"""The declared buckets and their limits, derived from STORAGES in the settings and the model fields."""

from dataclasses import dataclass

from storage.base import SignedStorage, signed_stores
from storage.content_types import UNKNOWN, aliases_of
from storage.fields import UploadField, upload_fields


@dataclass(frozen=True, slots=True)
class Bucket:
    """`file_size_limit` in bytes. None sets no limit; an empty tuple allows every type, as None does."""

    name: str
    public: bool = False
    file_size_limit: int | None = None
    allowed_mime_types: tuple[str, ...] | None = None

    def allows(self, content_type: str) -> bool:
        """Return True if the bucket accepts the type.

        Types are compared exactly and case-sensitively, as the real server does; an allowed type may end
        in `/*`.
        """
        family = content_type.split("/")[0] + "/*"
        allowed = self.allowed_mime_types
        return not allowed or not {content_type, family, "*", "*/*"}.isdisjoint(allowed)


def declared() -> dict[str, Bucket]:
    """Return the buckets of STORAGES by name, each with the widest limits of the fields that use it.

    Clients upload every file to the incoming bucket first, so it has the widest limits of all fields.
    """
    return {name: _bucket(store) for name, store in _stores().items()}


def declared_bucket(name: str) -> Bucket | None:
    """Return the bucket of STORAGES with this name, None if there is none."""
    store = _stores().get(name)
    return None if store is None else _bucket(store)


def _stores() -> dict[str, SignedStorage]:
    """Return the stores by the names of their buckets."""
    return {store.bucket: store for store in signed_stores()}


def _bucket(store: SignedStorage) -> Bucket:
    fields = [field for field in upload_fields() if store.incoming or field.storage.bucket == store.bucket]
    return Bucket(
        store.bucket,
        store.public,
        file_size_limit=max((field.max_bytes for field in fields), default=None),
        allowed_mime_types=tuple(sorted(_content_types(store, fields))) or None,
    )


def _content_types(store: SignedStorage, fields: list[UploadField]) -> set[str]:
    """Return the types of the fields; for the incoming bucket also their other names, and UNKNOWN.

    Browsers know no type for some files, and SDKs then send UNKNOWN. The bytes decide.
    """
    accepted = {kind for field in fields for kind in field.accepts}
    aliases = {alias for kind in accepted for alias in aliases_of(kind)}
    return accepted | aliases | {UNKNOWN} if store.incoming else accepted
