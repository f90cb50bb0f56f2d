"""Uploads a large object in parts by the TUS protocol, and resumes after an interruption."""

import re
from base64 import b64encode
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urlsplit

from storage.errors import ObjectExists, StorageUnavailable
from storage.files import read_chunks
from storage.protocol import TUS_CHUNK_SIZE
from storage.supabase.client import request, retry

if TYPE_CHECKING:
    import httpx

#: Each request sends x-upsert, because Storage creates the object when the last part arrives.
COMMON_HEADERS = {"Tus-Resumable": "1.0.0", "x-upsert": "true"}
PART_HEADERS = {**COMMON_HEADERS, "Content-Type": "application/offset+octet-stream"}


def upload(file: BinaryIO, size: int, bucket: str, key: str, content_type: str, cache_control: str) -> None:
    """Upload the file under a staging key, replacing an object of an earlier attempt. Raises StorageError."""
    path = _create(size, bucket, key, content_type, cache_control)
    offset = 0
    while offset < size:
        new_offset = retry(_part_sender(path, file, offset, size))
        if not offset < new_offset <= size:
            raise StorageUnavailable("Supabase Storage sent an invalid Upload-Offset")
        offset = new_offset


def _create(size: int, bucket: str, key: str, content_type: str, cache_control: str) -> tuple[str, ...]:
    """Create the resumable upload. Return its path below /storage/v1, by segments."""
    metadata = {
        "bucketName": bucket,
        "objectName": key,
        "contentType": content_type,
        "cacheControl": _max_age(cache_control),
    }
    encoded = ",".join(f"{name} {b64encode(value.encode()).decode()}" for name, value in metadata.items())
    headers = {**COMMON_HEADERS, "Upload-Length": str(size), "Upload-Metadata": encoded}
    return retry(lambda: _upload_path(request("POST", "upload", "resumable", headers=headers)))


def _max_age(cache_control: str) -> str:
    """Return the seconds: for anything else than a number, Storage stores `no-cache` (seen in v1.36.4)."""
    found = re.search(r"max-age=(\d+)", cache_control)
    return found[1] if found else cache_control


def _upload_path(response: "httpx.Response") -> tuple[str, ...]:
    """Return the path of the upload, with the id in Location.

    The rest of Location is not used: a server behind a proxy may not know its public host, and the secret key
    must not be sent to another host.
    """
    upload_id = unquote(urlsplit(response.headers.get("Location", "")).path.rpartition("/")[2])
    if not upload_id:
        raise StorageUnavailable("Supabase Storage sent no Location for the resumable upload")
    return "upload", "resumable", upload_id


def _part_sender(path: tuple[str, ...], file: BinaryIO, offset: int, size: int) -> Callable[[], int]:
    """Return a function that sends the part at `offset` and returns the offset of the next part.

    When it is called again, it first requests the current offset: the part may have arrived.
    """
    attempts = 0

    def send() -> int:
        nonlocal attempts, offset
        attempts += 1
        if attempts > 1:
            offset = _offset(request("HEAD", *path, headers=COMMON_HEADERS))
        length = min(TUS_CHUNK_SIZE, size - offset)
        if length <= 0:
            return offset
        file.seek(offset)
        headers = {**PART_HEADERS, "Upload-Offset": str(offset), "Content-Length": str(length)}
        try:
            return _offset(request("PATCH", *path, headers=headers, content=read_chunks(file, length)))
        except ObjectExists as conflict:  # 409: Storage is still writing the part of an earlier attempt
            raise StorageUnavailable(
                "The offset at Supabase Storage differs from Upload-Offset"
            ) from conflict

    return send


def _offset(response: "httpx.Response") -> int:
    """Return the number of bytes that have arrived."""
    try:
        return int(response.headers["Upload-Offset"])
    except (KeyError, ValueError):
        raise StorageUnavailable("Supabase Storage sent an invalid Upload-Offset") from None
