"""UploadField, a FileField with the rules for its files, and StoredFile, the file of one row."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Self, TypedDict, overload

from django.apps import apps
from django.conf import settings
from django.db import models
from django.db.models.fields.files import FieldFile
from django.utils import timezone

from storage import content_types, keys
from storage.base import SignedStorage, SignedURL, store_of
from storage.errors import ObjectMissing


class FileFacts(TypedDict):
    """The verified facts of a file, as stored in the JSONField that `facts_field` names.

    `name` is the name that the client gave the file. `size` in bytes. `sha256` in hex, None if it was not
    computed. `uploaded_at` is an aware datetime when it is written, and ISO 8601 when it is read.
    """

    name: str
    content_type: str
    size: int
    sha256: str | None
    uploaded_at: Any


class StoredFile(FieldFile):
    """The file of a row: the key of its object, its facts, and a URL to read it.

    Use only `swap` to record another key.
    """

    field: "UploadField"
    instance: models.Model
    storage: SignedStorage

    @property
    def key(self) -> str:
        """The key of the recorded object, "" if there is none."""
        return self.name or ""

    @property
    def facts(self) -> FileFacts | None:
        name = self.field.facts_field
        return getattr(self.instance, name) if name else None

    @property
    def owner_id(self) -> Any:
        """The id of the owner of the row, None if the field has no `owner_field`."""
        return getattr(self.instance, self.field.owner().attname) if self.field.owner_field else None

    @property
    def is_in_place(self) -> bool:
        return self.belongs(self.key)

    def belongs(self, key: str) -> bool:
        """Return True if the key is below the folder where a file of this row belongs, as the row is now."""
        return key.startswith(f"{self.field.folder(self.instance)}/")

    def new_key(self, content_type: str, filename: str) -> str:
        """Return a random key below the folder where a file of this row belongs."""
        kept = filename if self.field.keeps_filename else ""
        return keys.generate(self.field.folder(self.instance), content_type, filename=kept)

    def exists(self) -> bool:
        """Return True if a key is recorded and the store has the object. Raises StorageUnavailable."""
        return bool(self.key) and self.storage.has_object(self.key)

    def signed_url(self, filename: str | None = None) -> SignedURL:
        """Return a URL that serves the file for DOWNLOAD_URL_TTL. Raises ObjectMissing, StorageUnavailable.

        `filename`: with None browsers show the file, with "" they save it under its original name, else under
        that name.
        """
        if not self.key:
            raise ObjectMissing(f"{self.instance!r} has no {self.field.name}")
        if filename == "":
            filename = self.facts["name"] if self.facts else ""
        return self.storage.sign_download(self.key, seconds=settings.DOWNLOAD_URL_TTL, filename=filename)

    def as_read(self) -> dict[str, Any]:
        """Return the columns whose values must be unchanged in the database, for `swap`."""
        placed_by = {name: getattr(self.instance, name) for name in self.field.placed_by}
        return {self.field.name: self.key, **placed_by}

    def swap(
        self,
        key: str,
        *,
        facts: FileFacts | None = None,
        as_read: dict[str, Any] | None = None,
        **changes: Any,
    ) -> bool:
        """Record the key, and other changes of the row, if the row is as it was read (compare-and-swap).

        Returns False, and changes nothing, if the row has changed or was deleted. `facts` are those of a new
        file; None keeps the recorded ones. `as_read` is an earlier result of `as_read()`, if the row has been
        changed in memory since. Fields with `auto_now` are set. The row in memory is not changed.
        """
        changes[self.field.name] = key
        if facts is not None:
            changes |= self.field.facts_values(facts)
        now = timezone.now()
        for field in self.instance._meta.concrete_fields:
            if getattr(field, "auto_now", False):
                changes.setdefault(field.name, now)
        rows = type(self.instance)._base_manager.filter(pk=self.instance.pk, **(as_read or self.as_read()))
        return bool(rows.update(**changes))


class UploadField(models.FileField):
    """The key of an object that a client sent straight to storage and that was verified.

    `storage` is an alias of STORAGES, `accepts` the accepted content types, `max_bytes` the size limit.
    `folder(instance)` returns the folder of the object's key. `placed_by` names the fields that the folder
    depends on: if one of them changes while a file is being verified, another key is chosen. With
    `keeps_filename` the key ends with the file's name, under which PDF viewers show and save the file.

    `facts_field` names the JSONField for the FileFacts. `size_field` and `content_type_field` name columns
    for two of these facts, by which queries can filter and sum; compare `width_field` of ImageField. The
    files of a field without `facts_field` are made by the server, and it has no tickets.

    `owner_field` names the foreign key to the owner of the row, or the primary key if the row is its own
    owner. The files of an owner can then be summed, for which `size_field` is needed.

    Migrations contain none of these options: limits are configuration, not schema.
    """

    attr_class = StoredFile
    storage: SignedStorage

    if TYPE_CHECKING:  # the type of `row.file`

        @overload  # type: ignore[override]
        def __get__(self, instance: models.Model, owner: Any) -> StoredFile: ...
        @overload
        def __get__(self, instance: Any, owner: Any) -> Self: ...
        def __get__(self, instance: Any, owner: Any) -> Any: ...

    def __init__(
        self,
        *args: Any,
        storage: str = "default",
        accepts: Sequence[str] = (),
        max_bytes: int = 0,
        folder: Callable[[Any], str] | Any = None,
        placed_by: Sequence[str] = (),
        keeps_filename: bool = False,
        facts_field: str = "",
        size_field: str = "",
        content_type_field: str = "",
        owner_field: str = "",
        **options: Any,
    ) -> None:
        self.alias = storage
        self.accepts = tuple(dict.fromkeys(map(content_types.canonical, accepts)))
        self.max_bytes = max_bytes
        self.folder = folder
        self.placed_by = tuple(placed_by)
        self.keeps_filename = keeps_filename
        self.facts_field = facts_field
        self.size_field = size_field
        self.content_type_field = content_type_field
        self.owner_field = owner_field
        options.setdefault("max_length", keys.MAX_KEY)
        options["storage"] = store_of(storage)
        super().__init__(*args, **options)

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        name, path, args, options = super().deconstruct()
        options.pop("storage", None)
        return name, path, args, options

    def owner(self) -> "models.Field[Any, Any]":
        """Return the model field that `owner_field` names."""
        field = self.model._meta.get_field(self.owner_field)
        assert isinstance(field, models.Field)
        return field

    @property
    def size_limit(self) -> int:
        """The lower of `max_bytes` and STORAGE_FILE_SIZE_LIMIT, in bytes."""
        return min(self.max_bytes, settings.STORAGE_FILE_SIZE_LIMIT)

    @property
    def facts_fields(self) -> tuple[str, ...]:
        """The names of the fields with the facts of the file."""
        return tuple(filter(None, (self.facts_field, self.size_field, self.content_type_field)))

    def facts_values(self, facts: FileFacts) -> dict[str, Any]:
        """Return the values of `facts_fields` for a file with these facts, by field name."""
        values: dict[str, Any] = {
            self.facts_field: facts,
            self.size_field: facts["size"],
            self.content_type_field: facts["content_type"],
        }
        return {name: value for name, value in values.items() if name}

    def no_facts(self) -> dict[str, Any]:
        """Return the values of `facts_fields` for a row without a file, by field name."""
        values = {self.facts_field: None, self.size_field: None, self.content_type_field: ""}
        return {name: value for name, value in values.items() if name}


@cache
def upload_fields() -> tuple[UploadField, ...]:
    """Return every UploadField of every installed model. They never change in a process."""
    return tuple(field for model in apps.get_models() for field in upload_fields_of(model))


def upload_fields_of(model: type[models.Model]) -> tuple[UploadField, ...]:
    return tuple(field for field in model._meta.get_fields() if isinstance(field, UploadField))


def stored_file(row: models.Model, field_name: str) -> StoredFile:
    """Return the file of this row. `field_name` names an UploadField."""
    file = getattr(row, field_name)
    assert isinstance(file, StoredFile), f"{type(row).__name__}.{field_name} is not an UploadField"
    return file


def stored_files(row: models.Model) -> list[StoredFile]:
    """Return the files of this row, one for each UploadField of its model."""
    return [stored_file(row, field.name) for field in upload_fields_of(type(row))]


def all_as_read(files: Iterable[StoredFile]) -> dict[str, Any]:
    """Return the columns of `StoredFile.as_read` for all these files of one row."""
    return {name: value for file in files for name, value in file.as_read().items()}
