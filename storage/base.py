"""SignedStorage, the base class of every store: a Django storage that signs upload and download URLs.

A store implements the methods of `ObjectStorage`, which take keys. Django's methods, which take the names of
files, are here: they translate names to keys, and call those.
"""

import inspect
import io
import os
import re
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import PurePath
from typing import IO, Any
from urllib.parse import quote

from django.apps import apps
from django.conf import STATICFILES_STORAGE_ALIAS, settings
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import File
from django.core.files.storage import storages
from django.utils import timezone
from django.utils.deconstruct import deconstructible
from django.utils.module_loading import import_string

from storage import content_types, files, keys
from storage.contract import ObjectInfo, ObjectStorage, SignedUpload, SignedURL
from storage.errors import ObjectExists, ObjectMissing

__all__ = [
    "PRIVATE_MAX_AGE",
    "PUBLIC_MAX_AGE",
    "ObjectInfo",
    "SignedStorage",
    "SignedURL",
    "SignedUpload",
    "incoming_store",
    "signed_stores",
    "store_of",
]

Name = str | os.PathLike[str]

PUBLIC_MAX_AGE = 31536000  # seconds, for objects of public buckets whose keys are never used again
PRIVATE_MAX_AGE = 3600  # seconds
CACHE_CONTROL = re.compile("[!-~](?:[ -~]{0,253}[!-~])?")  # what servers accept as the value of a header
BASE_URL = re.compile(r"(?:https?:/)?/[^\s?#]+")


