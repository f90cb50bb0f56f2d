"""SupabaseStorage: a bucket of a Supabase project, as a Django storage that hands out signed URLs."""

import hashlib
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from django.conf import settings
from django.utils.deconstruct import deconstructible

from storage import keys, tokens, url_cache
from storage.base import ObjectInfo, SignedStorage, read_chunks
from storage.errors import (
    ObjectExists,
    ObjectMissing,
    StorageError,
    StorageUnavailable,
    translate_os_errors,
)
from storage.protocol import TUS_CHUNK_SIZE, ProtocolStorage
from storage.supabase import tus
from storage.supabase.client import call, json_object, request, retry, translate_errors
from storage.supabase.range_reader import open_object
from storage.supabase.transport import deadline, transfer_seconds

if TYPE_CHECKING:
    from storage3._sync.file_api import SyncBucketProxy
    from storage3.types import SearchV2Options, SearchV2Result

Result = TypeVar("Result")

STAGING_FOLDER = ".arriving"  # the folder of what is not yet known to have arrived whole
AT_ONCE = 64 * 1024  # bytes: a body of so many has arrived before it is refused
ONCE = {"Connection": "close"}  # one on which a larger body was refused hangs when it is used again
MOST_SIGNED = 1000  # keys in one call
LONGEST = 60  # seconds for all the calls of a `put`, and as many more as its size takes
TIDYING = 10  # seconds for removing what did not arrive whole
PROBING = 5  # seconds: who asks whether all is well does not wait for long


@deconstructible(path="storage.supabase.SupabaseStorage")
class SupabaseStorage(ProtocolStorage):
    """Any number of threads may use it at once.

    Beside what each method says, all raise StorageUnavailable when they cannot know, and its kind
    StorageMisconfigured when a key, a bucket or the address is wrong.
    """

    def describe(self, key: str) -> ObjectInfo:
        return self._look(key)[1]

    def put(self, key: str, chunks: Iterable[bytes], *, content_type: str, cache_control: str) -> None:
        with _spooled(chunks) as (file, size, digest):
            self.put_file(
                key,
                file,
                size,
                content_type=content_type,
                cache_control=cache_control,
                prove=lambda stage: self._has(stage, size, digest),
            )

    def put_file(
        self,
        key: str,
        file: BinaryIO,
        size: int,
        *,
        content_type: str,
        cache_control: str,
        prove: Callable[[str], bool | None],
        stage: str = "",
    ) -> None:
        """Create the object, of a file that can be read again. Raises ObjectExists.

        Up to a key that nobody knows, looked at there, and moved to its own: because an upload that must not
        overwrite does overwrite when two are made at once; a move never does. `prove(stage)` says whether
        these bytes have arrived there. `stage`: a key of the caller's own, whose leavings may be replaced.
        """
        keys.check(key)
        stage = stage or f"{STAGING_FOLDER}/{secrets.token_urlsafe(18)}"
        try:
            with deadline(LONGEST + transfer_seconds(size)):
                object_id = self._send(file, size, stage, content_type, cache_control)
                if not prove(stage):
                    raise StorageUnavailable("What arrived at Supabase Storage is not what was sent")
                self._settle(stage, key, object_id)
        except BaseException:
            with suppress(StorageError), deadline(TIDYING):
                self.delete_object(stage)
            raise

    def move(self, key: str, to: SignedStorage, new_key: str) -> None:
        self._from_to("move", key, to, new_key)
        url_cache.delete(self.bucket, key)

    def copy(self, key: str, to: SignedStorage, new_key: str) -> None:
        self._from_to("copy", key, to, new_key)

    def read(self, key: str) -> BinaryIO:
        place = ("object", "authenticated", self.bucket, keys.check(key))
        return open_object(lambda headers: request("GET", *place, headers=headers, stream=True))

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        inside = f"{keys.check(path.strip('/'))}/" if path.strip("/") else ""
        folders, objects = [], []
        for page in self._pages(inside):
            folders += [folder.name.removeprefix(inside).rstrip("/") for folder in page.folders]
            objects += [found.name.removeprefix(inside) for found in page.objects]
        if inside and not folders and not objects:
            raise ObjectMissing(path)
        return [folder for folder in folders if inside or folder != STAGING_FOLDER], objects

    def check_ready(self) -> None:
        with deadline(PROBING):
            json_object(request("GET", "bucket", self.bucket), self.bucket)

    def delete_object(self, key: str) -> None:
        place = ("object", self.bucket, keys.check(key))
        retry(lambda: json_object(request("DELETE", *place), key))

    # --- Tokens -------------------------------------------------------------------------------------

    def upload_token(self, key: str, seconds: int) -> str:
        """With `SUPABASE_SIGNING=server` the server decides how long it lives."""
        if settings.SUPABASE_SIGNING == "secret":
            return tokens.mint("upload", self.bucket, key, seconds)
        place = ("object", "upload", "sign", self.bucket, key)  # the SDK trips over a `?` in the key
        answer = retry(lambda: json_object(request("POST", *place), key))
        with translate_errors(key):
            return _readable(answer["token"])

    def download_tokens(self, wanted: Sequence[str], seconds: int) -> dict[str, str]:
        if settings.SUPABASE_SIGNING == "secret":
            return {key: tokens.mint("download", self.bucket, key, seconds) for key in wanted}
        found: dict[str, str] = {}
        for start in range(0, len(wanted), MOST_SIGNED):
            found |= self._signed(list(wanted[start : start + MOST_SIGNED]), seconds)
        if wanted and not found:  # the same answer for a missing bucket and for a wrong key
            with suppress(ObjectMissing):
                self._look(wanted[0])
        return found

    def _signed(self, some: list[str], seconds: int) -> dict[str, str]:
        return self._ask(lambda bucket: _tokens(bucket.create_signed_urls(some, seconds)), self.bucket)

    # --- Calls --------------------------------------------------------------------------------------

    def _ask(self, act: Callable[["SyncBucketProxy"], Result], what: str) -> Result:
        """A call of the SDK that may be repeated, and what is made of its answer."""
        return call(lambda sdk: act(sdk.from_(self.bucket)), what)

    def _look(self, key: str) -> tuple[str, ObjectInfo]:
        """The object's id, which stays with it wherever it is moved, and what is known of it."""
        return self._ask(lambda bucket: _described(key, bucket.info(keys.check(key))), key)

    def _from_to(self, verb: str, key: str, to: SignedStorage, new_key: str) -> None:
        """Not repeated: when the answer is lost, it may have been done. The SDK knows no other bucket."""
        places = {
            "bucketId": self.bucket,
            "sourceKey": keys.check(key),
            "destinationBucket": to.bucket,
            "destinationKey": keys.check(new_key),
        }
        json_object(request("POST", "object", verb, what=key, json=places), key)

    def _pages(self, inside: str) -> "Iterator[SearchV2Result]":
        asked: SearchV2Options = {"prefix": inside, "with_delimiter": True}
        while True:
            page = self._page(asked)
            yield page
            if not page.hasNext:
                return
            if page.nextCursor in (None, asked.get("cursor")):
                raise StorageUnavailable("Supabase Storage does not say how its list goes on")
            asked["cursor"] = page.nextCursor

    def _page(self, asked: "SearchV2Options") -> "SearchV2Result":
        return self._ask(lambda bucket: bucket.list_v2(asked), self.bucket)

    # --- Putting ------------------------------------------------------------------------------------

    def _send(self, file: BinaryIO, size: int, stage: str, content_type: str, cache_control: str) -> str:
        """The id of the object. Its key is nobody else's: what may be there is from an attempt before."""
        if size > TUS_CHUNK_SIZE:
            tus.upload(file, size, self.bucket, stage, content_type, cache_control)
            return self._look(stage)[0]
        headers = {
            "Content-Type": content_type,
            "Content-Length": str(size),
            "Cache-Control": cache_control,
            "x-upsert": "true",
            **(ONCE if size > AT_ONCE else {}),
        }

        def send() -> str:
            file.seek(0)
            answer = request("POST", "object", self.bucket, stage, content=read_chunks(file), headers=headers)
            with translate_errors(stage):
                return str(json_object(answer, stage)["Id"])

        return retry(send)

    def _has(self, key: str, size: int, digest: str) -> bool:
        """Whether these bytes are there: by the etag if it is their MD5, else by reading them."""
        info = self.describe(key)
        return info.size == size and (info.etag.strip('"') == digest or self._digest(key) == digest)

    def _digest(self, key: str) -> str:
        digest = hashlib.md5(usedforsecurity=False)
        with self.read(key) as file:
            for chunk in read_chunks(file):
                digest.update(chunk)
        return digest.hexdigest()

    def _settle(self, stage: str, key: str, object_id: str) -> None:
        """Move it to its key. Where an answer was lost, the object there tells: it keeps its id."""

        def settle() -> None:
            try:
                self.move(stage, self, key)
            except (StorageUnavailable, ObjectMissing, ObjectExists):
                if not self._is_there(key, object_id):
                    raise

        retry(settle)

    def _is_there(self, key: str, object_id: str) -> bool:
        try:
            return self._look(key)[0] == object_id
        except ObjectMissing:
            return False


