"""Selects the language of a response: the best match of `Accept-Language`, else LANGUAGE_CODE."""

from collections.abc import Callable
from contextlib import nullcontext

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.cache import has_vary_header, patch_vary_headers
from django.utils.translation.trans_real import parse_accept_lang_header

ACCEPT_LANGUAGE = "Accept-Language"


class LanguageMiddleware:
    """Activates the language of the request. Sets `Vary` and `Content-Language` on translated responses.

    Problems and the admin are translated; a view that translates anything else sets `Vary` itself.
    Django's LocaleMiddleware sets `Vary` on every response. Caches would then store the catalogue once for
    each value of `Accept-Language`, although it is the same for all. It also reads a cookie.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        language = preferred_language(request.headers.get(ACCEPT_LANGUAGE, ""))
        is_active = translation.get_language() == language
        with nullcontext() if is_active else translation.override(language):
            response = self.get_response(request)
        is_problem = response.headers.get("Content-Type") == "application/problem+json"
        if is_problem or request.path_info.startswith("/admin/"):
            patch_vary_headers(response, [ACCEPT_LANGUAGE])
        if has_vary_header(response, ACCEPT_LANGUAGE):
            response.headers["Content-Language"] = language
        return response


def preferred_language(accept_language: str) -> str:
    """Return the code in LANGUAGES that matches this header best, such as `es` for `es-MX`.

    Malformed headers count as empty. `parse_accept_lang_header` limits the length and validates the weights.
    """
    for tag, weight in parse_accept_lang_header(accept_language):
        if tag == "*":
            break
        try:
            if weight:  # 0 means "not acceptable" (RFC 9110, 12.4.2)
                return translation.get_supported_language_variant(tag)
        except LookupError:
            continue
    return settings.LANGUAGE_CODE
