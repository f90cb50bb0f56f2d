"""Handlers of resumable uploads (TUS 1.0.0), with the service key or the token of a signed upload URL.

Source: recorded from Storage v1.70.6; what the recording lacks is taken from @tus/server and the hooks that
Storage defines for it (`src/http/routes/tus/lifecycle.ts`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import http_date

from storage import content_types, tokens
from storage.buckets import Bucket
from storage.local import buckets, resumable_uploads
from storage.local.resumable_uploads import ResumableUpload, UploadTooLarge
from storage.local.server import request_body, tus_headers, tus_ids, webhook
from storage.local.server.auth import has_service_key, require_service_key
from storage.local.server.errors import PLAIN_TEXT, ProtocolError, as_protocol_error, plain_error_response
from storage.local.server.uploads import check_content_type, check_key_is_free, size_limit


@dataclass(frozen=True, slots=True)
class Permission:
    """What the client may do: replace the object, and send at most `max_size` bytes, if that is not None.

    `alone`: there can be one open upload for the object, and a new one replaces it.
    """

    may_replace: bool
    max_size: int | None = None
    alone: bool = False

    def size_limit(self, bucket: Bucket) -> int:
        limit = size_limit(bucket)
        return limit if self.max_size is None else min(self.max_size, limit)


#: Returns what the client may do. Raises an exception if it may not even create the object.
Authorize = Callable[[HttpRequest, str, str], Permission]
Handler = Callable[..., HttpResponse]

VERSION_HEADER = {"Tus-Resumable": tus_headers.VERSION}


def with_token(handler: Handler) -> Callable[..., HttpResponseBase]:
    """Return a view for which every request, also HEAD, needs the token. Only the token allows replacing."""
    return partial(_handle, handler, _authorize_token)


def with_service_key(handler: Handler) -> Callable[..., HttpResponseBase]:
    """Return a view that needs the service key.

    A missing or invalid token is answered as a Storage error, not as a TUS error: it is checked first.
    """

    def view(request: HttpRequest, upload: str = "") -> HttpResponseBase:
        try:
            has_service_key(request)
        except ProtocolError as error:
            raise ProtocolError("AccessDenied", error.message, headers=VERSION_HEADER) from None
        return _handle(handler, _authorize_service_key, request, upload)

    return view


def options(request: HttpRequest, upload: str = "") -> HttpResponseBase:
    """Return the features of this server, which also answers a CORS preflight request."""
    return _response(
        204,
        {
            "Access-Control-Allow-Headers": tus_headers.ALLOWED_HEADERS,
            "Access-Control-Allow-Methods": "POST, HEAD, PATCH, OPTIONS, DELETE",
            "Access-Control-Max-Age": "86400",
            "Tus-Version": tus_headers.VERSION,
            "Tus-Extension": tus_headers.EXTENSIONS,
            "Tus-Max-Size": str(settings.STORAGE_FILE_SIZE_LIMIT),
        },
    )


def create(request: HttpRequest, authorize: Authorize, upload: str) -> HttpResponse:
    """Create an upload. The request may contain its first part."""
    length = tus_headers.upload_length_or_deferred(request)
    metadata = tus_headers.Metadata(request.headers.get("Upload-Metadata"))
    name, key = tus_ids.check(metadata.get("bucketName"), metadata.get("objectName"))
    permission = authorize(request, name, key)
    bucket = buckets.get(name)
    if length is not None and length > permission.size_limit(bucket):
        raise UploadTooLarge(key)
    if not permission.may_replace:
        check_key_is_free(bucket, key)
    new = _create_upload(bucket, key, length, metadata, alone=permission.alone)
    try:
        new = _append_part(request, new, bucket, permission)
    except Exception:
        resumable_uploads.remove(new)  # the client does not learn its URL
        raise
    headers = {"Location": _location(request, new), **_progress_headers(new)}
    if not tus_headers.has_part(request):
        del headers["Upload-Offset"]
    return _response(201, headers)


def head(request: HttpRequest, authorize: Authorize, upload: str) -> HttpResponse:
    """Return the offset of the upload.

    If all bytes have arrived but a crash prevented the upload from being finished, finish it now: a client
    that sees the full offset sends no further request.
    """
    id, bucket, key = tus_ids.decode(upload)
    permission = authorize(request, bucket, key)
    found = resumable_uploads.get(id, bucket, key)
    if found.is_full and not found.is_finished:
        with resumable_uploads.locked(id, bucket, key) as found:
            found = _finish_if_full(found, permission)
    deferred = {"Upload-Defer-Length": "1"} if found.length is None else {"Upload-Length": str(found.length)}
    return _response(
        200,
        {
            "Cache-Control": "no-store",
            "Upload-Offset": str(found.offset),
            "Upload-Metadata": found.upload_metadata,
            **deferred,
        },
    )


def patch(request: HttpRequest, authorize: Authorize, upload: str) -> HttpResponse:
    """Append the next part."""
    offset = tus_headers.upload_offset(request)
    id, name, key = tus_ids.decode(upload)
    permission = authorize(request, name, key)
    bucket = buckets.get(name)
    with resumable_uploads.locked(id, name, key) as found:
        if found.offset != offset:
            raise ProtocolError("OffsetConflict")
        found = _with_length(request, found, permission.size_limit(bucket))
        found = _append_part(request, found, bucket, permission)
    return _response(204, _progress_headers(found))


def terminate(request: HttpRequest, authorize: Authorize, upload: str) -> HttpResponse:
    """Delete an unfinished upload."""
    id, bucket, key = tus_ids.decode(upload)
    authorize(request, bucket, key)
    with resumable_uploads.locked(id, bucket, key) as found:
        if found.is_finished:
            raise ProtocolError("InvalidRequest", "Cannot terminate an already completed upload")
        resumable_uploads.remove(found)
    return _response(204)


# --- Authorization ------------------------------------------------------------------------------------


def _authorize_token(request: HttpRequest, bucket: str, key: str) -> Permission:
    token = request.headers.get("X-Signature")
    if not token:
        raise ProtocolError("InvalidSignature", "Missing x-signature header")
    grant = tokens.check(token, "upload", bucket, key)
    return Permission(grant.upsert, grant.max_size, alone=True)


def _authorize_service_key(request: HttpRequest, bucket: str, key: str) -> Permission:
    require_service_key(request)
    return Permission(request.headers.get("X-Upsert") == "true")


# --- Uploads ------------------------------------------------------------------------------------------


def _create_upload(
    bucket: Bucket, key: str, length: int | None, metadata: tus_headers.Metadata, *, alone: bool
) -> ResumableUpload:
    metadata.set("cacheControl", request_body.cache_control(metadata.get("cacheControl")))
    return resumable_uploads.create(
        bucket.name,
        key,
        alone=alone,
        length=length,
        content_type=_content_type(bucket, key, metadata.get("contentType")),
        cache_control=metadata.get("cacheControl"),
        metadata=request_body.parse_metadata(metadata.get("metadata").encode()),
        upload_metadata=str(metadata),
    )


def _content_type(bucket: Bucket, key: str, content_type: str) -> str:
    """Return the content type, or a default if the client sent "". Raises ProtocolError.

    The default is DEFAULT_CONTENT_TYPE, or the type of the key's suffix if the bucket does not allow that.
    The real server accepts a missing type in every bucket.
    """
    if not content_type:
        default = request_body.DEFAULT_CONTENT_TYPE
        content_type = default if bucket.allows(default) else content_types.guess(key)
    check_content_type(bucket, content_type)
    return request_body.check_header_value(content_type)


def _with_length(request: HttpRequest, upload: ResumableUpload, limit: int) -> ResumableUpload:
    """Record a deferred length, if the request has one. Raises ProtocolError, UploadTooLarge."""
    length = tus_headers.upload_length(request)
    if length is None:
        return upload
    if upload.length is not None or length < upload.offset:
        raise ProtocolError(
            "InvalidRequest", "Upload-Length is already known, or less than the bytes received"
        )
    if length > limit:
        raise UploadTooLarge(upload.key)
    return resumable_uploads.set_length(upload, length)


def _append_part(
    request: HttpRequest, upload: ResumableUpload, bucket: Bucket, permission: Permission
) -> ResumableUpload:
    """Append the part in the request, if it has one, and finish the upload if all bytes have arrived."""
    if tus_headers.has_part(request) and not upload.is_finished:
        limit = permission.size_limit(bucket)
        max_bytes = (limit if upload.length is None else min(upload.length, limit)) - upload.offset
        if (request_body.declared_length(request) or 0) > max_bytes:
            raise UploadTooLarge(upload.key)
        upload = resumable_uploads.append(upload, request_body.raw_chunks(request), max_bytes)
    return _finish_if_full(upload, permission)


def _finish_if_full(upload: ResumableUpload, permission: Permission) -> ResumableUpload:
    if upload.is_full and not upload.is_finished:
        buckets.get(upload.bucket)  # raises BucketMissing if it was deleted while the bytes were received
        upload = resumable_uploads.finish(upload, replace_object=permission.may_replace)
        webhook.report("INSERT", upload.bucket, upload.key)
    return upload


# --- Responses ----------------------------------------------------------------------------------------


def _handle(
    handler: Handler, authorize: Authorize, request: HttpRequest, upload: str = ""
) -> HttpResponseBase:
    """Validate the headers and call the handler. Exceptions are answered as TUS errors."""
    try:
        tus_headers.validate(request, is_patch=handler is patch)
        return handler(request, authorize, upload)
    except Exception as error:
        response = plain_error_response(as_protocol_error(error))
        response.headers["Tus-Resumable"] = tus_headers.VERSION
        return response


def _response(status: int, headers: dict[str, str] | None = None) -> HttpResponse:
    response = HttpResponse(
        status=status, content_type=PLAIN_TEXT, headers={**VERSION_HEADER, **(headers or {})}
    )
    if status == 204:
        del response.headers["Content-Type"]
    return response


def _progress_headers(upload: ResumableUpload) -> dict[str, str]:
    state = {"Tus-Complete": "1"} if upload.is_finished else {"Upload-Expires": http_date(upload.expires_at)}
    return {"Upload-Offset": str(upload.offset), **state}


def _location(request: HttpRequest, upload: ResumableUpload) -> str:
    """Return the absolute URL of the upload.

    It starts with SUPABASE_URL, because a proxy may have changed the host of the request.
    """
    return f"{settings.SUPABASE_URL}{request.path_info.rstrip('/')}/{tus_ids.encode(upload)}"
