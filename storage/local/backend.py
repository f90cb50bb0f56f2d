"""LocalStorage: a Django storage that keeps its objects on this disk."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import BinaryIO

from django.utils.deconstruct import deconstructible

from storage import keys, tokens, url_cache
from storage.contract import ObjectInfo, ObjectStorage, OpenObject
from storage.errors import ObjectMissing, StorageUnavailable
from storage.local import disk, resumable_uploads
from storage.local.objects import LocalObjects
from storage.protocol import ProtocolStorage


@deconstructible(path="storage.local.LocalStorage")
class LocalStorage(ProtocolStorage):
    """A bucket is a folder. Several processes may use it at the same time."""

    @property
    def objects(self) -> LocalObjects:
        return LocalObjects(self.bucket)

    def describe(self, key: str) -> ObjectInfo:
        return self.objects.describe(keys.check(key))

    def put(self, key: str, chunks: Iterable[bytes], *, content_type: str, cache_control: str) -> None:
        self.objects.write(keys.check(key), chunks, content_type=content_type, cache_control=cache_control)

    def move(self, key: str, to: ObjectStorage, new_key: str) -> None:
        self.objects.move(keys.check(key), LocalObjects(to.bucket), keys.check(new_key))
        resumable_uploads.remove_open(self.bucket, key)
        url_cache.delete(self.bucket, key)

    def copy(self, key: str, to: ObjectStorage, new_key: str) -> None:
        self.objects.copy(keys.check(key), LocalObjects(to.bucket), keys.check(new_key))

    def read(self, key: str) -> BinaryIO:
        return self.objects.open(keys.check(key))[0]

    def open_object(self, key: str, length: int | None = None) -> OpenObject:
        file, found = self.objects.open(keys.check(key))
        return OpenObject(file, found.size, found.content_type)

    def replace(self, key: str, chunks: Iterable[bytes], *, content_type: str, cache_control: str) -> None:
        self.objects.write(
            keys.check(key), chunks, content_type=content_type, cache_control=cache_control, replace=True
        )

    def list_folder(self, folder: str) -> tuple[list[str], list[str]]:
        return self.objects.children(keys.check_folder(folder))

    def walk(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for key in self.objects.walk(keys.check_prefix(prefix)):
            with suppress(ObjectMissing):  # deleted meanwhile
                yield self.objects.describe(key)

    def delete_leftovers(self, min_age: timedelta, *, dry_run: bool = False) -> Iterator[str]:
        return resumable_uploads.delete_leftovers(self.bucket, min_age.total_seconds(), dry_run=dry_run)

    def delete_parts(self, key: str) -> None:
        resumable_uploads.remove_open(self.bucket, keys.check(key))

    def check_ready(self) -> None:
        folder = disk.root()
        while not os.path.lexists(folder):  # MEDIA_ROOT is created on demand: check where it will be created
            folder = folder.parent
        if not (folder.is_dir() and os.access(folder, os.R_OK | os.W_OK | os.X_OK)):
            raise StorageUnavailable("MEDIA_ROOT is not readable and writable")

    def delete_object(self, key: str) -> None:
        resumable_uploads.remove_open(self.bucket, keys.check(key))  # first: one may be finished meanwhile
        self.objects.remove(key)

    def upload_token(self, key: str, seconds: int, size: int | None) -> str:
        return tokens.mint("upload", self.bucket, key, seconds, max_size=size)

    def download_tokens(self, wanted: Sequence[str], seconds: int) -> dict[str, str]:
        return {key: tokens.mint("download", self.bucket, key, seconds) for key in wanted}
