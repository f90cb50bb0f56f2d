"""SupabaseStorage: a bucket of a Supabase project, as a Django storage with signed URLs."""

import hashlib
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from django.conf import settings
from django.utils import timezone
from django.utils.deconstruct import deconstructible

from storage import keys, tokens, url_cache
from storage.contract import ObjectInfo, ObjectStorage, OpenObject
from storage.errors import (
    ObjectExists,
    ObjectMissing,
    StorageError,
    StorageUnavailable,
    translate_os_errors,
)
from storage.files import read_chunks
from storage.protocol import TUS_CHUNK_SIZE, ProtocolStorage
from storage.supabase import tus
from storage.supabase.client import call, json_object, prepare, request, retry, translate_errors
from storage.supabase.deadlines import deadline, transfer_seconds
from storage.supabase.range_reader import BUFFER_SIZE, RangeReader, buffered

if TYPE_CHECKING:
    from storage3._sync.file_api import SyncBucketProxy
    from storage3.types import SearchV2Object, SearchV2Options, SearchV2Result

Result = TypeVar("Result")

KEEP_ALIVE_MAX_SIZE = 64 * 1024  # bytes: Storage receives a body of at most this size before it refuses it
CLOSE_CONNECTION = {"Connection": "close"}  # after a larger body was refused, a reused connection would hang
MAX_KEYS_PER_CALL = 1000  # keys that Storage signs in one call
PUT_SECONDS = 60  # for all calls of one `put`, plus the time that its size needs
CLEANUP_SECONDS = 10  # for deleting an object at its staging key after a failed `put`
READY_SECONDS = 5  # for `check_ready`