@deconstructible
class SignedStorage(ObjectStorage):
    """One bucket, with its OPTIONS in STORAGES.

    `public`: everybody may read its objects, at URLs that do not expire. `incoming`: clients upload to this
    bucket first; one bucket has this option. `owned`: the first folder of each key is the id of the owner,
    who may read the object. `shared`: every member may read the objects in the folder `shared/`.

    For Django's own methods: `location`: the folder of the bucket that they use. `base_url`: the address
    under which a CDN serves a public bucket. `cache_control`: the header of saved files. `url_expires`: how
    many seconds a URL of a private bucket is valid, by default DOWNLOAD_URL_TTL. `file_overwrite`: `save`
    replaces a file with the same name.
    """

    def __init__(
        self,
        bucket: str = "",
        public: bool = False,
        *,
        incoming: bool = False,
        owned: bool = False,
        shared: bool = False,
        location: str = "",
        base_url: str = "",
        cache_control: str = f"max-age={PRIVATE_MAX_AGE}",
        url_expires: int | None = None,
        file_overwrite: bool = False,
        **unknown: Any,
    ) -> None:
        if apps.apps_ready and not apps.is_installed("storage"):
            raise ImproperlyConfigured('Add "storage" to INSTALLED_APPS.')
        if unknown:
            known = list(inspect.signature(SignedStorage.__init__).parameters)[1:-1]
            wrong = ", ".join(map(repr, unknown))
            raise ImproperlyConfigured(f"STORAGES: no store has the option {wrong}, only {', '.join(known)}.")
        flags = {"public": public, "incoming": incoming, "owned": owned, "shared": shared}
        for option, value in {**flags, "file_overwrite": file_overwrite}.items():
            if not isinstance(value, bool):  # "False" would be true
                raise ImproperlyConfigured(f"STORAGES: {option} must be True or False, not {value!r}.")
        if url_expires is not None and not (type(url_expires) is int and url_expires > 0):
            raise ImproperlyConfigured("STORAGES: url_expires must be a positive number of seconds.")
        if not (isinstance(cache_control, str) and CACHE_CONTROL.fullmatch(cache_control)):
            raise ImproperlyConfigured('STORAGES: cache_control must be a header, such as "max-age=3600".')
        if base_url and not BASE_URL.fullmatch(base_url):
            raise ImproperlyConfigured('STORAGES: base_url must be a URL, such as "https://cdn.example.org".')
        if base_url and not public:
            raise ImproperlyConfigured("STORAGES: base_url needs public: a CDN cannot read a private bucket.")
        self.bucket = bucket or settings.SUPABASE_STORAGE_BUCKET
        self.public = public
        self.incoming = incoming
        self.owned = owned
        self.shared = shared
        self.location = keys.from_name(location.strip("/"))
        self.cdn_url = base_url.rstrip("/")  # packages take a `base_url` for the start of every URL
        self.cache_control = cache_control
        self.url_expires = url_expires
        self.file_overwrite = file_overwrite

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.bucket}>"

    def cache_control_for(self, key: str) -> str:
        """Return the Cache-Control header for a file that is saved under this key.

        Only a public file with a hash of its content in the name, or with the random key of an UploadField,
        is never replaced by another.
        """
        is_immutable = keys.CONTENT_HASH.search(key.rpartition("/")[2]) or keys.is_generated(key)
        return f"max-age={PUBLIC_MAX_AGE}" if self.public and is_immutable else self.cache_control

    # --- Django's Storage, by name. All raise InvalidKey for path traversal, except exists() ------------

    def key_of(self, name: Name) -> str:
        """Return the key of the object with this name: the name below `location`, in legal characters.

        Nothing else translates names to keys. An absolute path in MEDIA_ROOT is relative to it, as in
        FileSystemStorage. Raises InvalidKey for path traversal, and in the folder of unfinished uploads.
        """
        key = self._prefix + keys.from_name(_relative_to_media_root(name))
        if key.startswith(f"{keys.STAGING_FOLDER}/"):
            raise keys.InvalidKey(f"{key!a} is in the folder of unfinished uploads")
        return key

    @property
    def _keeps_names(self) -> bool:
        """Whether programs ask for a file by the name that they gave to `save`, not by the returned one.

        Those that overwrite files do, and those that use static files.
        """
        static = settings.STORAGES.get(STATICFILES_STORAGE_ALIAS)
        is_for_static_files = static and _may_sign(static) and storages[STATICFILES_STORAGE_ALIAS] is self
        return self.file_overwrite or bool(is_for_static_files)

    @property
    def _prefix(self) -> str:
        """What all keys start with: "" or the location with a slash."""
        return f"{self.location}/" if self.location else ""

    def url(self, name: Name | None) -> str:
        """Return the public URL, or a signed one for a private bucket.

        That of a missing object answers with a status from 400 to 499.
        """
        name = os.fspath(_relative_to_media_root(name or "")).replace("\\", "/")
        key = self.key_of(name.lstrip("/") if self.public else name)
        if name.endswith("/") and key != self._prefix:
            key += "/"
        if self.cdn_url:
            return f"{self.cdn_url}/{quote(key)}"
        if not self.public:
            with suppress(ObjectMissing, keys.InvalidKey):
                return self.sign_download(key, seconds=self.url_expires or settings.DOWNLOAD_URL_TTL).url
        return self.public_url(key)

    def exists(self, name: Name) -> bool:
        """Return True if there is an object or a folder with this name."""
        try:
            key = self.key_of(name)
            return key == self._prefix or self.has_object(key) or self.has_folder(f"{key}/")
        except keys.InvalidKey:
            return False

    def is_name_available(self, name: str, max_length: int | None = None) -> bool:
        """Return True if no object has this name: a folder may have the same."""
        return not (max_length and len(name) > max_length) and not self.has_object(self.key_of(name))

    def size(self, name: Name) -> int:
        return self._describe(name).size

    def get_created_time(self, name: Name) -> datetime:
        return _as_configured(self._describe(name).created_at)

    def get_modified_time(self, name: Name) -> datetime:
        return _as_configured(self._describe(name).last_modified)

    def delete(self, name: Name) -> None:
        if not name:
            raise ValueError("The name must be given to delete().")
        key = self.key_of(name)
        with suppress(keys.InvalidKey):  # too long: there is no such object
            self.delete_if_exists(key)

    def listdir(self, path: Name) -> tuple[list[str], list[str]]:
        """Return the names of the folders and of the files directly in `path`, none if it is missing."""
        key = self.key_of(os.fspath(path).lstrip("/"))
        try:
            return self.list_folder(key if key == self._prefix else f"{key}/")
        except keys.InvalidKey:
            return [], []

    def save(self, name: Name | None, content: Any, max_length: int | None = None) -> str:
        return super().save(os.fspath(name) if name is not None else None, content, max_length=max_length)

    def _describe(self, name: Name) -> ObjectInfo:
        key = self.key_of(name)
        try:
            return self.describe(key)
        except keys.InvalidKey:
            raise ObjectMissing(key) from None

    def _open(self, name: Name, mode: str = "rb") -> File:
        name = os.fspath(name)
        return files.ObjectFile(self._open_object(name, mode), name, mode, self._open_object)

    def _open_object(self, name: str, mode: str, **options: Any) -> IO[Any]:
        is_text, key = files.is_text(mode), self.key_of(name)
        try:
            file = self.read(key)
        except keys.InvalidKey:
            raise ObjectMissing(key) from None
        return io.TextIOWrapper(file, **{"encoding": "utf-8", **options}) if is_text else file

    def _save(self, name: Name, content: File) -> str:
        """Create the object, under another name if this one was taken since get_available_name() was called.

        Raises ObjectExists if the class has no other name.
        """
        name = keys.from_name(name)
        content_type = content_types.header(getattr(content, "content_type", None)) or content_types.guess(
            name
        )
        write = self.replace if self.file_overwrite else self.put
        with files.rewindable(content) as file:
            while True:
                key = self.key_of(name)
                options = {"content_type": content_type, "cache_control": self.cache_control_for(key)}
                try:
                    write(key, files.chunks(file), **options)
                    return name
                except ObjectExists:
                    taken, name = name, self.get_available_name(name)
                    if name == taken:
                        raise ObjectExists(key) from None

    def get_valid_name(self, name: str) -> str:
        name = str(name)
        return super().get_valid_name(name if name.isascii() else keys.transliterate(name))

    def get_available_name(self, name: Name, max_length: int | None = None) -> str:
        """Return the name in legal characters if it is free, else a similar name with the same suffix.

        `guía.pdf` becomes `guia.pdf`, unless programs ask for the file by the name that they gave to `save`.
        """
        name = keys.from_name(name) if self._keeps_names else keys.readable_from_name(name)
        folder = name[: name.rfind("/") + 1]
        longest = keys.MAX_KEY - len(self._prefix)
        limit = min(max_length or longest, longest, len(folder) + keys.MAX_SEGMENT)
        if self.file_overwrite and len(name) <= limit:
            return name
        return super().get_available_name(name, limit)


