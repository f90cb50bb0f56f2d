"""HTTP responses with an object: the whole object, a range of it, or 304 Not Modified."""

import os
import re
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import http_date, parse_http_date_safe

from storage import keys
from storage.base import ObjectInfo
from storage.files import CHUNK_SIZE, read_chunks
from storage.local import disk
from storage.local.objects import LocalObjects
from storage.local.server.errors import ProtocolError

#: Possessive, because spaces that could belong to either of two parts take cubic time.
ONE_RANGE = re.compile(r"\s*+bytes\s*+=\s*+(\d{0,18})\s*+-\s*+(\d{0,18})\s*+", re.ASCII | re.IGNORECASE)
#: A range that nginx reads as we do.
PLAIN_RANGE = re.compile(r"bytes=\d{0,18}-\d{0,18}", re.ASCII)


def serve(
    request: HttpRequest, objects: LocalObjects, key: str, *, expires: datetime | None = None
) -> HttpResponseBase:
    """Return the response to GET or HEAD. `expires`: when the token of a signed URL expires, else None.

    HEAD supports ranges only for signed URLs, as on the real server.
    """
    file, info = objects.open(keys.check_characters(key))
    try:
        response = _respond(request, file, info, ranges=request.method == "GET" or expires is not None)
    except BaseException:
        file.close()
        raise
    if not response.streaming:
        file.close()
    for name, value in _headers(request, info, expires).items():
        response.headers.setdefault(name, value)
    if "X-Accel-Redirect" in response.headers and response.status_code == 200:
        del response.headers["Accept-Ranges"]  # nginx adds it to whole files
    return response


def _respond(request: HttpRequest, file: BinaryIO, info: ObjectInfo, *, ranges: bool) -> HttpResponseBase:
    modified = int(info.last_modified.timestamp())
    unchanged = get_conditional_response(request, etag=info.etag, last_modified=modified)
    if unchanged is not None and unchanged.status_code == 412:
        raise ProtocolError("PreconditionFailed")
    if unchanged is not None:
        unchanged.headers["Content-Type"] = _safe_content_type(info.content_type)
        return unchanged
    byte_range = _range(request, info) if ranges else None
    start, end = byte_range or (0, info.size)
    headers = {"Content-Length": str(end - start), "Content-Type": _safe_content_type(info.content_type)}
    if byte_range:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{info.size}"
    status = 206 if byte_range else 200
    if request.method == "HEAD":
        return HttpResponse(status=status, headers=headers)
    if settings.ACCEL_REDIRECT and _does_nginx_agree(request):
        return _accel_redirect(file, status, headers["Content-Type"])
    file.seek(start)
    response = FileRangeResponse(file, end - start, status=status, headers=headers)
    if "gunicorn.socket" in request.META:
        response.file_to_stream = file
    return response


def _does_nginx_agree(request: HttpRequest) -> bool:
    """Return True if nginx, which looks at the conditions and the range again, comes to the same result.

    It compares If-Match with an ETag of its own, does not ignore a malformed time, and reads fewer ranges.
    """
    if "If-Match" in request.headers or "If-Unmodified-Since" in request.headers:
        return False
    byte_range = request.headers.get("Range")
    return byte_range is None or PLAIN_RANGE.fullmatch(byte_range) is not None


def _accel_redirect(file: BinaryIO, status: int, content_type: str) -> HttpResponse:
    """Return a response without a body, in place of which nginx sends the file or its range.

    X-File-ETag is the ETag that nginx itself gives to this file. So it knows whether it has opened the same.
    """
    stat = os.fstat(file.fileno())
    path = Path(file.name).relative_to(disk.root()).as_posix()
    headers = {
        "Content-Type": content_type,
        "X-Accel-Redirect": f"{settings.ACCEL_REDIRECT}{quote(path)}",
        "X-File-ETag": f'"{stat.st_mtime_ns // 10**9:x}-{stat.st_size:x}"',
    }
    return HttpResponse(status=status, headers=headers)


class FileRangeResponse(StreamingHttpResponse):
    """Streams `length` bytes of an open file. The file is closed with the response, read or not."""

    #: The file, if the server itself may send it, from its position, without reading it into memory. Django
    #: hands it to `wsgi.file_wrapper`. gunicorn sends as many bytes as Content-Length says; the wrappers of
    #: other servers would go on to the end of the file.
    file_to_stream: BinaryIO | None = None
    block_size = CHUNK_SIZE

    def __init__(self, file: BinaryIO, length: int, **options: Any) -> None:
        self.file = file
        self.close_file = file.close  # Django replaces it by `close` of the response, for the server
        super().__init__(read_chunks(file, length), **options)

    def close(self) -> None:
        super().close()
        self.close_file()


def _range(request: HttpRequest, info: ObjectInfo) -> tuple[int, int] | None:
    """Return the first byte and the one after the last, None for the whole object.

    Several ranges in one request are refused, as on the real server. Raises ProtocolError.
    """
    header = request.headers.get("Range", "")
    if not header.strip().lower().startswith("bytes") or not _if_range_matches(request, info):
        return None  # RFC 9110, 14.2: a Range header with an unknown unit is ignored
    match = ONE_RANGE.fullmatch(header)
    first, last = match.groups() if match else ("", "")
    if first:
        start, end = int(first), min(int(last) + 1, info.size) if last else info.size
    else:
        start, end = max(0, info.size - int(last or 0)), info.size
    if start >= end:
        raise ProtocolError("InvalidRange", headers={"Content-Range": f"bytes */{info.size}"})
    return start, end


def _if_range_matches(request: HttpRequest, info: ObjectInfo) -> bool:
    """Return True without If-Range, or if the object has not changed since (RFC 9110, 13.1.5)."""
    condition = request.headers.get("If-Range")
    if condition is None:
        return True
    return condition == info.etag or parse_http_date_safe(condition) == int(info.last_modified.timestamp())


def _headers(request: HttpRequest, info: ObjectInfo, expires: datetime | None) -> dict[str, str]:
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": info.etag,
        "Last-Modified": http_date(info.last_modified.timestamp()),
        "X-Robots-Tag": "none",
    }
    if expires:
        headers["Expires"] = http_date(expires.timestamp())
    else:
        headers["Cache-Control"] = _cache_control(request, info)
    if (name := request.GET.get("download")) is not None:
        encoded = quote(name, safe="!~*'()")
        named = f" filename={encoded}; filename*=UTF-8''{encoded}" if name else ""
        headers["Content-Disposition"] = f"attachment;{named}"
    return headers


def _cache_control(request: HttpRequest, info: ObjectInfo) -> str:
    """Return the Cache-Control header, as the real server does.

    A client that has an older version may show it while it fetches the new one.
    """
    cached_etag = request.headers.get("If-None-Match")
    return (
        info.cache_control
        if cached_etag in (None, info.etag)
        else f"{info.cache_control}, stale-while-revalidate=30"
    )


def _safe_content_type(content_type: str) -> str:
    """Return text/plain for HTML, since the real server never serves HTML pages."""
    return "text/plain" if content_type.split(";")[0].strip().lower() == "text/html" else content_type
