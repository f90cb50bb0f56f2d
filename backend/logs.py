"""Configures structured logs, with the request id and without secrets."""

import json
import logging
import re
from collections.abc import Iterable
from typing import Any

import structlog

from backend.outages import is_not_repeated, limit_outages
from storage.control_characters import escape

REDACTED = "[redacted]"
#: Whatever begins like a secret is consumed, so that the time is linear in the length of a hostile line.
SECRETS = re.compile(
    r"""
      (?<=token=)[^&\s"'\\]+                                  # a signed URL
    | (?<=token%3D)[^&\s"'\\]+                                # a signed URL, percent-encoded in another URL
    | (?<=Bearer[ ])[^\s"',\\]+                               # an Authorization header
    | (?-i:eyJ)[\w-]{10,}+(?:\.[\w-]*+){0,4}                  # any other JSON web token, or a part of one
    | sb_secret_[\w-]+                                        # a Supabase key
    | whsec_[\w+/=-]+                                       # the secret of a webhook
    | (?<=://)[^/\s:@]*:[^/\s@]+(?=@)                         # credentials in a URL
    """,
    re.VERBOSE | re.IGNORECASE,
)


class RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    """Replaces secrets and escapes control characters in the finished line, whoever logged it.

    `secrets` are replaced in addition to everything that SECRETS matches.
    """

    def __init__(self, *args: Any, secrets: Iterable[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.secrets = {spelling for secret in secrets if secret for spelling in _spellings(secret)}

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        for secret in self.secrets:
            line = line.replace(secret, REDACTED)
        return escape(SECRETS.sub(REDACTED, line))


def _spellings(secret: str) -> set[str]:
    """Return the secret as it is, as `repr` writes it, and both with JSON escapes."""
    plain = {secret, repr(secret)[1:-1]}
    return plain | {json.dumps(text)[1:-1] for text in plain}


def _escape_line_breaks(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """A processor that escapes line feeds, with which a request path could forge log lines.

    RedactingFormatter leaves them, because tracebacks have several lines.
    """
    event["event"] = str(event.get("event", "")).replace("\n", "\\n")
    return event


def is_no_response(record: logging.LogRecord) -> bool:
    """Return False for what Django logs of each response with an error status: the access log has those."""
    return not hasattr(record, "status_code") or (bool(record.exc_info) and record.levelno >= logging.ERROR)


def logging_config(*, pretty: bool, secrets: Iterable[str]) -> dict[str, Any]:
    """Return the LOGGING setting, which gunicorn uses too. Lines are text if `pretty`, else JSON."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    render: list[Any] = (
        # structlog's default traceback prints local variables, which may contain tokens.
        [
            _escape_line_breaks,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ]
        if pretty
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[limit_outages, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    propagating = {"handlers": [], "propagate": True}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": "backend.logs.RedactingFormatter",
                "secrets": list(secrets),
                "foreign_pre_chain": shared,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
            }
        },
        "filters": {
            "no_responses": {"()": "django.utils.log.CallbackFilter", "callback": is_no_response},
            "no_repetitions": {"()": "django.utils.log.CallbackFilter", "callback": is_not_repeated},
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"level": "INFO", "handlers": ["stderr"]},
        # By default these have their own handlers, which would bypass the formatter above.
        "loggers": {
            "django": propagating,
            "django.server": propagating,
            "django.request": {"filters": ["no_responses"]},
            "gunicorn.error": {**propagating, "level": "INFO"},
            "gunicorn.access": {**propagating, "level": "INFO"},
            "httpx": {"level": "WARNING"},
            "psycopg.pool": {"filters": ["no_repetitions"]},  # it tries to connect again and again
        },
    }
