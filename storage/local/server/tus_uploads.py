"""Resumable uploads by TUS 1.0.0: by the service key, or by the token of a signed upload.

Source: recorded from Storage v1.70.6, and for what is not recorded @tus/server and the hooks that Storage
gives it (`src/http/routes/tus/lifecycle.ts`).
"""

import re
from collections.abc import Callable
from functools import partial

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import http_date

from storage import keys, tokens
from storage.buckets import Bucket
from storage.local import buckets, resumable_uploads
from storage.local.resumable_uploads import ResumableUpload, UploadTooLarge
from storage.local.server import request_body, tus_headers, tus_ids
from storage.local.server.auth import is_service, must_be_service
from storage.local.server.errors import TEXT, ProtocolError, as_protocol_error, plain_error_response
from storage.local.server.uploads import must_be_free, must_take, size_limit

#: Whether the caller may replace this object; raises when they may not even create it.
Admit = Callable[[HttpRequest, str, str], bool]
Handler = Callable[..., HttpResponse]

PROTOCOL = {"Tus-Resumable": tus_headers.VERSION}
SECONDS = re.compile(r"\d{1,10}", re.ASCII)
UNTOLD = "application/octet-stream"


def signed(handler: Handler) -> Callable[..., HttpResponseBase]:
    """Every request, a HEAD too, shows the token; nothing but the token says whether it may replace."""
    return partial(_speak, handler, _by_token)


def by_service(handler: Handler) -> Callable[..., HttpResponseBase]:
    """Who shows no token, or one that is none, is refused in the words of the store: TUS comes after."""

    def answer(request: HttpRequest, upload: str = "") -> HttpResponseBase:
        try:
            is_service(request)
        except ProtocolError as refusal:
            raise ProtocolError("AccessDenied", refusal.message, headers=PROTOCOL) from None
        return _speak(handler, _by_key, request, upload)

    return answer


def options(request: HttpRequest, upload: str = "") -> HttpResponseBase:
    """What this server can do, and what a browser asks before it sends."""
    return _answer(
        204,
        {
            "Access-Control-Allow-Headers": tus_headers.ALLOWED,
            "Access-Control-Allow-Methods": "POST, HEAD, PATCH, OPTIONS, DELETE",
            "Access-Control-Max-Age": "86400",
            "Tus-Version": tus_headers.VERSION,
            "Tus-Extension": tus_headers.EXTENSIONS,
            "Tus-Max-Size": str(settings.STORAGE_FILE_SIZE_LIMIT),
        },
    )


def create(request: HttpRequest, admit: Admit, upload: str) -> HttpResponse:
    """A new upload, and the bytes of it that come along."""
    length = tus_headers.length_or_deferred(request)
    told = tus_headers.Metadata(request.headers.get("Upload-Metadata"))
    name, key = tus_ids.legal(told.text("bucketName"), told.text("objectName"))
    replacing = admit(request, name, key)
    bucket = buckets.find(name)
    if length is not None and length > size_limit(bucket):
        raise UploadTooLarge(key)
    if not replacing:
        must_be_free(bucket, key)
    new = _announced(bucket, key, length, told)
    try:
        new = _receive(request, new, bucket, replacing)
    except Exception:
        resumable_uploads.remove(new)  # nobody will ever know where it was
        raise
    headers = {"Location": _location(request, new), **_progress(new)}
    if not tus_headers.brings_bytes(request):
        del headers["Upload-Offset"]
    return _answer(201, headers)


def head(request: HttpRequest, admit: Admit, upload: str) -> HttpResponse:
    """How far it is. One that was left whole and unfinished by a crash is finished now: a client that
    sees that all has arrived will not come again.
    """
    id, bucket, key = tus_ids.decode(upload)
    replacing = admit(request, bucket, key)
    found = resumable_uploads.find(id, bucket, key)
    if found.is_full and not found.is_finished:
        with resumable_uploads.held(id, bucket, key) as found:
            found = _finish_if_full(found, replacing)
    deferred = {"Upload-Defer-Length": "1"} if found.length is None else {"Upload-Length": str(found.length)}
    return _answer(
        200,
        {
            "Cache-Control": "no-store",
            "Upload-Offset": str(found.offset),
            "Upload-Metadata": found.told,
            **deferred,
        },
    )


def patch(request: HttpRequest, admit: Admit, upload: str) -> HttpResponse:
    """The next part."""
    offset = tus_headers.offset(request)
    id, name, key = tus_ids.decode(upload)
    replacing = admit(request, name, key)
    bucket = buckets.find(name)
    with resumable_uploads.held(id, name, key) as found:
        if found.offset != offset:
            raise ProtocolError("OffsetConflict")
        found = _receive(request, _measured(request, found, bucket), bucket, replacing)
    return _answer(204, _progress(found))


