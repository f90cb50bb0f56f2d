"""Structured logs that carry the request id and no secret."""

import json
import logging
import re
from collections.abc import Iterable
from typing import Any

import structlog

REDACTED = "[redacted]"
SECRETS = re.compile(
    r"""
      (?<=token=)[^&\s"'\\]+                                  # a signed URL
    | (?<=token%3D)[^&\s"'\\]+                                # ... inside another one
    | (?<=Bearer[ ])[^\s"',\\]+                               # an Authorization header
    | eyJ[\w-]{5,}\.[\w-]*(?:\.[\w-]*)?                       # any other JSON web token
    | sb_secret_[\w-]+                                        # a Supabase key
    | (?<=://)[^/\s:@]*:[^/\s@]+(?=@)                         # credentials in a URL
    """,
    re.VERBOSE | re.IGNORECASE,
)


class RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    """Takes secrets out of the finished line: whoever wrote it, and whatever traceback it carries."""

    def __init__(self, *args: Any, secrets: Iterable[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.known = {spelling for secret in secrets if secret for spelling in _spellings(secret)}

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        for secret in self.known:
            line = line.replace(secret, REDACTED)
        return SECRETS.sub(REDACTED, line)


def _spellings(secret: str) -> set[str]:
    """As it stands, as Python writes it, and both as JSON escapes them."""
    plain = {secret, repr(secret)[1:-1]}
    return plain | {json.dumps(text)[1:-1] for text in plain}


def _one_line(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """A path may hold a line break, and must not look like a line of its own."""
    text = str(event.get("event", ""))
    event["event"] = text.replace("\r", "\\r").replace("\n", "\\n")
    return event


def logging_config(*, pretty: bool, secrets: Iterable[str]) -> dict[str, Any]:
    """The LOGGING setting; gunicorn uses it too. `pretty` is for people, otherwise JSON lines."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    render: list[Any] = (
        # The default traceback of structlog prints local variables, and so tokens.
        [
            _one_line,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ]
        if pretty
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    quiet_child = {"handlers": [], "propagate": True}
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
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"level": "INFO", "handlers": ["stderr"]},
        # These bring handlers of their own, which would bypass the formatter above.
        "loggers": {
            "django": quiet_child,
            "django.server": quiet_child,
            "gunicorn.error": {**quiet_child, "level": "INFO"},
            "gunicorn.access": {**quiet_child, "level": "INFO"},
            "httpx": {"level": "WARNING"},
        },
    }