@deconstructible(path="storage.supabase.SupabaseStorage")
class SupabaseStorage(ProtocolStorage):
    """A bucket of a Supabase project. Thread-safe.

    Besides the errors in its docstring, every method raises StorageUnavailable if Storage gave no clear
    answer, and its subclass StorageMisconfigured if the secret key, the bucket or SUPABASE_URL is wrong.
    """

    def describe(self, key: str) -> ObjectInfo:
        return self._info(key)[1]

    def put(self, key: str, chunks: Iterable[bytes], *, content_type: str, cache_control: str) -> None:
        with _spool(chunks) as (file, size, md5):
            self.put_file(
                key,
                file,
                size,
                content_type=content_type,
                cache_control=cache_control,
                verify=lambda staging_key: self._has_content(staging_key, size, md5),
            )

    def put_file(
        self,
        key: str,
        file: BinaryIO,
        size: int,
        *,
        content_type: str,
        cache_control: str,
        verify: Callable[[str], bool | None],
        staging_key: str = "",
    ) -> None:
        """Create the object from a seekable file. Raises ObjectExists, ObjectRefused.

        The file is uploaded under a staging key, verified there, and moved to `key`: of two simultaneous
        uploads without upsert, one can overwrite the other; a move never overwrites. `verify(staging_key)`
        returns whether these bytes arrived under the staging key. `staging_key`: a key that only the caller
        uses; an object left there by an earlier attempt is replaced. By default a random key.
        """
        keys.check(key)
        staging_key = staging_key or f"{keys.STAGING_FOLDER}/{secrets.token_urlsafe(18)}"
        try:
            with deadline(PUT_SECONDS + transfer_seconds(size)):
                object_id = self._send(file, size, staging_key, content_type, cache_control)
                if not verify(staging_key):
                    raise StorageUnavailable("The object that arrived differs from the file that was sent")
                self._move_to_key(staging_key, key, object_id)
        except BaseException:  # a request that has used up its budget leaves the object at its staging key
            with suppress(StorageError), deadline(CLEANUP_SECONDS):
                self.delete_object(staging_key)
            raise

    def put_file_directly(
        self,
        key: str,
        file: BinaryIO,
        size: int,
        *,
        content_type: str,
        cache_control: str,
        verify: Callable[[str], bool | None],
    ) -> None:
        """Create the object like `put_file`, but without a staging key, and so with fewer calls.

        Only for a key that nobody else writes to, and for at most TUS_CHUNK_SIZE bytes. ObjectExists may also
        mean that the response to an earlier attempt was lost. An object that is not verified is deleted.
        """
        with deadline(PUT_SECONDS + transfer_seconds(size)):
            self._upload(file, size, keys.check(key), content_type, cache_control, upsert=False)
            if not verify(key):
                self.delete_object(key)
                raise StorageUnavailable("The object that arrived differs from the file that was sent")

    def put_at_new_key(
        self, key: str, chunks: Iterable[bytes], *, content_type: str, cache_control: str
    ) -> None:
        """Create the object with one upload, and compare what arrived. Large files need a staging key."""
        options = {"content_type": content_type, "cache_control": cache_control}
        with _spool(chunks) as (file, size, md5), deadline(PUT_SECONDS + transfer_seconds(size)):
            if size > TUS_CHUNK_SIZE:
                return self.put_file(
                    key, file, size, verify=lambda sent: self._has_content(sent, size, md5), **options
                )
            self._uploader(file, size, keys.check(key), content_type, cache_control, upsert=False)()
            if not self._has_content(key, size, md5):
                raise StorageUnavailable("The object that arrived differs from the file that was sent")

    def move(self, key: str, to: ObjectStorage, new_key: str) -> None:
        self._move_or_copy("move", key, to, new_key)
        url_cache.delete(self.bucket, key)

    def copy(self, key: str, to: ObjectStorage, new_key: str) -> None:
        self._move_or_copy("copy", key, to, new_key)

    def read(self, key: str) -> BinaryIO:
        return buffered(self._reader(key, BUFFER_SIZE))

    def open_object(self, key: str, length: int | None = None) -> OpenObject:
        reader = self._reader(key, length)
        return OpenObject(buffered(reader), reader.size, reader.content_type)

    def replace(self, key: str, chunks: Iterable[bytes], *, content_type: str, cache_control: str) -> None:
        """Replace the object with one request: who reads meanwhile gets the old one.

        Raises StorageUnavailable if another call replaced it at the same time.
        """
        with _spool(chunks) as (file, size, md5), deadline(PUT_SECONDS + transfer_seconds(size)):
            self._send(file, size, keys.check(key), content_type, cache_control)
            if not self._has_content(key, size, md5):
                raise StorageUnavailable("The object that arrived differs from the file that was sent")

    def list_folder(self, folder: str) -> tuple[list[str], list[str]]:
        keys.check_folder(folder)
        folders, objects = [], []
        for page in self._pages({"prefix": folder, "with_delimiter": True}):
            folders += [found.name.removeprefix(folder).rstrip("/") for found in page.folders]
            objects += [found.name.removeprefix(folder) for found in page.objects]
        return [name for name in folders if folder or name != keys.STAGING_FOLDER], objects

    def has_folder(self, folder: str) -> bool:
        pages = self._pages({"prefix": keys.check_folder(folder), "with_delimiter": True, "limit": 100})
        return any(page.folders or page.objects for page in pages)

    def walk(self, prefix: str = "") -> Iterator[ObjectInfo]:
        inside_staging = prefix.startswith(f"{keys.STAGING_FOLDER}/")
        found = self._objects(keys.check_prefix(prefix))
        return (
            info for info in found if inside_staging or not info.key.startswith(f"{keys.STAGING_FOLDER}/")
        )

    def delete_leftovers(self, min_age: timedelta, *, dry_run: bool = False) -> Iterator[str]:
        for info in self.walk(f"{keys.STAGING_FOLDER}/"):
            is_old = timezone.now() - info.last_modified >= min_age
            if is_old and (dry_run or self.delete_if_exists(info.key)):
                yield info.key

    def check_ready(self) -> None:
        prepare()
        with deadline(READY_SECONDS):
            json_object(request("GET", "bucket", self.bucket), self.bucket)

    def delete_object(self, key: str) -> None:
        path = ("object", self.bucket, keys.check(key))
        retry(lambda: json_object(request("DELETE", *path), key))

    # --- Tokens -------------------------------------------------------------------------------------

    def upload_token(self, key: str, seconds: int, size: int | None) -> str:
        """Return a token. With SUPABASE_SIGNING=server Storage decides when it expires, not `seconds`.

        Storage knows no limit for one object, so `size` has no effect: only the bucket's limit applies.
        """
        if settings.SUPABASE_SIGNING == "secret":
            return tokens.mint("upload", self.bucket, key, seconds)
        path = ("object", "upload", "sign", self.bucket, key)  # the SDK does not quote a `?` in the key
        response = retry(lambda: json_object(request("POST", *path), key))
        with translate_errors(key):
            return _checked(response["token"])

    def download_tokens(self, wanted: Sequence[str], seconds: int) -> dict[str, str]:
        if settings.SUPABASE_SIGNING == "secret":
            return {key: tokens.mint("download", self.bucket, key, seconds) for key in wanted}
        found: dict[str, str] = {}
        for start in range(0, len(wanted), MAX_KEYS_PER_CALL):
            found |= self._sign(list(wanted[start : start + MAX_KEYS_PER_CALL]), seconds)
        if wanted and not found:  # a missing bucket and a wrong secret key give the same: then `_info` raises
            with suppress(ObjectMissing):
                self._info(wanted[0])
        return found

    def _sign(self, wanted: list[str], seconds: int) -> dict[str, str]:
        return self._call(lambda bucket: _tokens(bucket.create_signed_urls(wanted, seconds)), self.bucket)

    # --- Calls --------------------------------------------------------------------------------------

    def _reader(self, key: str, length: int | None) -> RangeReader:
        path = ("object", "authenticated", self.bucket, keys.check(key))
        return RangeReader(lambda headers: request("GET", *path, headers=headers, stream=True), length)

    def _call(self, act: Callable[["SyncBucketProxy"], Result], what: str) -> Result:
        """Call the SDK and process its response, with retries: the call must be safe to repeat."""
        return call(lambda sdk: act(sdk.from_(self.bucket)), what)

    def _info(self, key: str) -> tuple[str, ObjectInfo]:
        """Return the object's id, which a move does not change, and its metadata. Raises ObjectMissing."""
        path = ("object", "info", self.bucket, keys.check(key))  # the SDK does not quote a `;` in the key

        def get() -> tuple[str, ObjectInfo]:
            info = json_object(request("GET", *path), key)
            with translate_errors(key):
                return _parse_info(key, info)

        return retry(get)

    def _move_or_copy(self, verb: str, key: str, to: ObjectStorage, new_key: str) -> None:
        """Send one request, without retries: if the response is lost, it may have been done. The SDK cannot
        move to another bucket.
        """
        body = {
            "bucketId": self.bucket,
            "sourceKey": keys.check(key),
            "destinationBucket": to.bucket,
            "destinationKey": keys.check(new_key),
        }
        json_object(request("POST", "object", verb, what=key, json=body), key)

    def _objects(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects. Raises StorageMisconfigured if there are none because the bucket is missing or
        the secret key is wrong: Storage answers both with an empty list.
        """
        is_empty = True
        for page in self._pages({"prefix": prefix}):
            for found in page.objects:
                is_empty = False
                with suppress(ObjectMissing):  # deleted meanwhile
                    yield _parse_listed(found) or self.describe(found.name)
        if is_empty:
            self.check_ready()

    def _pages(self, options: "SearchV2Options") -> "Iterator[SearchV2Result]":
        """Yield the pages, without what only seems to have the prefix: for Storage a `_` in it stands for any
        character.
        """
        prefix = options["prefix"]
        while True:
            page = self._call(lambda bucket: bucket.list_v2(options), self.bucket)
            page.folders = [found for found in page.folders if found.name.startswith(prefix)]
            page.objects = [found for found in page.objects if found.name.startswith(prefix)]
            yield page
            if not page.hasNext:
                return
            if page.nextCursor in (None, options.get("cursor")):
                raise StorageUnavailable("Supabase Storage sent no new cursor for the next page of the list")
            options["cursor"] = page.nextCursor

    # --- Putting ------------------------------------------------------------------------------------

    def _send(
        self, file: BinaryIO, size: int, staging_key: str, content_type: str, cache_control: str
    ) -> str:
        """Upload the file under the key, replacing an object that is there. Return its id."""
        if size > TUS_CHUNK_SIZE:
            tus.upload(file, size, self.bucket, staging_key, content_type, cache_control)
            return self._info(staging_key)[0]
        return self._upload(file, size, staging_key, content_type, cache_control, upsert=True)

    def _upload(
        self, file: BinaryIO, size: int, key: str, content_type: str, cache_control: str, *, upsert: bool
    ) -> str:
        """Upload the file under the key with one request, and retries. Return the id of the object."""
        return retry(self._uploader(file, size, key, content_type, cache_control, upsert=upsert))

    def _uploader(
        self, file: BinaryIO, size: int, key: str, content_type: str, cache_control: str, *, upsert: bool
    ) -> Callable[[], str]:
        """Return a function that uploads the file once, and returns the id of the object."""
        headers = {
            "Content-Type": content_type,
            "Content-Length": str(size),
            "Cache-Control": cache_control,
            "x-upsert": "true" if upsert else "false",
            **(CLOSE_CONNECTION if size > KEEP_ALIVE_MAX_SIZE else {}),
        }

        def send() -> str:
            file.seek(0)
            content = read_chunks(file)
            response = request("POST", "object", self.bucket, key, content=content, headers=headers)
            with translate_errors(key):
                return str(json_object(response, key)["Id"])

        return send

    def _has_content(self, key: str, size: int, md5: str) -> bool:
        """Return True if the object has this size and MD5. It is read if its etag is not this MD5."""
        info = self.describe(key)
        return info.size == size and (info.etag.strip('"') == md5 or self._md5(key) == md5)

    def _md5(self, key: str) -> str:
        digest = hashlib.md5(usedforsecurity=False)
        with self.read(key) as file:
            for chunk in read_chunks(file):
                digest.update(chunk)
        return digest.hexdigest()

    def _move_to_key(self, staging_key: str, key: str, object_id: str) -> None:
        """Move the object from the staging key, with retries. After a lost response, the id of the object
        under `key` shows whether the move was done.
        """

        def move() -> None:
            try:
                self.move(staging_key, self, key)
            except (StorageUnavailable, ObjectMissing, ObjectExists):
                if not self._has_id(key, object_id):
                    raise

        retry(move)

    def _has_id(self, key: str, object_id: str) -> bool:
        try:
            return self._info(key)[0] == object_id
        except ObjectMissing:
            return False


@contextmanager
def _spool(chunks: Iterable[bytes]) -> Iterator[tuple[BinaryIO, int, str]]:
    """Yield a temporary file of the bytes, which can be sent again, its size and its MD5.

    Up to TUS_CHUNK_SIZE bytes it is kept in memory.
    """
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
    """Return the tokens by key, without missing objects. The SDK does not quote a `?` in a key, so the token
    is what follows the last `token=`.
    """
    urls = {each["path"]: each["signedURL"] for each in signed if each["signedURL"]}
    return {key: _checked(url.rpartition("token=")[2]) for key, url in urls.items()}


def _checked(token: str) -> str:
    """Return the token. Raises some exception, for `translate_errors`, if its expiry is unreadable."""
    tokens.expiry(token)
    return token


def _parse_listed(found: "SearchV2Object") -> ObjectInfo | None:
    """Return the metadata of an object in a list, None if the list lacks some of it."""
    metadata = found.metadata or {}
    try:
        return ObjectInfo(
            key=found.name,
            size=int(metadata["size"]),
            content_type=_text(metadata["mimetype"]),
            cache_control=_text(metadata["cacheControl"]),
            etag=str(metadata.get("eTag") or ""),
            created_at=found.created_at,
            last_modified=found.updated_at,
        )
    except (KeyError, TypeError, ValueError):
        return None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(type(value))
    return value


def _parse_info(key: str, info: dict[str, Any]) -> tuple[str, ObjectInfo]:
    return str(info["id"]), ObjectInfo(
        key=key,
        size=int(info["size"]),
        content_type=str(info["content_type"]),
        cache_control=str(info["cache_control"]),
        etag=str(info.get("etag") or ""),
        created_at=datetime.fromisoformat(info["created_at"]),
        last_modified=datetime.fromisoformat(info["last_modified"]),
    )
