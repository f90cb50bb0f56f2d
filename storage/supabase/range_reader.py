"""RemoteFile: an object behind HTTP as a file, fetched in ranges as it is read, never held as a whole."""

import io
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO

import httpx

from storage.base import CHUNK_SIZE
from storage.errors import StorageUnavailable
from storage.supabase.client import retry

#: The answer to a GET with these headers, streamed. Raises StorageError.
Get = Callable[[dict[str, str]], httpx.Response]
PART, END = 206, 416  # the latter for what lies behind the last byte
AS_IT_IS = {"Accept-Encoding": "identity"}  # a gateway that compresses would change lengths and ranges


def open_object(get: Get) -> BinaryIO:
    """The first bytes are fetched at once, so that what is missing is missing here. Raises StorageError."""
    return io.BufferedReader(RangeReader(get), CHUNK_SIZE)


class RangeReader(io.RawIOBase):
    """A small file takes one call. A long one is streamed from wherever it is read next."""

    def __init__(self, get: Get) -> None:
        self._get = get
        self._position = 0
        self._answer: httpx.Response | None = None
        self._pieces: Any = iter(())
        self._left = b""
        self._etag = ""
        self._size = 0
        self._fetch(upto=CHUNK_SIZE)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError("negative seek position")
        if start + offset != self._position:
            self._position = start + offset
            self._let_go()
        return self._position

    def readinto(self, buffer: Any) -> int:
        if self._position >= self._size:
            with suppress(StorageUnavailable):
                self._piece()  # what is heard out leaves its connection to the next call
            return 0
        chunk = self._next(len(buffer))
        buffer[: len(chunk)] = chunk
        self._position += len(chunk)
        return len(chunk)

    def close(self) -> None:
        self._let_go()
        super().close()

    def _next(self, most: int) -> bytes:
        """At least one byte of the object, from the answer that is open or from a new one."""
        self._left = self._left or self._piece()
        if not self._left:
            self._fetch()
            self._left = self._piece()
        if not self._left:
            raise StorageUnavailable("Supabase Storage's answer ended too early")
        chunk, self._left = self._left[:most], self._left[most:]
        return chunk

    def _piece(self) -> bytes:
        """Nothing at the end, and where the answer broke off: the rest can be asked for."""
        try:
            return next(self._pieces, b"")
        except httpx.TimeoutException:
            self._let_go()
        except httpx.TransportError:
            return b""
        raise StorageUnavailable("Supabase Storage's answer came too slowly")

    def _fetch(self, upto: int | None = None) -> None:
        """From here to the end, or so many bytes."""
        self._let_go()
        end = self._position + upto - 1 if upto else ""
        wanted = {**AS_IT_IS, "Range": f"bytes={self._position}-{end}"}
        answer, size = retry(lambda: _ranged(self._get(wanted)))
        if size is None:
            return answer.close()
        self._answer = answer
        etag = answer.headers.get("ETag", "")
        if self._etag and etag != self._etag:
            raise StorageUnavailable("The object was replaced while it was read")
        self._etag, self._size, self._pieces = etag, size, answer.iter_raw()

    def _let_go(self) -> None:
        self._left, self._pieces = b"", iter(())
        if self._answer is not None:
            self._answer.close()
            self._answer = None


def _ranged(answer: httpx.Response) -> tuple[httpx.Response, int | None]:
    """With the size of the whole object: `bytes 0-9/24` says 24. None behind its end.

    An answer that is no range is some gateway's; only an empty object has none.
    """
    whole = answer.headers.get("Content-Range", "").rpartition("/")[2]
    if answer.status_code == END:
        return answer, None
    if answer.status_code == PART and whole.isdecimal():
        return answer, int(whole)
    if answer.headers.get("Content-Length") == "0":
        return answer, 0
    answer.close()
    raise StorageUnavailable("Supabase Storage does not give ranges")
