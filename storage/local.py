"""LocalStorage: Django's storage on the local store, for development, tests and small sites."""

import os
from collections.abc import Iterable, Sequence
from typing import BinaryIO

from django.utils.deconstruct import deconstructible

from storage import disk, keys, tokens
from storage.base import ObjectInfo, ObjectMissing, SignedStorage, StorageUnavailable
from storage.local_objects import LocalObjects


@deconstructible
class LocalStorage(SignedStorage):
    """A bucket as a folder. Any number of processes may use it at once."""

    @property
    def objects(self) -> LocalObjects:
        return LocalObjects(self.bucket)

    def describe(self, key: str) -> ObjectInfo:
        return self.objects.describe(keys.check(key))

    def put(self, key: str, pieces: Iterable[bytes], *, content_type: str, cache_control: str) -> None:
        self.objects.write(keys.check(key), pieces, content_type=content_type, cache_control=cache_control)

    def move(self, key: str, to: SignedStorage, new_key: str) -> None:
        self.objects.move(keys.check(key), LocalObjects(to.bucket), keys.check(new_key))
        self._forget(key)

    def copy(self, key: str, to: SignedStorage, new_key: str) -> None:
        self.objects.copy(keys.check(key), LocalObjects(to.bucket), keys.check(new_key))

    def read(self, key: str) -> BinaryIO:
        return self.objects.open(keys.check(key))[0]

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        inside = f"{keys.check(path.strip('/'))}/" if path.strip("/") else ""
        folders, objects = self.objects.children(inside)
        if inside and not folders and not objects:
            raise ObjectMissing(path)
        return folders, objects

    def check_ready(self) -> None:
        place = disk.root()
        while not os.path.lexists(place):  # it is made on demand: what must be there is where to make it
            place = place.parent
        if not (place.is_dir() and os.access(place, os.R_OK | os.W_OK | os.X_OK)):
            raise StorageUnavailable("MEDIA_ROOT cannot be read and written")

    def _remove(self, key: str) -> None:
        self.objects.remove(keys.check(key))

    def _upload_token(self, key: str, seconds: int) -> str:
        return tokens.mint("upload", self.bucket, key, seconds)

    def _download_tokens(self, keys: Sequence[str], seconds: int) -> dict[str, str]:
        return {key: tokens.mint("download", self.bucket, key, seconds) for key in keys}
