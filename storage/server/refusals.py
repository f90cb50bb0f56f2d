"""The errors of the Storage protocol, as recorded from a real server (v1.70.6).

Nearly all answer HTTP 400, with the true status in the body; a 416 and an unknown route are
themselves, and a HEAD has no body.
"""

from django.http import HttpRequest, JsonResponse

#: code: (HTTP status, statusCode, error, message)
REFUSALS: dict[str, tuple[int, str, str, str]] = {
    "InvalidRequest": (400, "400", "Error", "The request is not valid"),
    "InvalidJWT": (400, "400", "InvalidJWT", "Invalid Compact JWS"),
    "InvalidSignature": (400, "400", "InvalidSignature", "Invalid signature"),
    "InvalidKey": (400, "400", "InvalidKey", "Invalid key"),
    "NoSuchBucket": (400, "404", "Bucket not found", "Bucket not found"),
    "NoSuchKey": (400, "404", "not_found", "Object not found"),
    "KeyAlreadyExists": (400, "409", "Duplicate", "The resource already exists"),
    "EntityTooLarge": (400, "413", "Payload too large", "The object exceeded the maximum allowed size"),
    "InvalidMimeType": (400, "415", "invalid_mime_type", "mime type is not supported"),
    "InvalidRange": (416, "416", "invalid_range", "invalid range provided"),
    "NoSuchRoute": (404, "404", "Not Found", "Route not found"),
    "InternalError": (500, "500", "internal", "Internal server error"),
    "SlowDown": (503, "503", "unavailable", "The store does not answer: try again"),
}


class Refusal(Exception):
    """One of REFUSALS, with words of its own where they help."""

    def __init__(self, code: str, message: str = "", *, headers: dict[str, str] | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.headers = headers or {}


def refuse(refusal: Refusal) -> JsonResponse:
    status, status_code, error, message = REFUSALS[refusal.code]
    code = "InvalidRequest" if refusal.code == "NoSuchRoute" else refusal.code
    body = {
        "statusCode": status_code,
        "error": error,
        "message": refusal.message or message,
        "code": code,
    }
    return JsonResponse(body, status=status, headers=refusal.headers)


def no_such_route(request: HttpRequest) -> Refusal:
    """The path stands in the message, and never its query: that may be a token."""
    route = request.path_info.removeprefix("/storage/v1")
    return Refusal("NoSuchRoute", f"Route {request.method}:{route} not found")
