"""The exceptions of storage. Every store raises these and no others."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager


class StorageError(Exception):
    """Base class: the store refused the operation or could not carry it out."""


class ObjectMissing(StorageError, FileNotFoundError):
    """The store answered that there is no such object."""

    errno = errno.ENOENT


class ObjectExists(StorageError, FileExistsError):
    """There is already an object under this key. Only `replace` overwrites one."""


class ObjectRefused(StorageError):
    """The bucket does not accept the object: it is too large, or its content type is not allowed."""


class StorageUnavailable(StorageError):
    """The store did not answer, or could not process the request. The caller may try again.

    `retry_after`: the number of seconds to wait, if the store gave one.
    """

    def __init__(self, message: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StorageMisconfigured(StorageUnavailable):
    """A URL, an API key or a bucket is wrong. Trying again is useless until it is corrected."""


@contextmanager
def translate_os_errors() -> Iterator[None]:
    """Raise StorageUnavailable in place of an OSError of the disk."""
    try:
        yield
    except StorageError:  # some of these are subclasses of OSError
        raise
    except OSError as error:
        raise StorageUnavailable(f"{type(error).__name__}: {error.strerror}") from error
