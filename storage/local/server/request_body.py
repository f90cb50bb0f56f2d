"""The body of an upload, raw or in a form, as a stream of chunks: nothing is held in memory.

Django hands a view nothing of a chunked body, and spools forms to disk before a view can say no;
so this reads `wsgi.input` itself. Limits hold while the bytes stream, whatever the headers say.
"""

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, NoReturn

from django.http import HttpRequest
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from storage.base import CHUNK_SIZE
from storage.local.server.errors import ProtocolError

LOST = 16 * 1024  # bytes at most that have arrived and are not seen when a connection breaks
FRAMING = 64 * 1024  # bytes that a form may add around its file
UNTOLD = "application/octet-stream"
SECONDS = re.compile(rb"\d{1,10}")


@dataclass(frozen=True, slots=True)
class Incoming:
    """An object on its way in. Reading `chunks` raises Refusal when it is too large or cut off."""

    content_type: str
    cache_control: str
    metadata: dict[str, Any]  # the user's own
    chunks: Iterator[bytes]


def incoming(request: HttpRequest, limit: int) -> Incoming:
    """What the request carries, at most `limit` bytes of it. Raises Refusal."""
    kind, options = parse_options_header(request.META.get("CONTENT_TYPE", ""))
    length = declared_length(request)
    if kind == "multipart/form-data":
        return _form(_bounded(_wire(request, length), limit + FRAMING), options.get("boundary", ""), limit)
    return Incoming(
        content_type=servable(request.META.get("CONTENT_TYPE") or UNTOLD),
        cache_control=request.headers.get("Cache-Control") or "no-cache",
        metadata=user_metadata(request),
        chunks=_bounded(_wire(request, length), limit, length),
    )


def small(request: HttpRequest, limit: int) -> bytes:
    """A body that is read at once. Raises Refusal when it is longer."""
    return b"".join(_bounded(_wire(request, declared_length(request)), limit))


def raw(request: HttpRequest) -> Iterator[bytes]:
    """The body in small chunks, whatever its length. Reading raises Refusal where it is cut off."""
    return _wire(request, declared_length(request), LOST)


def declared_length(request: HttpRequest) -> int | None:
    """Bytes; None for a chunked body, which ends where it ends. Raises Refusal."""
    if request.headers.get("Transfer-Encoding") and request.META.get("wsgi.input_terminated"):
        return None
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        length = -1
    if length < 0:
        raise ProtocolError("InvalidRequest", "Content-Length is not a number")
    return length


def _wire(request: HttpRequest, length: int | None, most: int = CHUNK_SIZE) -> Iterator[bytes]:
    stream = request.META["wsgi.input"]
    while length is None or length > 0:
        try:
            chunk = stream.read(most if length is None else min(most, length))
        except Exception as error:  # WSGI names no error: each server raises its own
            raise ProtocolError("InvalidRequest", "The body was cut off") from error
        if not chunk and length:
            raise ProtocolError("InvalidRequest", "The body was cut off")
        if not chunk:
            return
        if length is not None:
            length -= len(chunk)
        yield chunk


def _bounded(chunks: Iterator[bytes], limit: int, declared: int | None = None) -> Iterator[bytes]:
    """Refused before the first chunk, where it is known to be too large."""
    if declared is not None and declared > limit:
        raise ProtocolError("EntityTooLarge")
    for chunk in chunks:
        limit -= len(chunk)
        if limit < 0:
            raise ProtocolError("EntityTooLarge")
        yield chunk


def _form(chunks: Iterator[bytes], boundary: str, limit: int) -> Incoming:
    """The first file of a form; `storage-js` gives its part an empty name, others call it `file`."""
    events = _events(chunks, boundary)
    fields: dict[str, bytes] = {}
    for event in events:
        if not isinstance(event, MultipartSegment):
            continue
        if event.filename is None and event.name not in ("", "file"):
            fields[event.name or ""] = b"".join(_bounded(_segment(events), FRAMING))
            continue
        seconds = fields.get("cacheControl", b"")
        return Incoming(
            content_type=servable(_told(fields) or event.header("Content-Type") or UNTOLD),
            cache_control=f"max-age={int(seconds)}" if SECONDS.fullmatch(seconds) else "no-cache",
            metadata=as_metadata(fields.get("metadata", fields.get("userMetadata", b""))),
            chunks=_bounded(chain(_segment(events), _rest(events)), limit),
        )
    raise ProtocolError("NoContentProvided", "The form has no file")


def _told(fields: dict[str, bytes]) -> str:
    """The type of the file, where a field of the form says it."""
    return fields.get("contentType", b"").decode("latin-1")


def user_metadata(request: HttpRequest) -> dict[str, Any]:
    """What a header says, in base64."""
    try:
        return as_metadata(b64decode(request.headers.get("X-Metadata", "")))
    except ValueError:
        return {}


def as_metadata(text: bytes) -> dict[str, Any]:
    """What users say of their objects; what is no JSON object says nothing, as with the real server."""
    try:
        said = strict_json(text)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def strict_json(text: bytes) -> Any:
    """What was sent as JSON, without the NaN that Python would take. Raises ValueError."""
    try:
        return json.loads(text, parse_constant=_no_json)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _no_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def servable(content_type: str) -> str:
    """It becomes a header again when the object is served, and a form may hold what HTTP would not pass."""
    if not (content_type.isascii() and content_type.isprintable()):
        raise ProtocolError("InvalidMimeType")
    return content_type


def _events(chunks: Iterator[bytes], boundary: str) -> Iterator[MultipartSegment | bytes | None]:
    try:
        with PushMultipartParser(boundary, max_segment_count=32) as parser:
            for chunk in chunks:
                yield from parser.parse(chunk)
    except MultipartError as error:
        raise ProtocolError("NoContentProvided", "The form cannot be read") from error


def _segment(events: Iterator[MultipartSegment | bytes | None]) -> Iterator[bytes]:
    for event in events:
        if event is None:
            return
        assert isinstance(event, bytes | bytearray)
        yield bytes(event)


def _rest(events: Iterator[MultipartSegment | bytes | None]) -> Iterator[bytes]:
    """Nothing, once the form has ended as a form should: one cut off has no last boundary."""
    for _ in events:
        pass
    yield from ()
