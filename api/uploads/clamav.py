"""A scanner that asks a ClamAV daemon: set UPLOAD_SCANNER=api.uploads.clamav.scan and CLAMAV_ADDRESS.

Source of the protocol: clamd(8), the command INSTREAM.
"""

import socket
import struct
from contextlib import suppress

from django.conf import settings

from api.exceptions import ScannerUnavailable
from api.uploads.scanning import Accept, Hold, Reject, ScannedFile, Verdict
from storage.errors import StorageError

TIMEOUT = 6  # seconds without an answer: below the lease of a claim
MAX_REPLY = 4096  # bytes


def scan(file: ScannedFile) -> Verdict:
    """Send the file to clamd. Raises ScannerUnavailable, StorageError."""
    try:
        reply = _ask(file)
    except StorageError:  # some of these are subclasses of OSError
        raise
    except OSError as error:
        raise ScannerUnavailable(f"ClamAV did not answer: {type(error).__name__}") from error
    if reply.endswith(" OK"):
        return Accept()
    if reply.endswith(" FOUND"):
        return Reject("infected")
    if reply.startswith("INSTREAM size limit exceeded"):  # it would be so each time: a person decides
        return Hold()
    raise ScannerUnavailable(f"ClamAV answered {reply[:200]!r}")


def _ask(file: ScannedFile) -> str:
    host, _, port = settings.CLAMAV_ADDRESS.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=TIMEOUT) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # it may answer before it has read everything
            connection.sendall(b"zINSTREAM\0")
            for chunk in file.chunks():
                connection.sendall(struct.pack(">I", len(chunk)) + chunk)
            connection.sendall(struct.pack(">I", 0))
        reply = b""
        while not reply.endswith(b"\0") and len(reply) < MAX_REPLY and (part := connection.recv(MAX_REPLY)):
            reply += part
    return reply.rstrip(b"\0\n").decode("utf-8", "replace")
