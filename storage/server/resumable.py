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

from storage import keys, local_buckets, parts, tokens
from storage.buckets import Bucket
from storage.parts import Overrun, Parts
from storage.server import bodies, tus, upload_ids
from storage.server.callers import is_service, must_be_service
from storage.server.refusals import TEXT, Refusal, as_refusal, refuse_plainly
from storage.server.uploads import must_be_free, must_take, size_limit

#: Whether the caller may replace this object; raises when they may not even create it.
Admit = Callable[[HttpRequest, str, str], bool]
Handler = Callable[..., HttpResponse]

PROTOCOL = {"Tus-Resumable": tus.VERSION}
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
        except Refusal as refusal:
            raise Refusal("AccessDenied", refusal.message, headers=PROTOCOL) from None
        return _speak(handler, _by_key, request, upload)

    return answer


def options(request: HttpRequest, upload: str = "") -> HttpResponseBase:
    """What this server can do, and what a browser asks before it sends."""
    return _answer(
        204,
        {
            "Access-Control-Allow-Headers": tus.ALLOWED,
            "Access-Control-Allow-Methods": "POST, HEAD, PATCH, OPTIONS, DELETE",
            "Access-Control-Max-Age": "86400",
            "Tus-Version": tus.VERSION,
            "Tus-Extension": tus.EXTENSIONS,
            "Tus-Max-Size": str(settings.STORAGE_FILE_SIZE_LIMIT),
        },
    )


def create(request: HttpRequest, admit: Admit, upload: str) -> HttpResponse:
    """A new upload, and the bytes of it that come along."""
    length = tus.length_or_deferred(request)
    told = tus.Metadata(request.headers.get("Upload-Metadata"))
    name, key = upload_ids.legal(told.text("bucketName"), told.text("objectName"))
    replacing = admit(request, name, key)
    bucket = local_buckets.find(name)
    if length is not None and length > size_limit(bucket):
        raise Overrun(key)
    if not replacing:
        must_be_free(bucket, key)
    new = _announced(bucket, key, length, told)
    try:
        new = _receive(request, new, bucket, replacing)
    except Exception:
        parts.remove(new)  # nobody will ever know where it was
        raise
    headers = {"Location": _location(request, new), **_progress(new)}
    if not tus.brings_bytes(request):
        del headers["Upload-Offset"]
    return _answer(201, headers)


def head(request: HttpRequest, admit: Admit, upload: str) -> HttpResponse:
    """How far it is. One that was left whole and unfinished by a crash is finished now: a client that
    sees that all has arrived will not come again.
    """
    id, bucket, key = upload_ids.decode(upload)
    replacing = admit(request, bucket, key)
    found = parts.find(id, bucket, key)
    if found.is_full and not found.is_finished:
        with parts.held(id, bucket, key) as found:
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
    offset = tus.offset(request)
    id, name, key = upload_ids.decode(upload)
    replacing = admit(request, name, key)
    bucket = local_buckets.find(name)
    with parts.held(id, name, key) as found:
        if found.offset != offset:
            raise Refusal("OffsetConflict")
        found = _receive(request, _measured(request, found, bucket), bucket, replacing)
    return _answer(204, _progress(found))


def terminate(request: HttpRequest, admit: Admit, upload: str) -> HttpResponse:
    """Give it up."""
    id, bucket, key = upload_ids.decode(upload)
    admit(request, bucket, key)
    with parts.held(id, bucket, key) as found:
        if found.is_finished:
            raise Refusal("InvalidRequest", "Cannot terminate an already completed upload")
        parts.remove(found)
    return _answer(204)


# --- Who ----------------------------------------------------------------------------------------------


def _by_token(request: HttpRequest, bucket: str, key: str) -> bool:
    token = request.headers.get("X-Signature")
    if not token:
        raise Refusal("InvalidSignature", "Missing x-signature header")
    return tokens.check(token, "upload", bucket, key).upsert


def _by_key(request: HttpRequest, bucket: str, key: str) -> bool:
    must_be_service(request)
    return request.headers.get("X-Upsert") == "true"


# --- What ---------------------------------------------------------------------------------------------


def _announced(bucket: Bucket, key: str, length: int | None, told: tus.Metadata) -> Parts:
    seconds = told.text("cacheControl")
    told.tell("cacheControl", f"max-age={int(seconds)}" if SECONDS.fullmatch(seconds) else "no-cache")
    return parts.create(
        bucket.name,
        key,
        length=length,
        content_type=_content_type(bucket, key, told.text("contentType")),
        cache_control=told.text("cacheControl"),
        metadata=bodies.as_metadata(told.text("metadata").encode()),
        told=str(told),
    )


def _content_type(bucket: Bucket, key: str, told: str) -> str:
    """A type that nobody told is none, or in a bucket that refuses that, the one that the key ends with.

    The real server lets an untold type into every bucket.
    """
    if not told:
        told = UNTOLD if bucket.takes(UNTOLD) else keys.content_type(key)
    must_take(bucket, told)
    return bodies.servable(told)


def _measured(request: HttpRequest, upload: Parts, bucket: Bucket) -> Parts:
    """With the length that was deferred, if this request tells it."""
    length = tus.length(request)
    if length is None:
        return upload
    if upload.length is not None or length < upload.offset:
        raise Refusal("InvalidRequest", "Upload-Length was told before, or more has arrived")
    if length > size_limit(bucket):
        raise Overrun(upload.key)
    return parts.declare(upload, length)


def _receive(request: HttpRequest, upload: Parts, bucket: Bucket, replacing: bool) -> Parts:
    """The upload with the bytes that the request brings, finished if they are the last."""
    if tus.brings_bytes(request) and not upload.is_finished:
        limit = size_limit(bucket)
        room = (limit if upload.length is None else min(upload.length, limit)) - upload.offset
        if (bodies.declared_length(request) or 0) > room:
            raise Overrun(upload.key)
        upload = parts.append(upload, bodies.raw(request), room)
    return _finish_if_full(upload, replacing)


def _finish_if_full(upload: Parts, replacing: bool) -> Parts:
    if upload.is_full and not upload.is_finished:
        local_buckets.find(upload.bucket)  # it may have been deleted while the bytes travelled
        return parts.finish(upload, replacing=replacing)
    return upload


# --- Words --------------------------------------------------------------------------------------------


def _speak(handler: Handler, admit: Admit, request: HttpRequest, upload: str = "") -> HttpResponseBase:
    try:
        tus.must_be_valid(request, is_part=handler is patch)
        return handler(request, admit, upload)
    except Exception as error:
        response = refuse_plainly(as_refusal(error))
        response.headers["Tus-Resumable"] = tus.VERSION
        return response


def _answer(status: int, headers: dict[str, str] | None = None) -> HttpResponse:
    response = HttpResponse(status=status, content_type=TEXT, headers={**PROTOCOL, **(headers or {})})
    if status == 204:
        del response.headers["Content-Type"]
    return response


def _progress(upload: Parts) -> dict[str, str]:
    state = {"Tus-Complete": "1"} if upload.is_finished else {"Upload-Expires": http_date(upload.expires_at)}
    return {"Upload-Offset": str(upload.offset), **state}


def _location(request: HttpRequest, upload: Parts) -> str:
    """Absolute, and where the world reaches this server: a proxy may have told it another name."""
    return f"{settings.SUPABASE_URL}{request.path_info.rstrip('/')}/{upload_ids.encode(upload)}"
