"""Files as Django's storage methods give and take them: ObjectFile, and the chunks of any file."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, BinaryIO, Protocol

from django.core.files.base import File
from django.utils.functional import cached_property

#: Bytes read or written at once, whatever the size of the file. A buffer for them, which may be an eighth
#: larger, stays below 128 KiB: larger ones are mapped anew by the C library for each chunk. A large upload
#: would take twice the processor time of the system.
CHUNK_SIZE = 96 * 1024
READ_MODES = {"r", "rb", "br", "rt", "tr"}


class Opener(Protocol):
    """Opens the object with this name for reading. `options`: those of `io.TextIOWrapper`, for text."""

    def __call__(self, name: str, mode: str, **options: Any) -> IO[Any]: ...


class ObjectFile(File):
    """An object that is open for reading. After `close` it can be opened again, also in another mode."""

    def __init__(self, file: IO[Any], name: str, mode: str, opener: Opener) -> None:
        super().__init__(file, name)
        self.mode = mode
        self._opener = opener

    def open(self, mode: str | None = None, *args: Any, **options: Any) -> "ObjectFile":
        """Rewind the file, as Django does; if it is closed, read the object again.

        `options`: the encoding, errors and newline of a text file.
        """
        if not self.closed:
            self.seek(0)
        else:
            self.file = self._opener(str(self.name), mode or str(self.mode), *args, **options)
        return self

    @cached_property
    def size(self) -> int:
        """The number of bytes, also after `close`."""
        if not self.closed:
            return int(super().size)
        with self._opener(str(self.name), "rb") as file:
            return file.seek(0, os.SEEK_END)


def is_text(mode: str) -> bool:
    """Return whether the mode reads text. Raises ValueError for a mode that writes."""
    if mode not in READ_MODES:
        raise ValueError("Objects are written whole, with save(): open them for reading only.")
    return "b" not in mode


def chunks(content: File) -> Iterator[bytes]:
    """Yield the bytes of the file from its start, if it can seek. Text becomes UTF-8."""
    for chunk in content.chunks(CHUNK_SIZE):
        yield chunk.encode() if isinstance(chunk, str) else chunk


@contextmanager
def rewindable(content: File) -> Iterator[File]:
    """Yield a file whose chunks can be read several times: a temporary copy if `content` cannot seek."""
    try:
        content.seek(0)
    except (AttributeError, OSError):  # it needs no more than a `read` method
        with tempfile.SpooledTemporaryFile(max_size=CHUNK_SIZE) as copy:
            for chunk in chunks(content):
                copy.write(chunk)
            yield File(copy)
    else:
        yield content


def read_chunks(file: BinaryIO, length: int | None = None) -> Iterator[bytes]:
    """Yield the bytes of the file from its current position, at most `length` of them."""
    while chunk := file.read(CHUNK_SIZE if length is None else min(CHUNK_SIZE, length)):
        if length is not None:
            length -= len(chunk)
        yield chunk
