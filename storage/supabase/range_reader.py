"""RangeReader: reads an object over HTTP as a file, and never holds all of it."""

import errno
import io
import os
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, BinaryIO

from storage.errors import StorageUnavailable
from storage.supabase.client import retry

if TYPE_CHECKING:
    import httpx

#: Sends a GET request with these headers and returns the streamed response. Raises StorageError.
SendGet = Callable[[dict[str, str]], "httpx.Response"]
BUFFER_SIZE = 256 * 1024  # bytes of an object in memory. A smaller object takes one request.
NO_COMPRESSION = {"Accept-Encoding": "identity"}  # compression by a gateway would change lengths and ranges


def buffered(reader: "RangeReader") -> BinaryIO:
    """Return the object as a seekable file."""
    return io.BufferedReader(reader, BUFFER_SIZE)


class RangeReader(io.RawIOBase):
    """An object of `size` bytes. It is streamed from the position of each read.

    The first request is sent at once. It asks for the first `length` bytes, or for all: then the whole object
    takes one request. Raises StorageError, also ObjectMissing.
    """

    def __init__(self, send_get: SendGet, length: int | None) -> None:
        self.size = 0
        self.content_type = ""
        self._send_get = send_get
        self._position = 0
        self._response: httpx.Response | None = None
        self._chunks: Any = iter(())
        self._buffered = b""
        self._etag = ""
        self._announced_end = 0  # where the open response ends, by its Content-Length
        self._request(length)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if start + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))  # as files do; zipfile expects it
        if start + offset != self._position:
            self._position = start + offset
            self._close_response()
        return self._position

    def readinto(self, buffer: Any) -> int:
        if self._position >= self.size:
            self._finish_response()
            return 0
        chunk = self._read_some(len(buffer))
        buffer[: len(chunk)] = chunk
        self._position += len(chunk)
        return len(chunk)

    def close(self) -> None:
        self._close_response()
        super().close()

    def _finish_response(self) -> None:
        """Read the response to its end, so that its connection is used again.

        Close it if its Content-Length goes beyond the end of the object: a Storage server on a file system
        does so for a range that is longer than the object (seen in v1.36.4), and sends no more bytes.
        """
        if self._announced_end > self.size:
            return self._close_response()
        with suppress(StorageUnavailable):
            self._next_chunk()

    def _read_some(self, max_bytes: int) -> bytes:
        """Return between 1 and `max_bytes` bytes, from the open response or from a new request."""
        self._buffered = self._buffered or self._next_chunk()
        if not self._buffered:
            self._request()
            self._buffered = self._next_chunk()
        if not self._buffered:
            raise StorageUnavailable("The response of Supabase Storage ended too early")
        chunk, self._buffered = self._buffered[:max_bytes], self._buffered[max_bytes:]
        return chunk

    def _next_chunk(self) -> bytes:
        """Return b"" at the end, and after a lost connection: the caller can request the rest."""
        import httpx  # noqa: PLC0415  (slow to load, but loaded by now: there is a response)

        try:
            return next(self._chunks, b"")
        except httpx.TimeoutException:
            self._close_response()
        except httpx.TransportError:
            return b""
        raise StorageUnavailable("The response of Supabase Storage was too slow")

    def _request(self, length: int | None = None) -> None:
        """Request `length` bytes from the position, or all bytes up to the end."""
        self._close_response()
        end = "" if length is None else self._position + length - 1
        response, size = retry(lambda: _with_total_size(self._get(f"bytes={self._position}-{end}")))
        if size is None:
            return response.close()
        self._response = response
        etag = response.headers.get("ETag", "")
        if self._etag and etag != self._etag:
            raise StorageUnavailable("The object was replaced while it was read")
        self._etag, self.size, self._chunks = etag, size, response.iter_raw()
        self.content_type = response.headers.get("Content-Type", "")
        self._announced_end = self._position + int(response.headers.get("Content-Length", 0))

    def _get(self, wanted: str) -> "httpx.Response":
        """Request this range. For a whole object, no range is sent: Storage answers 500 if it is empty.

        If a gateway then hides the size, it is asked for again with a range.
        """
        if wanted == "bytes=0-":
            response = self._send_get(NO_COMPRESSION)
            if "Content-Length" in response.headers and "Content-Encoding" not in response.headers:
                return response
            response.close()  # a gateway sends it in chunks, or compressed: its size is not told
        return self._send_get({**NO_COMPRESSION, "Range": wanted})

    def _close_response(self) -> None:
        self._buffered, self._chunks = b"", iter(())
        if self._response is not None:
            self._response.close()
            self._response = None


def _with_total_size(response: "httpx.Response") -> "tuple[httpx.Response, int | None]":
    """Return the response and the size of the whole object: 24 for `Content-Range: bytes 0-9/24`.

    The size is None if the range starts after the last byte. An empty object is sent without a
    Content-Range; any other response to a range without one comes from a gateway. Raises StorageUnavailable
    for that.
    """
    total = response.headers.get("Content-Range", "").rpartition("/")[2]
    length = response.headers.get("Content-Length", "")
    is_whole = response.status_code == HTTPStatus.OK and "Range" not in response.request.headers
    if is_whole and length.isdecimal():
        return response, int(length)
    if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return response, None
    if response.status_code == HTTPStatus.PARTIAL_CONTENT and total.isdecimal():
        return response, int(total)
    if length == "0":
        return response, 0
    response.close()
    raise StorageUnavailable("Supabase Storage does not support range requests")
