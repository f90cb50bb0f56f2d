"""Scanners for UPLOAD_SCANNER, which decide by the content of a file."""

import time

from api.exceptions import ScannerUnavailable
from api.uploads.scanning import Accept, Hold, Reject, ScannedFile, Verdict


def scan(file: ScannedFile) -> Verdict:
    content = b"".join(file.chunks())
    if b"%hold" in content:
        return Hold()
    if b"%reject" in content:
        return Reject("too_silly", "This file is silly.")
    if b"%down" in content:
        raise ScannerUnavailable("It does not answer")
    return Accept()


def holds_all(file: ScannedFile) -> Verdict:
    return Hold()


def forgets_to_return(file: ScannedFile) -> None:
    pass


def scan_slowly(file: ScannedFile) -> Verdict:
    """Take three seconds, in which a test can stop the server."""
    time.sleep(3)
    return Accept()
