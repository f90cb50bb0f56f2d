"""SupabaseStorage: a bucket of a Supabase project, as a Django storage that hands out signed URLs."""

import hashlib
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, BinaryIO, cast
from urllib.parse import parse_qs, urlsplit

from django.conf import settings
from django.utils.deconstruct import deconstructible

from storage import keys, tokens, tus
from storage.base import (
    ARRIVALS,
    ObjectInfo,
    ObjectMissing,
    SignedStorage,
    StorageError,
    StorageUnavailable,
    pieces_of,
)
from storage.remote_file import open_remote
from storage.supabase_client import ATTEMPTS, ours, request, retried, sdk

STAGE = ".arriving"  # the folder of what is not yet known to have arrived whole
IN_PARTS = 6 * 1024 * 1024  # bytes: what is larger goes up in parts
MOST_SIGNED = 1000  # keys in one call


@deconstructible
class SupabaseStorage(SignedStorage):
    """Any number of threads may use it at once.

    Beside what each method says, all raise StorageUnavailable when they cannot know, and its kind
    StorageMisconfigured when a key, a bucket or the address is wrong.
    """

    def describe(self, key: str) -> ObjectInfo:
        return _described(key, self._info(key))

    def put(self, key: str, pieces: Iterable[bytes], *, content_type: str, cache_control: str) -> ObjectInfo:
        """Up to a key that nobody knows, looked at there, and moved to its own.

        Because an upload that must not overwrite does overwrite when two are made at once; a move never does.
        """
        keys.check(key)
        stage = f"{STAGE}/{secrets.token_urlsafe(18)}"
        with _spooled(pieces) as (file, size, digest):
            try:
                self._send(file, size, stage, content_type, cache_control)
                arrived = self._proved(stage, size, digest)
                self._settle(stage, key, arrived["id"])
            except BaseException:
                with suppress(StorageError):
                    self._remove(stage)
                raise
        return _described(key, arrived)

    def move(self, key: str, to: SignedStorage, new_key: str) -> None:
        self._from_to("move", key, to, new_key)
        self._forget(key)

    def copy(self, key: str, to: SignedStorage, new_key: str) -> None:
        self._from_to("copy", key, to, new_key)

    def read(self, key: str) -> BinaryIO:
        place = ("object", "authenticated", self.bucket, keys.check(key))
        return open_remote(
            lambda headers: retried(lambda: request("GET", *place, headers=headers, streamed=True))
        )

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        inside = f"{keys.check(path.strip('/'))}/" if path.strip("/") else ""
        folders, objects = [], []
        for page in self._pages(inside):
            folders += [folder.name.removeprefix(inside).rstrip("/") for folder in page.folders]
            objects += [found.name.removeprefix(inside) for found in page.objects]
        if inside and not folders and not objects:
            raise ObjectMissing(path)
        return [folder for folder in folders if inside or folder != STAGE], objects

    def check_ready(self) -> None:
        request("GET", "bucket", ARRIVALS)

    def _remove(self, key: str) -> None:
        retried(lambda: request("DELETE", "object", self.bucket, keys.check(key)))

    # --- Tokens -------------------------------------------------------------------------------------

    def _upload_token(self, key: str, seconds: int) -> str:
        """With `SUPABASE_SIGNING=server` the server decides how long it lives."""
        if settings.SUPABASE_SIGNING == "secret":
            return tokens.mint("upload", self.bucket, key, seconds)
        return self._sdk("create_signed_upload_url", key)["token"]

    def _download_tokens(self, wanted: Sequence[str], seconds: int) -> dict[str, str]:
        if settings.SUPABASE_SIGNING == "secret":
            return {key: tokens.mint("download", self.bucket, key, seconds) for key in wanted}
        found: dict[str, str] = {}
        for start in range(0, len(wanted), MOST_SIGNED):
            signed = self._sdk("create_signed_urls", list(wanted[start : start + MOST_SIGNED]), seconds)
            found |= {each["path"]: _token(each["signedURL"]) for each in signed if each["signedURL"]}
        if wanted and not found:  # the same answer for a missing bucket and for a wrong key
            with suppress(ObjectMissing):
                self._info(wanted[0])
        return found

    # --- Calls --------------------------------------------------------------------------------------

    def _sdk(self, verb: str, *args: Any) -> Any:
        """A call of the SDK that may be repeated."""

        def call() -> Any:
            with ours(self.bucket):
                return getattr(sdk().from_(self.bucket), verb)(*args)

        return retried(call)

    def _info(self, key: str) -> dict[str, Any]:
        return self._sdk("info", keys.check(key))

    def _from_to(self, verb: str, key: str, to: SignedStorage, new_key: str) -> None:
        """Not repeated: when the answer is lost, it may have been done. The SDK knows no other bucket."""
        places = {
            "bucketId": self.bucket,
            "sourceKey": keys.check(key),
            "destinationBucket": to.bucket,
            "destinationKey": keys.check(new_key),
        }
        request("POST", "object", verb, json=places)

    def _pages(self, inside: str) -> Iterator[Any]:
        cursor: dict[str, str] = {}
        while True:
            page = self._sdk("list_v2", {"prefix": inside, "with_delimiter": True, **cursor})
            yield page
            if not page.hasNext or not page.nextCursor:
                return
            cursor = {"cursor": page.nextCursor}

    # --- Putting ------------------------------------------------------------------------------------

    def _send(self, file: BinaryIO, size: int, stage: str, content_type: str, cache_control: str) -> None:
        if size > IN_PARTS:
            return tus.upload(file, size, self.bucket, stage, content_type, cache_control)
        options = {
            "content-type": content_type,
            "cache-control": cache_control.removeprefix("max-age="),
            "upsert": "true",  # nobody else has this key: what may be there is from an attempt before
        }
        self._sdk("upload", stage, file.read(), options)

    def _proved(self, stage: str, size: int, digest: str) -> dict[str, Any]:
        """What is known of it, once its bytes are ours: by the etag if that is their MD5, else read back."""
        info = self._info(stage)
        if info["size"] == size and info["etag"].strip('"') != digest:
            with self.read(stage) as file:
                arrived = hashlib.md5(usedforsecurity=False)
                for piece in pieces_of(file):
                    arrived.update(piece)
            if arrived.hexdigest() == digest:
                return info
        elif info["size"] == size:
            return info
        raise StorageUnavailable("What arrived at Supabase Storage is not what was sent")

    def _settle(self, stage: str, key: str, object_id: str) -> None:
        """Move it to its key. Where an answer was lost, the object there tells: it keeps its id."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self.move(stage, self, key)
            except (StorageUnavailable, ObjectMissing):
                if self._is_there(key, object_id):
                    return
                if attempt == ATTEMPTS:
                    raise

    def _is_there(self, key: str, object_id: str) -> bool:
        try:
            return self._info(key)["id"] == object_id
        except ObjectMissing:
            return False


@contextmanager
def _spooled(pieces: Iterable[bytes]) -> Iterator[tuple[BinaryIO, int, str]]:
    """The bytes as a file that can be sent again, in memory if it is small; its size and MD5."""
    digest = hashlib.md5(usedforsecurity=False)
    with tempfile.SpooledTemporaryFile(max_size=IN_PARTS) as file:
        for piece in pieces:
            digest.update(piece)
            file.write(piece)
        size = file.tell()
        file.seek(0)
        yield cast(BinaryIO, file), size, digest.hexdigest()


def _token(url: str) -> str:
    return parse_qs(urlsplit(url).query)["token"][0]


def _described(key: str, info: dict[str, Any]) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        size=info["size"],
        content_type=info["content_type"],
        cache_control=info["cache_control"],
        etag=info["etag"],
        created_at=datetime.fromisoformat(info["created_at"]),
        last_modified=datetime.fromisoformat(info["last_modified"]),
    )
