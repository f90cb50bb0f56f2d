"""The routes of the protocol: which handler answers which method of which path.

They are looked through in this order, method and path together, as the real server does: so
`POST object/public/a/b` uploads into a bucket that is called `public`.
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

PARTS = {
    "</>": "/?",
    "<bucket>": r"(?P<bucket>[^/]+)",
    "<key>": r"(?P<key>.*)",
    "<upload>": r"(?P<upload>[^/]+)/?",
}
RESUMABLE = "upload/resumable"


@dataclass(frozen=True, slots=True)
class Route:
    methods: frozenset[str]
    path: re.Pattern[str]
    handler: Handler


def route(methods: str, path: str, handler: Handler) -> Route:
    pattern = "".join(PARTS.get(part, re.escape(part)) for part in re.split(r"(<[\w/]+>)", path))
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
    route("OPTIONS", f"{RESUMABLE}/sign</>", tus_uploads.options),
    route("OPTIONS", f"{RESUMABLE}/sign/<upload>", tus_uploads.options),
    route("OPTIONS", f"{RESUMABLE}</>", tus_uploads.options),
    route("OPTIONS", f"{RESUMABLE}/<upload>", tus_uploads.options),
    route("POST", f"{RESUMABLE}/sign</>", tus_uploads.signed(tus_uploads.create)),
    route("HEAD", f"{RESUMABLE}/sign/<upload>", tus_uploads.signed(tus_uploads.head)),
    route("PATCH", f"{RESUMABLE}/sign/<upload>", tus_uploads.signed(tus_uploads.patch)),
    route("DELETE", f"{RESUMABLE}/sign/<upload>", tus_uploads.signed(tus_uploads.terminate)),
    route("POST", f"{RESUMABLE}</>", tus_uploads.by_service(tus_uploads.create)),
    route("HEAD", f"{RESUMABLE}/<upload>", tus_uploads.by_service(tus_uploads.head)),
    route("PATCH", f"{RESUMABLE}/<upload>", tus_uploads.by_service(tus_uploads.patch)),
    route("DELETE", f"{RESUMABLE}/<upload>", tus_uploads.by_service(tus_uploads.terminate)),
    route("POST", "object/list/<bucket>", listing.by_folder),
    route("POST", "object/list-v2/<bucket>", listing.by_cursor),
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
    route("DELETE", "object/<bucket>", deletion.many),
    route("POST", "object/<bucket>/<key>", uploads.create),
    route("PUT", "object/<bucket>/<key>", uploads.update),
    route("DELETE", "object/<bucket>/<key>", deletion.one),
    route("GET HEAD", "object/<bucket>/<key>", downloads.get),
]


def dispatch(request: HttpRequest) -> HttpResponseBase:
    """Raises Refusal, and whatever a handler raises."""
    path, method = _path(request), _method(request)
    for each in ROUTES:
        if method in each.methods and (match := each.path.fullmatch(path)):
            return each.handler(request, **match.groupdict())
    raise no_such_route(request)


def is_resumable(request: HttpRequest) -> bool:
    return _path(request).startswith(RESUMABLE)


def _method(request: HttpRequest) -> str | None:
    """Clients of resumable uploads say it in a header where they cannot send what they mean."""
    meant = request.headers.get("X-HTTP-Method-Override") if is_resumable(request) else None
    return meant.upper() if meant else request.method


def _path(request: HttpRequest) -> str:
    return request.path_info.removeprefix("/storage/v1/")
