"""The errors of the Storage protocol, as recorded from a real server (v1.70.6).

Most errors have HTTP status 400, and the actual status in the body. Errors 408, 412 and 416 and unknown
routes have their actual status. The answer to HEAD has no body. Errors of resumable uploads follow TUS: they
have the actual status and a plain text body.
"""

import structlog
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse, JsonResponse

from storage import keys, tokens
from storage.errors import ObjectExists, ObjectMissing, StorageUnavailable
from storage.local.buckets import BucketExists, BucketMissing, BucketNotEmpty
from storage.local.resumable_uploads import UploadExpired, UploadLocked, UploadMissing, UploadTooLarge

#: reason: (HTTP status, statusCode, error, message). The reason is also the `code`, except for OTHER_CODES.
ERRORS: dict[str, tuple[int, str, str, str]] = {
    "InvalidRequest": (400, "400", "Error", "The request is not valid"),
    "InvalidJSON": (400, "400", "FastifyError", "Body is not valid JSON"),
    "NoContentProvided": (400, "400", "InvalidRequest", "No content provided"),
    "InvalidParameter": (400, "400", "InvalidParameter", "Invalid Parameter"),
    "InvalidJWT": (400, "400", "InvalidJWT", "Invalid Compact JWS"),
    "InvalidSignature": (400, "400", "InvalidSignature", "Invalid signature"),
    "InvalidKey": (400, "400", "InvalidKey", "Invalid key"),
    "InvalidBucketName": (400, "400", "Invalid Input", "Bucket name invalid"),
    "AccessDenied": (400, "403", "Unauthorized", "Access denied"),
    "NoSuchBucket": (400, "404", "Bucket not found", "Bucket not found"),
    "NoRelatedBucket": (400, "404", "InvalidRequest", "The related resource does not exist"),
    "NoSuchKey": (400, "404", "not_found", "Object not found"),
    "NoSuchUpload": (400, "404", "not_found", "Upload not found"),
    "KeyAlreadyExists": (400, "409", "Duplicate", "The resource already exists"),
    "ResourceAlreadyExists": (400, "409", "Duplicate", "The resource already exists"),
    "BucketAlreadyExists": (400, "409", "Duplicate", "The resource already exists"),
    "ResourceNotEmpty": (400, "409", "ResourceNotEmpty", "The bucket you tried to delete is not empty"),
    "EntityTooLarge": (400, "413", "Payload too large", "The object exceeded the maximum allowed size"),
    "InvalidMimeType": (400, "415", "invalid_mime_type", "mime type is not supported"),
    "PreconditionFailed": (412, "412", "PreconditionFailed", "The object is not as the condition says"),
    "InvalidRange": (416, "416", "invalid_range", "invalid range provided"),
    "HeaderMissing": (403, "403", "Error", "A header is missing"),
    "RequestTimeout": (408, "408", "RequestTimeout", "The body did not arrive in time"),
    "OffsetConflict": (409, "409", "Error", "Upload-Offset conflict"),
    "UploadGone": (410, "410", "Error", "The upload has expired"),
    "VersionUnknown": (412, "412", "Error", "Tus-Resumable must be 1.0.0"),
    "ResourceLocked": (423, "423", "Error", "Another request is writing to this upload"),
    "NotImplemented": (501, "501", "Error", "Not implemented"),
    "NoSuchRoute": (404, "404", "Not Found", "Route not found"),
    "InternalError": (500, "500", "internal", "Internal server error"),
    "SlowDown": (503, "503", "unavailable", "The store does not answer: try again"),
}
OTHER_CODES = dict.fromkeys(
    ("InvalidJSON", "NoContentProvided", "NoRelatedBucket", "NoSuchRoute"), "InvalidRequest"
)
PLAIN_TEXT = "text/plain;charset=UTF-8"

logger = structlog.get_logger("storage.local.server")


class ProtocolError(Exception):
    """An error of the Storage protocol. `reason` is a key of ERRORS; `message` replaces the message there."""

    def __init__(self, reason: str, message: str = "", *, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.message = message or ERRORS[reason][3]
        self.headers = headers or {}

    @property
    def actual_status(self) -> int:
        """The HTTP status that fits the error, whatever status it is sent with."""
        return int(ERRORS[self.reason][1])


def error_response(error: ProtocolError) -> JsonResponse:
    status, status_code, name, _ = ERRORS[error.reason]
    body = {
        "statusCode": status_code,
        "error": name,
        "message": error.message,
        "code": OTHER_CODES.get(error.reason, error.reason),
    }
    return JsonResponse(body, status=status, headers=error.headers)


def plain_error_response(error: ProtocolError) -> HttpResponse:
    """Return the error as resumable uploads answer it."""
    return HttpResponse(
        error.message, status=error.actual_status, content_type=PLAIN_TEXT, headers=error.headers
    )


def as_protocol_error(error: Exception) -> ProtocolError:
    """Return the error of the protocol for any exception. It never contains a path of this machine."""
    match error:
        case ProtocolError():
            return error
        case tokens.InvalidToken():
            return ProtocolError(error.code, str(error))
        case keys.InvalidKey():
            return ProtocolError("InvalidKey")
        case SuspiciousOperation():  # such as TooManyFieldsSent
            return ProtocolError("InvalidRequest")
        case ObjectMissing():
            return ProtocolError("NoSuchKey")
        case ObjectExists():
            return ProtocolError("KeyAlreadyExists")
        case BucketMissing():
            return ProtocolError("NoSuchBucket")
        case BucketExists():
            return ProtocolError("BucketAlreadyExists")
        case BucketNotEmpty():
            return ProtocolError("ResourceNotEmpty")
        case UploadMissing():
            return ProtocolError("NoSuchUpload")
        case UploadExpired():
            return ProtocolError("UploadGone")
        case UploadLocked():
            return ProtocolError("ResourceLocked", headers={"Retry-After": "1"})
        case UploadTooLarge():
            return ProtocolError("EntityTooLarge")
        case StorageUnavailable():
            logger.error("storage_unavailable", outage="storage", exc_info=error)
            return ProtocolError("SlowDown", headers={"Retry-After": "5"})
    logger.error("unhandled", exc_info=error)
    return ProtocolError("InternalError")


def no_such_route(request: HttpRequest) -> ProtocolError:
    """The message has the path without the query string, which may contain a token."""
    route = request.path_info.removeprefix("/storage/v1")
    return ProtocolError("NoSuchRoute", f"Route {request.method}:{route} not found")