def terminate(request: HttpRequest, admit: Admit, upload: str) -> HttpResponse:
    """Give it up."""
    id, bucket, key = tus_ids.decode(upload)
    admit(request, bucket, key)
    with resumable_uploads.held(id, bucket, key) as found:
        if found.is_finished:
            raise ProtocolError("InvalidRequest", "Cannot terminate an already completed upload")
        resumable_uploads.remove(found)
    return _answer(204)


# --- Who ----------------------------------------------------------------------------------------------


def _by_token(request: HttpRequest, bucket: str, key: str) -> bool:
    token = request.headers.get("X-Signature")
    if not token:
        raise ProtocolError("InvalidSignature", "Missing x-signature header")
    return tokens.check(token, "upload", bucket, key).upsert


def _by_key(request: HttpRequest, bucket: str, key: str) -> bool:
    must_be_service(request)
    return request.headers.get("X-Upsert") == "true"


# --- What ---------------------------------------------------------------------------------------------


def _announced(bucket: Bucket, key: str, length: int | None, told: tus_headers.Metadata) -> ResumableUpload:
    seconds = told.text("cacheControl")
    told.tell("cacheControl", f"max-age={int(seconds)}" if SECONDS.fullmatch(seconds) else "no-cache")
    return resumable_uploads.create(
        bucket.name,
        key,
        length=length,
        content_type=_content_type(bucket, key, told.text("contentType")),
        cache_control=told.text("cacheControl"),
        metadata=request_body.as_metadata(told.text("metadata").encode()),
        told=str(told),
    )


def _content_type(bucket: Bucket, key: str, told: str) -> str:
    """A type that nobody told is none, or in a bucket that refuses that, the one that the key ends with.

    The real server lets an untold type into every bucket.
    """
    if not told:
        told = UNTOLD if bucket.takes(UNTOLD) else keys.content_type(key)
    must_take(bucket, told)
    return request_body.servable(told)


def _measured(request: HttpRequest, upload: ResumableUpload, bucket: Bucket) -> ResumableUpload:
    """With the length that was deferred, if this request tells it."""
    length = tus_headers.length(request)
    if length is None:
        return upload
    if upload.length is not None or length < upload.offset:
        raise ProtocolError("InvalidRequest", "Upload-Length was told before, or more has arrived")
    if length > size_limit(bucket):
        raise UploadTooLarge(upload.key)
    return resumable_uploads.declare(upload, length)


def _receive(
    request: HttpRequest, upload: ResumableUpload, bucket: Bucket, replacing: bool
) -> ResumableUpload:
    """The upload with the bytes that the request brings, finished if they are the last."""
    if tus_headers.brings_bytes(request) and not upload.is_finished:
        limit = size_limit(bucket)
        room = (limit if upload.length is None else min(upload.length, limit)) - upload.offset
        if (request_body.declared_length(request) or 0) > room:
            raise UploadTooLarge(upload.key)
        upload = resumable_uploads.append(upload, request_body.raw(request), room)
    return _finish_if_full(upload, replacing)


def _finish_if_full(upload: ResumableUpload, replacing: bool) -> ResumableUpload:
    if upload.is_full and not upload.is_finished:
        buckets.find(upload.bucket)  # it may have been deleted while the bytes travelled
        return resumable_uploads.finish(upload, replacing=replacing)
    return upload


# --- Words --------------------------------------------------------------------------------------------


def _speak(handler: Handler, admit: Admit, request: HttpRequest, upload: str = "") -> HttpResponseBase:
    try:
        tus_headers.must_be_valid(request, is_part=handler is patch)
        return handler(request, admit, upload)
    except Exception as error:
        response = plain_error_response(as_protocol_error(error))
        response.headers["Tus-Resumable"] = tus_headers.VERSION
        return response


def _answer(status: int, headers: dict[str, str] | None = None) -> HttpResponse:
    response = HttpResponse(status=status, content_type=TEXT, headers={**PROTOCOL, **(headers or {})})
    if status == 204:
        del response.headers["Content-Type"]
    return response


def _progress(upload: ResumableUpload) -> dict[str, str]:
    state = {"Tus-Complete": "1"} if upload.is_finished else {"Upload-Expires": http_date(upload.expires_at)}
    return {"Upload-Offset": str(upload.offset), **state}


def _location(request: HttpRequest, upload: ResumableUpload) -> str:
    """Absolute, and where the world reaches this server: a proxy may have told it another name."""
    return f"{settings.SUPABASE_URL}{request.path_info.rstrip('/')}/{tus_ids.encode(upload)}"
