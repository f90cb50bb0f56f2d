"""The WSGI application for gunicorn. ASGI is not supported: chunked bodies are read from `wsgi.input`."""

import os
from importlib import import_module
from typing import Any

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.utils.http import parse_header_parameters

from backend.postgresql.pool import use_pool

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backend.settings")
use_pool(settings.DATABASES["default"])
django.setup(set_prefix=False)
if settings.TRACES:
    import_module("backend.tracing").start()  # its packages are optional


class Request(WSGIRequest):
    """A request that ignores the charset of `Content-Type`: all bodies are UTF-8.

    Django looks the charset up before any middleware runs, and a hostile one such as `base64` would raise.
    """

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        try:
            self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))
        except (ValueError, LookupError):
            self.content_type, self.content_params = "", {}
            meta["CONTENT_TYPE"] = ""  # DRF parses it again and would raise too


class Application(WSGIHandler):
    request_class = Request


application = Application()