@contextmanager
def _spooled(chunks: Iterable[bytes]) -> Iterator[tuple[BinaryIO, int, str]]:
    """The bytes as a file that can be sent again, in memory if it is small; its size and MD5."""
    digest = hashlib.md5(usedforsecurity=False)
    with tempfile.SpooledTemporaryFile(max_size=TUS_CHUNK_SIZE) as file:
        for chunk in chunks:
            digest.update(chunk)
            with translate_os_errors():
                file.write(chunk)
        size = file.tell()
        file.seek(0)
        yield cast(BinaryIO, file), size, digest.hexdigest()


def _tokens(signed: Iterable[Any]) -> dict[str, str]:
    """By key; what is missing has none. A key may hold a `?` too, and the SDK leaves it unquoted."""
    urls = {each["path"]: each["signedURL"] for each in signed if each["signedURL"]}
    return {key: _readable(url.rpartition("token=")[2]) for key, url in urls.items()}


def _readable(token: str) -> str:
    """The token, if it says when it runs out; else some error."""
    tokens.expiry(token)
    return token


def _described(key: str, info: dict[str, Any]) -> tuple[str, ObjectInfo]:
    return str(info["id"]), ObjectInfo(
        key=key,
        size=int(info["size"]),
        content_type=str(info["content_type"]),
        cache_control=str(info["cache_control"]),
        etag=str(info.get("etag") or ""),
        created_at=datetime.fromisoformat(info["created_at"]),
        last_modified=datetime.fromisoformat(info["last_modified"]),
    )
