"""A large object goes up in parts, by the TUS protocol, and goes on where it broke off."""

from base64 import b64encode
from collections.abc import Callable
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

import httpx

from storage.base import read_chunks
from storage.errors import ObjectExists, StorageUnavailable
from storage.protocol import TUS_CHUNK_SIZE
from storage.supabase.client import request, retry

#: Every request says anew that it may replace: the last part is what makes the object.
COMMON = {"Tus-Resumable": "1.0.0", "x-upsert": "true"}
PART = {**COMMON, "Content-Type": "application/offset+octet-stream"}


def upload(file: BinaryIO, size: int, bucket: str, key: str, content_type: str, cache_control: str) -> None:
    """Raises StorageError. The key is nobody else's: what may lie there is of an attempt before."""
    path = _create(size, bucket, key, content_type, cache_control)
    offset = 0
    while offset < size:
        arrived = retry(_part(path, file, offset, size))
        if not offset < arrived <= size:
            raise StorageUnavailable("Supabase Storage does not say what has arrived")
        offset = arrived


def _create(size: int, bucket: str, key: str, content_type: str, cache_control: str) -> tuple[str, ...]:
    about = {
        "bucketName": bucket,
        "objectName": key,
        "contentType": content_type,
        "cacheControl": cache_control.removeprefix("max-age="),
    }
    said = ",".join(f"{name} {b64encode(value.encode()).decode()}" for name, value in about.items())
    headers = {**COMMON, "Upload-Length": str(size), "Upload-Metadata": said}
    return retry(lambda: _place(request("POST", "upload", "resumable", headers=headers)))


def _place(answer: httpx.Response) -> tuple[str, ...]:
    """Only its name: behind a proxy the server may not know its address, and the key goes nowhere else."""
    name = unquote(urlsplit(answer.headers.get("Location", "")).path.rpartition("/")[2])
    if not name:
        raise StorageUnavailable("Supabase Storage does not say where to send the parts")
    return "upload", "resumable", name


def _part(path: tuple[str, ...], file: BinaryIO, offset: int, size: int) -> Callable[[], int]:
    """Sends the part at `offset` and gives the next one; when it is repeated, it asks first what arrived."""
    attempts = 0

    def send() -> int:
        nonlocal attempts, offset
        attempts += 1
        if attempts > 1:
            offset = _offset(request("HEAD", *path, headers=COMMON))
        length = min(TUS_CHUNK_SIZE, size - offset)
        if length <= 0:
            return offset
        file.seek(offset)
        headers = {**PART, "Upload-Offset": str(offset), "Content-Length": str(length)}
        try:
            return _offset(request("PATCH", *path, headers=headers, content=read_chunks(file, length)))
        except ObjectExists as conflict:  # of offsets: an attempt before is still being written
            raise StorageUnavailable("Supabase Storage has got further, or not as far") from conflict

    return send


def _offset(answer: httpx.Response) -> int:
    try:
        return int(answer.headers["Upload-Offset"])
    except (KeyError, ValueError):
        raise StorageUnavailable("Supabase Storage does not say what has arrived") from None
