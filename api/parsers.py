"""JSON in, JSON out: bounded, whatever its framing says, and whatever `Accept` says."""

import json
from io import BytesIO
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _
from rest_framework.exceptions import APIException, NotAcceptable, ParseError
from rest_framework.negotiation import BaseContentNegotiation, DefaultContentNegotiation
from rest_framework.parsers import JSONParser

MAX_BODY = 1024 * 1024  # bytes: the largest list of ids is 4 kB, the longest text a few
UNREADABLE = _("not readable as UTF-8 JSON")
#: What Python says of bad JSON, so that the catalogues have it too.
SAID_BY_PYTHON = [
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


class TooLarge(APIException):
    status_code = 413
    default_code = "too_large"


class BoundedJSONParser(JSONParser):
    """DRF's parser reads a body of any size and any depth; this one does not."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        body = stream.read(MAX_BODY + 1)
        if len(body) > MAX_BODY:
            raise TooLarge
        try:
            return json.loads(body.decode("utf-8-sig"), parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else UNREADABLE
            raise ParseError(
                gettext("The body is not JSON: %(reason)s.") % {"reason": gettext(reason)}
            ) from None


class AlwaysJSON(BaseContentNegotiation):
    """There is one renderer, so nobody is refused for asking for another (RFC 9110, 12.5.1)."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        sent = request.content_type.split(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == sent), None)

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class YAMLOrJSON(DefaultContentNegotiation):
    """For the schema: who asks for neither gets the first, as above."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        try:
            return super().select_renderer(request, renderers, format_suffix)
        except NotAcceptable:
            return renderers[0], renderers[0].media_type


def read_chunked(request: HttpRequest) -> str:
    """Put a chunked body where Django looks for one. Returns the code of a problem, or "".

    Django trusts Content-Length alone and hands a view nothing of a chunked body; a server that
    sets `wsgi.input_terminated` (gunicorn) can be read to the end.
    """
    environ = request.META
    if not environ.get("HTTP_TRANSFER_ENCODING") or not environ.get("wsgi.input_terminated"):
        return ""
    try:
        body = environ["wsgi.input"].read(MAX_BODY + 1)
    except Exception:  # WSGI names no error: each server raises its own
        return "malformed"
    if len(body) > MAX_BODY:
        return "too_large"
    request._stream = BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    return ""


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
