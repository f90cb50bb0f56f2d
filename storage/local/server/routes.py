"""The routes of the Storage protocol: the handler for each method and path.

The first route that matches method and path is used, as on the real server. So `POST object/public/a/b`
uploads to a bucket with the name `public`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from storage.local.server import (
    buckets,
    copying,
    deletion,
    downloads,
    listing,
    signing,
    status,
    tus_uploads,
    uploads,
)
from storage.local.server.errors import no_such_route

Handler = Callable[..., HttpResponseBase]

PATH_PARAMETERS = {
    "</>": "/?",
    "<bucket>": r"(?P<bucket>[^/]+)",
    "<key>": r"(?P<key>.*)",
    "<upload>": r"(?P<upload>[^/]+)/?",
}
RESUMABLE_PATH = "upload/resumable"


@dataclass(frozen=True, slots=True)
class Route:
    methods: frozenset[str]
    path: re.Pattern[str]
    handler: Handler


def route(methods: str, path: str, handler: Handler) -> Route:
    """Return a Route. `methods` are separated by spaces; `path` may contain the names in PATH_PARAMETERS."""
    pattern = "".join(PATH_PARAMETERS.get(part, re.escape(part)) for part in re.split(r"(<[\w/]+>)", path))
    return Route(frozenset(methods.split()), re.compile(pattern, re.DOTALL), handler)


ROUTES = [
    route("GET HEAD", "status", status.status),
    route("GET HEAD", "version", status.version),
    route("POST", "bucket</>", buckets.create),
    route("GET HEAD", "bucket</>", buckets.list_all),
    route("GET HEAD", "bucket/<bucket>", buckets.get),
    route("PUT", "bucket/<bucket>", buckets.update),
    route("DELETE", "bucket/<bucket>", buckets.delete),
    route("POST", "bucket/<bucket>/empty", buckets.empty),
    route("OPTIONS", f"{RESUMABLE_PATH}/sign</>", tus_uploads.options),
    route("OPTIONS", f"{RESUMABLE_PATH}/sign/<upload>", tus_uploads.options),
    route("OPTIONS", f"{RESUMABLE_PATH}</>", tus_uploads.options),
    route("OPTIONS", f"{RESUMABLE_PATH}/<upload>", tus_uploads.options),
    route("POST", f"{RESUMABLE_PATH}/sign</>", tus_uploads.with_token(tus_uploads.create)),
    route("HEAD", f"{RESUMABLE_PATH}/sign/<upload>", tus_uploads.with_token(tus_uploads.head)),
    route("PATCH", f"{RESUMABLE_PATH}/sign/<upload>", tus_uploads.with_token(tus_uploads.patch)),
    route("DELETE", f"{RESUMABLE_PATH}/sign/<upload>", tus_uploads.with_token(tus_uploads.terminate)),
    route("POST", f"{RESUMABLE_PATH}</>", tus_uploads.with_service_key(tus_uploads.create)),
    route("HEAD", f"{RESUMABLE_PATH}/<upload>", tus_uploads.with_service_key(tus_uploads.head)),
    route("PATCH", f"{RESUMABLE_PATH}/<upload>", tus_uploads.with_service_key(tus_uploads.patch)),
    route("DELETE", f"{RESUMABLE_PATH}/<upload>", tus_uploads.with_service_key(tus_uploads.terminate)),
    route("POST", "object/list/<bucket>", listing.list_v1),
    route("POST", "object/list-v2/<bucket>", listing.list_v2),
    route("POST", "object/copy", copying.copy),
    route("POST", "object/move", copying.move),
    route("GET HEAD", "object/sign/<bucket>/<key>", downloads.signed),
    route("POST", "object/sign/<bucket>/<key>", signing.download),
    route("POST", "object/sign/<bucket>", signing.downloads),
    route("POST", "object/upload/sign/<bucket>/<key>", signing.upload),
    route("PUT", "object/upload/sign/<bucket>/<key>", uploads.signed),
    route("GET HEAD", "object/public/<bucket>/<key>", downloads.public),
    route("GET HEAD", "object/authenticated/<bucket>/<key>", downloads.authenticated),
    route("GET HEAD", "object/info/public/<bucket>/<key>", downloads.public_info),
    route("GET HEAD", "object/info/authenticated/<bucket>/<key>", downloads.authenticated_info),
    route("GET HEAD", "object/info/<bucket>/<key>", downloads.info),
    route("DELETE", "object/<bucket>", deletion.delete_many),
    route("POST", "object/<bucket>/<key>", uploads.create),
    route("PUT", "object/<bucket>/<key>", uploads.update),
    route("DELETE", "object/<bucket>/<key>", deletion.delete),
    route("GET HEAD", "object/<bucket>/<key>", downloads.get),
]


def dispatch(request: HttpRequest) -> HttpResponseBase:
    """Call the handler of the route. Raises ProtocolError if there is none, and what the handler raises."""
    path, method = _path(request), _method(request)
    for candidate in ROUTES:
        if method in candidate.methods and (match := candidate.path.fullmatch(path)):
            return candidate.handler(request, **match.groupdict())
    raise no_such_route(request)


def is_resumable(request: HttpRequest) -> bool:
    return _path(request).startswith(RESUMABLE_PATH)


def _method(request: HttpRequest) -> str | None:
    """Return the method. TUS clients that cannot send PATCH or DELETE name it in X-HTTP-Method-Override."""
    override = request.headers.get("X-HTTP-Method-Override") if is_resumable(request) else None
    return override.upper() if override else request.method


def _path(request: HttpRequest) -> str:
    return request.path_info.removeprefix("/storage/v1/")
