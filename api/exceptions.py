"""Exceptions of the rules. `api.errors` lists the error codes and their HTTP status."""


class ScannerUnavailable(Exception):
    """The scanner did not answer. The ticket is unchanged, and the caller may try again."""


class Refused(Exception):
    """A rule does not allow the action.

    `code` is one of `api.errors.ERROR_CODES`, or a code of the scanner. `detail` replaces its default detail.
    `retry_after` is the number of seconds after which another attempt may succeed, None if it cannot.
    `members` are added to the JSON object of the problem, for programs.
    """

    def __init__(
        self, code: str, detail: str = "", retry_after: int | None = None, **members: int | str
    ) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.retry_after = retry_after
        self.members = members


class PreconditionFailed(Refused):
    """The row is not as the caller has read it."""

    def __init__(self) -> None:
        super().__init__("precondition_failed")


class GalleryFull(Refused):
    """The entry has as many pictures as it may have."""

    def __init__(self) -> None:
        super().__init__("gallery_full")
