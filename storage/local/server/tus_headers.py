"""What the headers of TUS 1.0.0 say. They are all looked at before anything is done, as @tus/server does."""

import re
from base64 import b64decode, b64encode

from django.http import HttpRequest

from storage.local.server.errors import ProtocolError

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,creation-defer-length,termination,expiration"
BYTES = "application/offset+octet-stream"  # the type of a body that is a part
#: What a browser may send.
ALLOWED = (
    "Authorization, Content-Type, Location, Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, "
    "Upload-Concat, Upload-Defer-Length, Upload-Length, Upload-Metadata, Upload-Offset, "
    "X-HTTP-Method-Override, X-Requested-With, X-Forwarded-Host, X-Forwarded-Proto, Forwarded, "
    "Authorization, X-Upsert, Upload-Expires, ApiKey, x-signature"
)
MAX_METADATA = 16 * 1024  # characters: what gunicorn takes as a header

NUMBER = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)
VALID = {
    "Upload-Offset": NUMBER,
    "Upload-Length": NUMBER,
    "Upload-Defer-Length": re.compile("1"),
    "Upload-Concat": re.compile("partial|final;.*", re.DOTALL),
}
#: A name, and after a space its value in base64; no value and an empty one are the same.
PAIR = re.compile(
    r"([!-+\--~]+)(?: ((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?))?", re.ASCII
)


def must_be_valid(request: HttpRequest, *, is_part: bool) -> None:
    """Raises Refusal for another version of the protocol, and for a header that is not as it should be."""
    if request.headers.get("Tus-Resumable") != VERSION:
        raise ProtocolError("VersionUnknown", headers={"Tus-Version": VERSION})
    for name, pattern in VALID.items():
        value = request.headers.get(name)
        if value is not None and not pattern.fullmatch(value):
            raise ProtocolError("InvalidRequest", f"Invalid {name.lower()}")
    if is_part and request.headers.get("Content-Type", "") not in ("", BYTES):
        raise ProtocolError("InvalidRequest", "Invalid content-type")


def length(request: HttpRequest) -> int | None:
    """Bytes of the whole upload; None if they are not told."""
    told = request.headers.get("Upload-Length")
    return None if told is None else int(told)


def length_or_deferred(request: HttpRequest) -> int | None:
    """The same at creation, where one of the two must be said. Raises Refusal."""
    if "Upload-Concat" in request.headers:
        raise ProtocolError(
            "NotImplemented", "Concatenation is not supported: disable parallel uploads in the client"
        )
    if ("Upload-Length" in request.headers) == ("Upload-Defer-Length" in request.headers):
        raise ProtocolError("InvalidRequest", "Upload-Length or Upload-Defer-Length header required")
    return length(request)


def offset(request: HttpRequest) -> int:
    """Where the part begins that a PATCH brings. Raises Refusal."""
    for name in ("Upload-Offset", "Content-Type"):
        if not request.headers.get(name):
            raise ProtocolError("HeaderMissing", f"{name} header required")
    return int(request.headers["Upload-Offset"])


def brings_bytes(request: HttpRequest) -> bool:
    return request.headers.get("Content-Type") == BYTES


class Metadata:
    """Upload-Metadata: names and values, those that nobody here knows too. Raises Refusal."""

    def __init__(self, header: str | None) -> None:
        if header is None:
            raise ProtocolError("InvalidRequest", "Metadata header is required")
        pairs = (
            [PAIR.fullmatch(pair) for pair in header.split(",")] if len(header) <= MAX_METADATA else [None]
        )
        self.values = {pair[1]: pair[2] or "" for pair in pairs if pair}
        if len(self.values) < len(pairs):  # one is no pair, or there are two of a name
            raise ProtocolError("InvalidRequest", "Invalid upload-metadata")

    def text(self, name: str) -> str:
        """ "" where it is absent."""
        return b64decode(self.values.get(name, "")).decode(errors="replace")

    def tell(self, name: str, value: str) -> None:
        self.values[name] = b64encode(value.encode()).decode()

    def __str__(self) -> str:
        return ",".join(f"{name} {value}".rstrip() for name, value in self.values.items())
