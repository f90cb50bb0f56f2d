"""The request headers of TUS 1.0.0. All are validated before a request is handled, as @tus/server does."""

import re
from base64 import b64decode, b64encode

from django.http import HttpRequest

from storage.local.server.errors import ProtocolError

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,creation-defer-length,termination,expiration"
PART_CONTENT_TYPE = "application/offset+octet-stream"
#: The headers that a browser may send.
ALLOWED_HEADERS = (
    "Authorization, Content-Type, Location, Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, "
    "Upload-Concat, Upload-Defer-Length, Upload-Length, Upload-Metadata, Upload-Offset, "
    "X-HTTP-Method-Override, X-Requested-With, X-Forwarded-Host, X-Forwarded-Proto, Forwarded, "
    "Authorization, X-Upsert, Upload-Expires, ApiKey, x-signature"
)
MAX_METADATA = 16 * 1024  # characters: the longest header that gunicorn accepts

NUMBER = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)
VALID_VALUES = {
    "Upload-Offset": NUMBER,
    "Upload-Length": NUMBER,
    "Upload-Defer-Length": re.compile("1"),
    "Upload-Concat": re.compile("partial|final;.*", re.DOTALL),
}
#: A name, then a space and its value in base64. A missing value and an empty one are the same.
METADATA_PAIR = re.compile(
    r"([!-+\--~]+)(?: ((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?))?", re.ASCII
)


def validate(request: HttpRequest, *, is_patch: bool) -> None:
    """Raises ProtocolError for another version of the protocol and for an invalid header."""
    if request.headers.get("Tus-Resumable") != VERSION:
        raise ProtocolError("VersionUnknown", headers={"Tus-Version": VERSION})
    for name, pattern in VALID_VALUES.items():
        value = request.headers.get(name)
        if value is not None and not pattern.fullmatch(value):
            raise ProtocolError("InvalidRequest", f"Invalid {name.lower()}")
    if is_patch and request.headers.get("Content-Type", "") not in ("", PART_CONTENT_TYPE):
        raise ProtocolError("InvalidRequest", "Invalid content-type")


def upload_length(request: HttpRequest) -> int | None:
    """Return the length of the whole upload in bytes, None if the request does not have it."""
    value = request.headers.get("Upload-Length")
    return None if value is None else int(value)


def upload_length_or_deferred(request: HttpRequest) -> int | None:
    """Return the same for a new upload, None if the length is deferred.

    Raises ProtocolError unless the request has exactly one of Upload-Length and Upload-Defer-Length.
    """
    if "Upload-Concat" in request.headers:
        raise ProtocolError(
            "NotImplemented", "Concatenation is not supported: disable parallel uploads in the client"
        )
    if ("Upload-Length" in request.headers) == ("Upload-Defer-Length" in request.headers):
        raise ProtocolError("InvalidRequest", "Upload-Length or Upload-Defer-Length header required")
    return upload_length(request)


def upload_offset(request: HttpRequest) -> int:
    """Return the byte at which the part of a PATCH starts. Raises ProtocolError if a header is missing."""
    for name in ("Upload-Offset", "Content-Type"):
        if not request.headers.get(name):
            raise ProtocolError("HeaderMissing", f"{name} header required")
    return int(request.headers["Upload-Offset"])


def has_part(request: HttpRequest) -> bool:
    """Return True if the body of the request is a part."""
    return request.headers.get("Content-Type") == PART_CONTENT_TYPE


class Metadata:
    """The Upload-Metadata header: names and values. Unknown names are kept. Raises ProtocolError."""

    def __init__(self, header: str | None) -> None:
        if header is None:
            raise ProtocolError("InvalidRequest", "Metadata header is required")
        pairs = (
            [METADATA_PAIR.fullmatch(pair) for pair in header.split(",")]
            if len(header) <= MAX_METADATA
            else [None]
        )
        self.values = {pair[1]: pair[2] or "" for pair in pairs if pair}
        if len(self.values) < len(pairs):  # a pair is invalid, or a name occurs twice
            raise ProtocolError("InvalidRequest", "Invalid upload-metadata")

    def get(self, name: str) -> str:
        """Return the decoded value, "" if it is absent."""
        return b64decode(self.values.get(name, "")).decode(errors="replace")

    def set(self, name: str, value: str) -> None:
        self.values[name] = b64encode(value.encode()).decode()

    def __str__(self) -> str:
        """Return the header."""
        return ",".join(f"{name} {value}".rstrip() for name, value in self.values.items())
