"""UploadField: a FileField that carries its rules, so that they stand where the file stands."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from django.apps import apps
from django.db import models

from storage import keys
from storage.base import SignedStorage, store_of


class UploadField(models.FileField):
    """The key of an object that a client sent straight to storage and that was verified.

    `storage` is an alias of STORAGES, `accepts` the content types, `max_bytes` the size limit.
    `folder(instance)` says where the object belongs, and `placed_by` names the attributes that this
    depends on: when one of them changes while a file is being verified, its place is chosen again.
    `facts_field` names the JSON field that keeps what verification found, as ImageField's
    `width_field` does: `{name, size, content_type, sha256, uploaded_at}`. A field without one takes no
    tickets: its files are of the server's own making.

    None of this is frozen in migrations: limits are configuration, not schema.
    """

    storage: SignedStorage

    def __init__(
        self,
        *args: Any,
        storage: str = "default",
        accepts: Sequence[str] = (),
        max_bytes: int = 0,
        folder: Any = None,
        placed_by: Sequence[str] = (),
        facts_field: str = "",
        **options: Any,
    ) -> None:
        self.alias = storage
        self.accepts = tuple(accepts)
        self.max_bytes = max_bytes
        self.folder = folder
        self.placed_by = tuple(placed_by)
        self.facts_field = facts_field
        options.setdefault("max_length", keys.MAX_KEY)
        options["storage"] = store_of(storage)
        super().__init__(*args, **options)

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        name, path, args, options = super().deconstruct()
        options.pop("storage", None)
        return name, path, args, options

    def fresh_key(self, instance: models.Model, content_type: str) -> str:
        """A key that nobody can guess, in the folder where a file of this row belongs as it now is."""
        return keys.fresh(self.folder(instance), content_type)

    def belongs(self, key: str, instance: models.Model) -> bool:
        """Whether this is still the folder where a file of this row belongs."""
        return key.rpartition("/")[0] == self.folder(instance)

    def key_of(self, instance: models.Model) -> str:
        """The key of the recorded file, "" if there is none."""
        return getattr(instance, self.attname).name or ""

    def placement(self, instance: models.Model) -> dict[str, Any]:
        """What must be unchanged in the database for a place chosen by this row to be the right one."""
        return {self.name: self.key_of(instance)} | {name: getattr(instance, name) for name in self.placed_by}


@cache
def upload_fields() -> tuple[UploadField, ...]:
    """Every UploadField of every installed model: they stay the same for as long as the process lives."""
    return tuple(
        field
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if isinstance(field, UploadField)
    )
