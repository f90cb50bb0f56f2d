"""Parses request bodies as JSON of a limited size, and negotiates JSON responses."""

import json
from io import BytesIO
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from rest_framework.exceptions import APIException, NotAcceptable, ParseError
from rest_framework.negotiation import BaseContentNegotiation, DefaultContentNegotiation
from rest_framework.parsers import JSONParser

#: In bytes. The largest valid body, with 1,000 slugs and 20,000 characters of text, has less than 400 kB.
MAX_BODY_SIZE = 1024 * 1024
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


class BodyTooLarge(APIException):
    status_code = 413
    default_code = "too_large"


class BoundedJSONParser(JSONParser):
    """A JSONParser that reads at most MAX_BODY_SIZE. Raises BodyTooLarge, and ParseError for deep nesting."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        body = stream.read(MAX_BODY_SIZE + 1)
        if len(body) > MAX_BODY_SIZE:
            raise BodyTooLarge
        try:
            return json.loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant)
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


def read_chunked(request: HttpRequest) -> str:
    """Read a chunked body into memory, so that Django can read it. Returns an error code, "" for success.

    Django only reads as many bytes as Content-Length says, so it takes a chunked body for an empty one.
    A server that sets `wsgi.input_terminated`, as gunicorn does, can be read to the end of the body.
    """
    environ = request.META
    if not environ.get("HTTP_TRANSFER_ENCODING") or not environ.get("wsgi.input_terminated"):
        return ""
    try:
        body = environ["wsgi.input"].read(MAX_BODY_SIZE + 1)
    except Exception:  # WSGI defines no exceptions: each server has its own
        return "malformed"
    if len(body) > MAX_BODY_SIZE:
        return "too_large"
    request._stream = BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    return ""


def _refuse_constant(name: str) -> Any:
    """Called for NaN and Infinity, which Python accepts and JSON does not have."""
    raise ValueError(f"{name} is not JSON")
