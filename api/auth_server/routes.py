"""The routes of the Auth protocol, and the refusals of those that are left out."""

import re
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from api.auth_server import status, tokens, users
from api.auth_server.errors import AuthError, Refusal, invalid

Handler = Callable[[HttpRequest], HttpResponse]

ROUTES: dict[str, dict[str, Handler]] = {
    "health": {"GET": status.health},
    "settings": {"GET": status.settings},
    ".well-known/jwks.json": {"GET": status.jwks},
    "signup": {"POST": users.sign_up},
    "token": {"POST": tokens.token},
    "user": {"GET": users.get, "PUT": users.update},
    "logout": {"POST": tokens.logout},
}
NO_MAIL = Refusal(404, "feature_disabled", "The local Auth server sends no mail and no text messages")
NOT_HERE = Refusal(404, "feature_disabled", "This part of Supabase Auth is not in the local Auth server")
#: What is left out, with the codes of the real server for parts that are switched off.
LEFT_OUT = {
    r"recover|magiclink|otp|verify|resend|reauthenticate|invite": NO_MAIL,
    r"authorize|callback": invalid("Unsupported provider: provider is not enabled"),
    r"factors(/.*)?": Refusal(422, "mfa_totp_enroll_not_enabled", "MFA enroll is disabled for TOTP"),
    r"user/identities(/.*)?": Refusal(404, "manual_linking_disabled", "Manual linking is disabled"),
    r"sso(/.*)?": Refusal(404, "saml_provider_disabled", "SAML 2.0 is disabled"),
    r"passkeys(/.*)?": Refusal(404, "passkey_disabled", "Passkeys are disabled"),
    r"(admin|oauth|user/oauth)(/.*)?": NOT_HERE,
}


def dispatch(request: HttpRequest) -> HttpResponse:
    """Call the handler of the route. Raises AuthError if there is none, and what the handler raises."""
    path = request.path_info.removeprefix("/auth/v1/")
    for pattern, refusal in LEFT_OUT.items():
        if re.fullmatch(pattern, path, re.DOTALL):
            raise AuthError(refusal)
    if path not in ROUTES:
        raise AuthError(Refusal(404, "not_found", "There is no such path"))
    handlers = ROUTES[path]
    if request.method not in handlers:
        allow = {"Allow": ", ".join([*handlers, "OPTIONS"])}
        raise AuthError(Refusal(405, "method_not_allowed", "This method is not allowed here", headers=allow))
    return handlers[str(request.method)](request)
