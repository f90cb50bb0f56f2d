"""The access log of gunicorn: one line a request, whose values are fields if lines are JSON.

The master process imports this module before Django is set up.
"""

import logging
from datetime import timedelta
from typing import Any

import structlog
from gunicorn import glogging

from backend.settings import DEBUG

#: The key of the WSGI environment under which a middleware leaves the fields that only Django knows.
FIELDS = "vivarium.log_fields"

access_log = structlog.get_logger("gunicorn.access")


class AccessLogger(glogging.Logger):
    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        """Log one request: as text with DEBUG, else as fields. Never its query, which may have tokens."""
        fields: dict[str, Any] = {
            "method": environ.get("REQUEST_METHOD"),
            "path": environ.get("PATH_INFO"),
            "status": int(str(resp.status).partition(" ")[0]),
            "bytes": sent_bytes(resp, environ),
            "ms": int(request_time.total_seconds() * 1000),
        }
        level = level_of(fields["status"])
        if DEBUG:
            access_log.log(level, "{method} {path} {status} {bytes} {ms}ms".format(**fields))
        else:
            access_log.log(level, "request", **fields, **environ.get(FIELDS, {}))


def clear_request_id(worker: Any, request: Any, environ: Any, response: Any) -> None:
    """Leave no request id for what this thread logs next. gunicorn calls this after each request."""
    structlog.contextvars.clear_contextvars()


def sent_bytes(resp: Any, environ: dict[str, Any]) -> int:
    """Return the size of the body. gunicorn does not count what the kernel sends from a file."""
    announced = 0 if environ.get("REQUEST_METHOD") == "HEAD" else resp.response_length
    return int(resp.sent or announced or 0)


def level_of(status: int) -> int:
    """Return ERROR for a fault of this server, WARNING if it can do nothing about it, else INFO."""
    if status < 500:
        return logging.INFO
    return logging.ERROR if status == 500 else logging.WARNING
