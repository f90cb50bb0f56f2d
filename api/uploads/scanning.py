"""The hook for a scanner that UPLOAD_SCANNER names, such as `api.uploads.clamav.scan`.

A scanner is a function that gets a ScannedFile after its verification and before its publication, and returns
Accept, Reject or Hold. A file on hold waits for `lifecycle.release` or `lifecycle.reject`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import BinaryIO
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from storage.base import SignedStorage
from storage.files import read_chunks


@dataclass(frozen=True, slots=True)
class ScannedFile:
    """A verified file. `size` in bytes; `sha256` in hex, None above CHECKSUM_MAX_BYTES.

    `filename` is the name that the client gave it.
    """

    upload_id: UUID
    filename: str
    content_type: str
    size: int
    sha256: str | None
    storage: SignedStorage
    key: str
    on_chunk: Callable[[], None]

    def open(self) -> BinaryIO:
        """Open the file for reading. It is seekable. Raises StorageError."""
        return self.storage.read(self.key)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes of the file, and keep the claim of the ticket meanwhile. Raises StorageError."""
        with self.open() as file:
            for chunk in read_chunks(file):
                self.on_chunk()
                yield chunk


@dataclass(frozen=True, slots=True)
class Accept:
    """The file may be published."""


@dataclass(frozen=True, slots=True)
class Reject:
    """The file is deleted. Clients get this error code: one of the API with the status 422, or a new one."""

    code: str = "file_rejected"
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """The file is kept where nobody can read it, until it is released or rejected."""


Verdict = Accept | Reject | Hold
Scanner = Callable[[ScannedFile], Verdict]


def scan(file: ScannedFile) -> Verdict:
    """Return the scanner's verdict; Accept if there is no scanner. Raises what the scanner raises."""
    scanner = load(settings.UPLOAD_SCANNER) if settings.UPLOAD_SCANNER else None
    verdict = scanner(file) if scanner else Accept()
    if not isinstance(verdict, Verdict):
        raise TypeError(f"UPLOAD_SCANNER returned {verdict!r} instead of Accept(), Reject() or Hold()")
    return verdict


@cache
def load(path: str) -> Scanner:
    """Import the scanner. Raises ImproperlyConfigured."""
    try:
        scanner: Scanner = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"UPLOAD_SCANNER cannot be imported: {error}") from error
    if not callable(scanner):
        raise ImproperlyConfigured("UPLOAD_SCANNER is not a function.")
    return scanner
