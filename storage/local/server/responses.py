"""An object as an HTTP answer: whole or a range of it, or the news that nothing has changed."""

import re
from datetime import datetime
from typing import Any, BinaryIO
from urllib.parse import quote

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import http_date, parse_http_date_safe

from storage import keys
from storage.base import ObjectInfo, read_chunks
from storage.local.objects import LocalObjects
from storage.local.server.errors import ProtocolError

ONE_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.ASCII | re.IGNORECASE)


def serve(
    request: HttpRequest, objects: LocalObjects, key: str, *, expires: datetime | None = None
) -> HttpResponseBase:
    """The answer to GET and HEAD. `expires`: of the token, for a signed URL.

    A HEAD has ranges only there, as with the real server.
    """
    file, info = objects.open(keys.spelled(key))
    try:
        response = _answer(request, file, info, ranges=request.method == "GET" or expires is not None)
    except BaseException:
        file.close()
        raise
    if not response.streaming:
        file.close()
    for name, value in _headers(request, info, expires).items():
        response.headers.setdefault(name, value)
    return response


def _answer(request: HttpRequest, file: BinaryIO, info: ObjectInfo, *, ranges: bool) -> HttpResponseBase:
    modified = int(info.last_modified.timestamp())
    unchanged = get_conditional_response(request, etag=info.etag, last_modified=modified)
    if unchanged is not None and unchanged.status_code == 412:
        raise ProtocolError("PreconditionFailed")
    if unchanged is not None:
        unchanged.headers["Content-Type"] = _harmless(info.content_type)
        return unchanged
    window = _range(request, info) if ranges else None
    start, end = window or (0, info.size)
    headers = {"Content-Length": str(end - start), "Content-Type": _harmless(info.content_type)}
    if window:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{info.size}"
    status = 206 if window else 200
    if request.method == "HEAD":
        return HttpResponse(status=status, headers=headers)
    file.seek(start)
    return Window(file, end - start, status=status, headers=headers)


class Window(StreamingHttpResponse):
    """So many bytes of an open file, which is closed with the response, read or not."""

    def __init__(self, file: BinaryIO, length: int, **options: Any) -> None:
        self.file = file
        super().__init__(read_chunks(file, length), **options)

    def close(self) -> None:
        super().close()
        self.file.close()


def _range(request: HttpRequest, info: ObjectInfo) -> tuple[int, int] | None:
    """First byte and the one behind the last; None for the whole. One range, as the real server."""
    header = request.headers.get("Range", "")
    if not header.strip().lower().startswith("bytes") or not _still_the_same(request, info):
        return None  # RFC 9110, 14.2: a unit that is not known is ignored
    match = ONE_RANGE.fullmatch(header)
    first, last = match.groups() if match else ("", "")
    if first:
        start, end = int(first), min(int(last) + 1, info.size) if last else info.size
    else:
        start, end = max(0, info.size - int(last or 0)), info.size
    if start >= end:
        raise ProtocolError("InvalidRange", headers={"Content-Range": f"bytes */{info.size}"})
    return start, end


def _still_the_same(request: HttpRequest, info: ObjectInfo) -> bool:
    """If-Range: continue a download only with the bytes that it began with (RFC 9110, 13.1.5)."""
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
    """As the real server: who had other bytes may show them while it fetches these."""
    had = request.headers.get("If-None-Match")
    return (
        info.cache_control if had in (None, info.etag) else f"{info.cache_control}, stale-while-revalidate=30"
    )


def _harmless(content_type: str) -> str:
    """The real server never serves a page, and neither does this one."""
    return "text/plain" if content_type.split(";")[0].strip().lower() == "text/html" else content_type
