"""Request bodies: raw or multipart uploads as a stream of chunks, and small bodies read into memory.

This module reads `wsgi.input` itself, because Django treats a body with chunked transfer encoding as empty,
and writes forms to disk before a view can refuse them. Size limits apply while the bytes are read,
whatever the headers say. Uploads are never held in memory.
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

from storage.files import CHUNK_SIZE
from storage.local.server.errors import ProtocolError

#: Bytes of a resumable upload read at once: at most as many received bytes are lost if a connection breaks.
RAW_CHUNK_SIZE = 16 * 1024
MAX_FORM_OVERHEAD = 64 * 1024  # bytes that a form may have besides its file
DEFAULT_CONTENT_TYPE = "application/octet-stream"
SECONDS = re.compile(r"\d{1,10}", re.ASCII)


@dataclass(frozen=True, slots=True)
class UploadBody:
    """The content and metadata of an upload.

    Iterating over `chunks` raises ProtocolError if the content is too large or the body is incomplete.
    """

    content_type: str
    cache_control: str
    metadata: dict[str, Any]  # the user's own metadata
    chunks: Iterator[bytes]


def parse_upload(request: HttpRequest, limit: int) -> UploadBody:
    """Return the upload in the request. Its content may have `limit` bytes. Raises ProtocolError."""
    content_type, options = parse_options_header(request.META.get("CONTENT_TYPE", ""))
    length = declared_length(request)
    if content_type == "multipart/form-data":
        chunks = _limited(_read_input(request, length), limit + MAX_FORM_OVERHEAD, length)
        return _parse_form(chunks, options.get("boundary", ""), limit)
    return UploadBody(
        content_type=check_header_value(request.META.get("CONTENT_TYPE") or DEFAULT_CONTENT_TYPE),
        cache_control=request.headers.get("Cache-Control") or "no-cache",
        metadata=user_metadata(request),
        chunks=_limited(_read_input(request, length), limit, length),
    )


def read_all(request: HttpRequest, limit: int) -> bytes:
    """Return the whole body. Raises ProtocolError if it has more than `limit` bytes."""
    length = declared_length(request)
    return b"".join(_limited(_read_input(request, length), limit, length))


def raw_chunks(request: HttpRequest) -> Iterator[bytes]:
    """Yield the body in small chunks, without a limit. Raises ProtocolError if it is incomplete."""
    return _read_input(request, declared_length(request), RAW_CHUNK_SIZE)


def declared_length(request: HttpRequest) -> int | None:
    """Return the Content-Length, None for chunked transfer encoding. Raises ProtocolError."""
    if request.headers.get("Transfer-Encoding") and request.META.get("wsgi.input_terminated"):
        return None
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        length = -1
    if length < 0:
        raise ProtocolError("InvalidRequest", "Content-Length is not a number")
    return length


def _read_input(request: HttpRequest, length: int | None, chunk_size: int = CHUNK_SIZE) -> Iterator[bytes]:
    stream = request.META["wsgi.input"]
    while length is None or length > 0:
        try:
            chunk = stream.read(chunk_size if length is None else min(chunk_size, length))
        except TimeoutError as error:  # of our worker
            raise ProtocolError("RequestTimeout") from error
        except Exception as error:  # WSGI defines no exception: each server raises its own
            raise ProtocolError("InvalidRequest", "The body was cut off") from error
        if not chunk and length:
            raise ProtocolError("InvalidRequest", "The body was cut off")
        if not chunk:
            return
        if length is not None:
            length -= len(chunk)
        yield chunk


def _limited(chunks: Iterator[bytes], limit: int, declared: int | None = None) -> Iterator[bytes]:
    """Yield the chunks. Raises ProtocolError if they have more than `limit` bytes.

    A larger `declared` length raises it before the first chunk is read.
    """
    if declared is not None and declared > limit:
        raise ProtocolError("EntityTooLarge")
    for chunk in chunks:
        limit -= len(chunk)
        if limit < 0:
            raise ProtocolError("EntityTooLarge")
        yield chunk


def _parse_form(chunks: Iterator[bytes], boundary: str, limit: int) -> UploadBody:
    """Return the first file of a form. Its field has an empty name in `storage-js`, else the name `file`."""
    events = _events(chunks, boundary)
    fields: dict[str, bytes] = {}
    for event in events:
        if not isinstance(event, MultipartSegment):
            continue
        if event.filename is None and event.name not in ("", "file"):
            fields[event.name or ""] = b"".join(_limited(_segment(events), MAX_FORM_OVERHEAD))
            continue
        return UploadBody(
            content_type=check_header_value(
                _form_content_type(fields) or event.header("Content-Type") or DEFAULT_CONTENT_TYPE
            ),
            cache_control=cache_control(fields.get("cacheControl", b"").decode("latin-1")),
            metadata=parse_metadata(fields.get("metadata", fields.get("userMetadata", b""))),
            chunks=_limited(chain(_segment(events), _read_to_end(events)), limit),
        )
    raise ProtocolError("NoContentProvided", "The form has no file")


def _form_content_type(fields: dict[str, bytes]) -> str:
    """Return the content type that a field of the form gives, "" if there is none."""
    return fields.get("contentType", b"").decode("latin-1")


def cache_control(seconds: str) -> str:
    """Return the Cache-Control header for the `cacheControl` value of a form or a resumable upload."""
    return f"max-age={int(seconds)}" if SECONDS.fullmatch(seconds) else "no-cache"


def user_metadata(request: HttpRequest) -> dict[str, Any]:
    """Return the user's own metadata from the X-Metadata header, which is JSON in base64."""
    try:
        return parse_metadata(b64decode(request.headers.get("X-Metadata", "")))
    except ValueError:
        return {}


def parse_metadata(text: bytes) -> dict[str, Any]:
    """Return the user's own metadata, {} if the text is not a JSON object, as on the real server."""
    try:
        metadata = strict_json(text)
    except ValueError:
        return {}
    return metadata if isinstance(metadata, dict) else {}


def strict_json(text: bytes) -> Any:
    """Parse JSON. Raises ValueError, also for NaN and Infinity, which Python would accept."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not valid JSON")


def check_header_value(value: str) -> str:
    """Return the value if it is valid in an HTTP header. Raises ProtocolError.

    The value becomes a header when the object is served, and a form can contain any characters.
    """
    if not (value.isascii() and value.isprintable()):
        raise ProtocolError("InvalidMimeType")
    return value


def _events(chunks: Iterator[bytes], boundary: str) -> Iterator[MultipartSegment | bytes | None]:
    """Yield the header of each part of the form, then its bytes, then None."""
    try:
        with PushMultipartParser(boundary, max_segment_count=32) as parser:
            for chunk in chunks:
                yield from parser.parse(chunk)
    except MultipartError as error:
        raise ProtocolError("NoContentProvided", "The form cannot be read") from error


def _segment(events: Iterator[MultipartSegment | bytes | None]) -> Iterator[bytes]:
    """Yield the bytes of the current part of the form."""
    for event in events:
        if event is None:
            return
        assert isinstance(event, bytes | bytearray)
        yield bytes(event)


def _read_to_end(events: Iterator[MultipartSegment | bytes | None]) -> Iterator[bytes]:
    """Yield nothing, but parse the rest. Raises ProtocolError if the last boundary is missing."""
    for _ in events:
        pass
    yield from ()
