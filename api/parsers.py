"""Reads request bodies of a limited size, parses them as JSON, and negotiates JSON responses."""

import json
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.handlers.wsgi import LimitedStream
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from rest_framework.exceptions import NotAcceptable, ParseError
from rest_framework.negotiation import BaseContentNegotiation, DefaultContentNegotiation
from rest_framework.parsers import JSONParser

UNREADABLE = _("not readable as UTF-8 JSON")
#: The messages of Python's JSONDecodeError, collected for translation.
JSON_DECODE_MESSAGES = [
    _("Expecting value"),
    _("Expecting property name enclosed in double quotes"),
    _("Expecting ':' delimiter"),
    _("Expecting ',' delimiter"),
    _("Illegal trailing comma before end of object"),
    _("Illegal trailing comma before end of array"),
    _("Extra data"),
    _("Unterminated string starting at"),
    _("Invalid control character at"),
    _("Invalid \\escape"),
    _("Invalid \\uXXXX escape"),
]


class StrictJSONParser(JSONParser):
    """A JSONParser that raises ParseError also for NaN, Infinity and deep nesting."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        try:
            return json.loads(stream.read().decode("utf-8-sig"), parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else UNREADABLE
            raise ParseError(
                gettext("The body is not JSON: %(reason)s.") % {"reason": gettext(reason)}
            ) from None


class IgnoreClientContentNegotiation(BaseContentNegotiation):
    """Always selects the first renderer, whatever `Accept` says, instead of 406 (RFC 9110, 12.5.1)."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        sent = request.content_type.split(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == sent), None)

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class SchemaContentNegotiation(DefaultContentNegotiation):
    """For the OpenAPI schema: YAML or JSON as `Accept` says, else the first renderer instead of 406."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        try:
            return super().select_renderer(request, renderers, format_suffix)
        except NotAcceptable:
            return renderers[0], renderers[0].media_type


def read_body(request: HttpRequest) -> str:
    """Read the body into memory. Returns an error code, "" for success.

    A body over DATA_UPLOAD_MAX_MEMORY_SIZE is refused before a byte is read, or when it exceeds that while it
    is read. Django only reads as many bytes as Content-Length says, so it takes a chunked body for an empty
    one. A server that sets `wsgi.input_terminated`, as gunicorn does, can be read to the end of the body.
    """
    environ, limit = request.META, settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    is_chunked = environ.get("HTTP_TRANSFER_ENCODING") and environ.get("wsgi.input_terminated")
    if is_chunked:
        request._stream = LimitedStream(environ["wsgi.input"], limit + 1)  # type: ignore[assignment]
    try:
        size = len(request.body)
        declared = int(environ.get("CONTENT_LENGTH") or 0)
    except RequestDataTooBig:
        return "too_large"
    except Exception as error:  # WSGI defines no exceptions: each server has its own
        return "request_timeout" if isinstance(_root_cause(error), TimeoutError) else "malformed"
    if size > limit:
        return "too_large"
    if size < declared:
        return "malformed"  # the connection was closed
    environ["CONTENT_LENGTH"] = str(size)
    return ""


def _root_cause(error: BaseException) -> BaseException:
    """Return the exception of the server, from which Django raises its own."""
    return _root_cause(error.__cause__) if error.__cause__ else error


def _refuse_constant(name: str) -> Any:
    """Called for NaN and Infinity, which Python accepts and JSON does not have."""
    raise ValueError(f"{name} is not JSON")
