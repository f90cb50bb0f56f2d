"""What gunicorn serves. WSGI only: the local store reads a chunked body from `wsgi.input`."""

import os
from typing import Any

import django
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.utils.http import parse_header_parameters

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backend.settings")
django.setup(set_prefix=False)


class Request(WSGIRequest):
    """Everything here is UTF-8, whatever charset the client names.

    Django tries that charset before any middleware could answer for a hostile one, such as `base64`.
    """

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        try:
            self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))
        except (ValueError, LookupError):
            self.content_type, self.content_params = "", {}
            meta["CONTENT_TYPE"] = ""  # DRF reads it once more, and would stumble too


class Application(WSGIHandler):
    request_class = Request


application = Application()
