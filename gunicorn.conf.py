"""How gunicorn serves Vivarium. It is read from the current folder: `gunicorn` alone is enough."""

import json
import socket
import time
from contextlib import suppress

import structlog
from gunicorn import glogging, util

from backend.settings import LOGGING, PORT

wsgi_app = "backend.wsgi"
bind = f"127.0.0.1:{PORT}"
worker_class = "gthread"
threads = 16  # a file that comes or goes slowly holds one of them
timeout = 60
limit_request_line = 8190
limit_request_field_size = 16384  # so that an overlong token gets our 401
control_socket_disable = True

LINGER_BYTES, LINGER_SECONDS = 64 * 1024 * 1024, 10  # what may be sent in vain, and for how long

logconfig_dict = LOGGING
access_log_format = "%(m)s %(U)s %(s)s %(b)s %(M)sms"  # never %(r)s or %(q)s: queries hold tokens


class logger_class(glogging.Logger):  # noqa: N801  (a setting)
    def atoms(self, resp, req, environ, request_time):  # type: ignore[no-untyped-def]
        """What the format above asks for. gunicorn would gather every header too, for each line."""
        return {
            "m": environ.get("REQUEST_METHOD"),
            "U": environ.get("PATH_INFO"),
            "s": str(resp.status).partition(" ")[0],
            "b": getattr(resp, "sent", None) or "-",
            "M": int(request_time.total_seconds() * 1000),
        }


def post_request(worker, request, environ, response):  # type: ignore[no-untyped-def]
    """The request id must not stand in the lines of the next request."""
    structlog.contextvars.clear_contextvars()
    if "wsgi.input" in environ and "HTTP_EXPECT" not in environ:
        linger(environ["wsgi.input"], environ["gunicorn.socket"])


def linger(body, connection: socket.socket) -> None:  # type: ignore[no-untyped-def]
    """Read what a refused client still sends: a reset would keep from it why (RFC 9112, 9.6)."""
    left, deadline = LINGER_BYTES, time.monotonic() + LINGER_SECONDS
    patience = connection.gettimeout()
    with suppress(Exception):  # it has gone, or says no more
        connection.settimeout(LINGER_SECONDS)
        while left > 0 and time.monotonic() < deadline and (piece := body.read(64 * 1024)):
            left -= len(piece)
        connection.settimeout(patience)


def write_problem(sock: socket.socket, status: int, reason: str, message: str) -> None:
    """What gunicorn refuses before Django sees it is problem+json too, instead of a page."""
    code = {413: "too_large", 414: "too_large", 431: "too_large", 500: "internal"}.get(status, "malformed")
    body = json.dumps(
        {
            "type": "about:blank",
            "title": reason,
            "status": status,
            "detail": "The server could not read the request.",
            "code": code,
            "errors": [],
        }
    )
    util.write_nonblock(
        sock,
        (
            f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode("latin-1"),
    )


util.write_error = write_problem
