"""In which language a request is answered: the one of `Accept-Language` that there is, else LANGUAGE_CODE."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.cache import has_vary_header, patch_vary_headers
from django.utils.translation.trans_real import parse_accept_lang_header

BY_LANGUAGE = "Accept-Language"


class LanguageMiddleware:
    """Speaks the language of who asks, in problems and in the admin; whatever else does says so by `Vary`.

    Django's LocaleMiddleware lets every answer vary. Then caches would keep the catalogue once for each
    list of languages that a browser may have, though it is the same in all of them; and a cookie would
    have a say.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        language = preferred(request.headers.get(BY_LANGUAGE, ""))
        with translation.override(language):
            response = self.get_response(request)
        problem = response.headers.get("Content-Type") == "application/problem+json"
        if problem or request.path.startswith("/admin/"):
            patch_vary_headers(response, [BY_LANGUAGE])
        if has_vary_header(response, BY_LANGUAGE):
            response.headers["Content-Language"] = language
        return response


def preferred(accepted: str) -> str:
    """The code of the language that this header likes best, of those in LANGUAGES: `es` for `es-MX`.

    What cannot be read asks for nothing. Django bounds the length, and refuses numbers that are none.
    """
    for tag, weight in parse_accept_lang_header(accepted):
        if tag == "*":
            break
        try:
            if weight:  # 0 is said of what is not wanted (RFC 9110, 12.4.2)
                return translation.get_supported_language_variant(tag)
        except LookupError:
            continue
    return settings.LANGUAGE_CODE
