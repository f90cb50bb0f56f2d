"""MemoryStorage: a store that shares no code with the two that ship, and has another protocol."""

import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any, BinaryIO

from django.utils import timezone
from django.utils.deconstruct import deconstructible

from storage import keys
from storage.base import ObjectInfo, SignedStorage, SignedUpload, SignedURL
from storage.contract import ObjectStorage
from storage.errors import ObjectExists, ObjectMissing

OBJECTS: dict[tuple[str, str], tuple[bytes, ObjectInfo]] = {}


@deconstructible
class MemoryStorage(SignedStorage):
    origin = "https://memory.example.org"

    def describe(self, key: str) -> ObjectInfo:
        return self._object(key)[1]

    def put(self, key: str, chunks: Iterable[bytes], *, content_type: str, cache_control: str) -> None:
        if (self.bucket, keys.check(key)) in OBJECTS:
            raise ObjectExists(key)
        content, now = b"".join(chunks), timezone.now()
        info = ObjectInfo(key, len(content), content_type, cache_control, f'"{hash(content)}"', now, now)
        OBJECTS[self.bucket, key] = content, info

    def copy(self, key: str, to: ObjectStorage, new_key: str) -> None:
        content, info = self._object(key)
        to.put(new_key, [content], content_type=info.content_type, cache_control=info.cache_control)

    def move(self, key: str, to: ObjectStorage, new_key: str) -> None:
        self.copy(key, to, new_key)
        self.delete_object(key)

    def read(self, key: str) -> BinaryIO:
        return io.BytesIO(self._object(key)[0])

    def delete_object(self, key: str) -> None:
        self._object(key)
        del OBJECTS[self.bucket, key]

    def list_folder(self, folder: str) -> tuple[list[str], list[str]]:
        inside = [key.removeprefix(folder) for bucket, key in OBJECTS if bucket == self.bucket]
        return [], [name for name in inside if "/" not in name]

    def walk(self, prefix: str = "") -> Iterator[ObjectInfo]:
        found = [key for bucket, key in OBJECTS if bucket == self.bucket and key.startswith(prefix)]
        return (self.describe(key) for key in sorted(found))

    def sign_upload(
        self, key: str, content_type: str, *, seconds: int, max_age: int, size: int | None = None
    ) -> SignedUpload:
        expires_at = timezone.now() + timedelta(seconds=seconds)
        headers = {"content-type": content_type, "cache-control": f"max-age={max_age}"}
        return SignedUpload(self.bucket, key, f"{self.origin}/{key}?put", headers, expires_at, method="POST")

    def sign_downloads(self, wanted: Sequence[str], *, seconds: int) -> dict[str, SignedURL]:
        there = [key for key in wanted if self.exists(key)]
        return {key: self.sign_download(key, seconds=seconds) for key in there}

    def sign_download(self, key: str, *, seconds: int, filename: str | None = None) -> SignedURL:
        self._object(key)
        url = f"{self.origin}/{self.bucket}/{key}?as={filename}"
        return SignedURL(url, timezone.now() + timedelta(seconds=seconds))

    def public_url(self, key: str) -> str:
        return f"{self.origin}/{self.bucket}/{key}"

    def check_ready(self) -> None:
        pass

    def _object(self, key: str) -> tuple[bytes, Any]:
        try:
            return OBJECTS[self.bucket, keys.check(key)]
        except KeyError:
            raise ObjectMissing(key) from None
