"""What can go wrong in a store. Every store raises these and no others."""

from collections.abc import Iterator
from contextlib import contextmanager


class StorageError(Exception):
    """The store refused, or could not."""


class ObjectMissing(StorageError, FileNotFoundError):
    """The store answered that there is no such object."""


class ObjectExists(StorageError, FileExistsError):
    """There is an object under this key, and nothing is ever overwritten."""


class ObjectRefused(StorageError):
    """The bucket takes no such object: it is too large, or of a type that the bucket refuses."""


class StorageUnavailable(StorageError):
    """The store did not answer, or answered with trouble of its own: try again.

    `retry_after`: in seconds, if it said when.
    """

    def __init__(self, message: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StorageMisconfigured(StorageUnavailable):
    """An address, a key or a bucket is wrong: it stays so until somebody sets it right."""


@contextmanager
def translate_os_errors() -> Iterator[None]:
    """The errors of a disk become the store's."""
    try:
        yield
    except StorageError:  # some are OSErrors too
        raise
    except OSError as error:
        raise StorageUnavailable(f"{type(error).__name__}: {error.strerror}") from error
