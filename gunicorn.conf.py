"""The configuration of gunicorn, which reads this file from the current folder: run `gunicorn`."""

import json
import os
import shlex
import socket
import subprocess
import sys
import time
from contextlib import suppress

import structlog
from gunicorn import glogging, util

from backend.settings import BASE_DIR, LOGGING, PORT, SWEEP_EVERY, THREADS

wsgi_app = "backend.wsgi"
bind = f"127.0.0.1:{PORT}"
worker_class = "gthread"
threads = THREADS  # each slow upload or download of the local store occupies one
timeout = 60
limit_request_line = 8190
limit_request_field_size = 16384  # above the maximum length of a token, so that longer ones get a 401
control_socket_disable = True

#: The maximum number of bytes of a request body that are read after the response, and of seconds for that.
LINGER_BYTES, LINGER_SECONDS = 64 * 1024 * 1024, 10

logconfig_dict = LOGGING
access_log_format = "%(m)s %(U)s %(s)s %(b)s %(M)sms"  # without %(r)s and %(q)s: queries contain tokens


class logger_class(glogging.Logger):  # noqa: N801  (the name of a setting)
    def atoms(self, resp, req, environ, request_time):  # type: ignore[no-untyped-def]
        """Return the values of `access_log_format` only. gunicorn's own also copies every header."""
        return {
            "m": environ.get("REQUEST_METHOD"),
            "U": environ.get("PATH_INFO"),
            "s": str(resp.status).partition(" ")[0],
            "b": getattr(resp, "sent", None) or "-",
            "M": int(request_time.total_seconds() * 1000),
        }


def when_ready(server):  # type: ignore[no-untyped-def]
    """Start the sweep in a process of its own. It ends with this process, also if that is killed."""
    if SWEEP_EVERY:
        command = [sys.executable, str(BASE_DIR / "manage.py"), "sweep"]
        options = ["--every", str(SWEEP_EVERY), "--parent", str(server.pid)]
        server.sweep = subprocess.Popen([*command, *options])  # noqa: S603  (no user input)


def post_worker_init(worker):  # type: ignore[no-untyped-def]
    """Print the addresses for `make run`, once: the first worker is about to answer."""
    if os.environ.get("SHOW_BANNER") and worker.age == 1:
        with suppress(OSError):  # nobody reads it
            print(banner(), flush=True)


def banner() -> str:
    manage = shlex.quote(os.path.relpath(os.path.join(sys.prefix, "bin", "python"))) + " manage.py"
    return f"""
  Docs      http://127.0.0.1:{PORT}/api/docs/
  A token   PORT={PORT} {manage} issue_token alice@example.org
  Staff     PORT={PORT} {manage} issue_token curator@example.org --role staff
  Admin     http://127.0.0.1:{PORT}/admin/ after {manage} createsuperuser
"""


def on_reload(server):  # type: ignore[no-untyped-def]
    """Start the sweep again with the new code."""
    on_exit(server)
    when_ready(server)


def on_exit(server):  # type: ignore[no-untyped-def]
    if sweep := getattr(server, "sweep", None):
        sweep.terminate()


def post_request(worker, request, environ, response):  # type: ignore[no-untyped-def]
    """Clear the request id of the logs, and read the rest of the request body."""
    structlog.contextvars.clear_contextvars()
    if "wsgi.input" in environ and "HTTP_EXPECT" not in environ:
        linger(environ["wsgi.input"], environ["gunicorn.socket"])


def linger(body, connection: socket.socket) -> None:  # type: ignore[no-untyped-def]
    """Read and drop the rest of a request body, so that the client can read the response.

    Closing the connection before that would reset it, and the client would lose the response (RFC 9112, 9.6).
    """
    left, deadline = LINGER_BYTES, time.monotonic() + LINGER_SECONDS
    timeout_before = connection.gettimeout()
    with suppress(Exception):  # the client has closed the connection, or sends no more
        connection.settimeout(LINGER_SECONDS)
        while left > 0 and time.monotonic() < deadline and (chunk := body.read(64 * 1024)):
            left -= len(chunk)
        connection.settimeout(timeout_before)


def write_problem(sock: socket.socket, status: int, reason: str, message: str) -> None:
    """Answer requests that gunicorn itself refuses with problem+json instead of HTML."""
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