def store_of(alias: str) -> SignedStorage:
    """Return the store that STORAGES has under this alias."""
    store = storages[alias]
    assert isinstance(store, SignedStorage), f"STORAGES[{alias!r}] cannot sign URLs"
    return store


def signed_stores() -> list[SignedStorage]:
    """Return every store of STORAGES that can sign URLs.

    The others are not created, because some cannot be: Django's default for static files needs STATIC_URL.
    """
    stores = (storages[alias] for alias, entry in settings.STORAGES.items() if _may_sign(entry))
    return [store for store in stores if isinstance(store, SignedStorage)]


def _may_sign(entry: Any) -> bool:
    """Return False if the BACKEND of this entry of STORAGES is a class of stores that cannot sign URLs."""
    return "BACKEND" not in entry or _may_be_signed_storage(entry["BACKEND"])


@cache
def _may_be_signed_storage(backend: str) -> bool:
    try:
        imported = import_string(backend)
    except ImportError:  # `storages[alias]` says what is wrong
        return True
    return not isinstance(imported, type) or issubclass(imported, SignedStorage)


def incoming_store() -> SignedStorage:
    """Return the store with the option `incoming`. Raises ImproperlyConfigured if there is none."""
    for store in signed_stores():
        if store.incoming:
            return store
    raise ImproperlyConfigured('No entry of STORAGES has the option "incoming": True.')


def _relative_to_media_root(name: Name) -> Name:
    if settings.MEDIA_ROOT and os.path.isabs(name):
        with suppress(ValueError):  # it is not in MEDIA_ROOT
            return PurePath(name).relative_to(os.path.abspath(settings.MEDIA_ROOT))
    return name


def _as_configured(time: datetime) -> datetime:
    """Return the time as Django's Storage does: aware if USE_TZ, else naive in the local time zone."""
    return time if settings.USE_TZ else timezone.make_naive(time)
