"""Handlers that say what the server is and can."""

import re

from django.http import HttpRequest, JsonResponse

from api.auth.local.signing_key import signing_key

#: Whom one can sign in with on the real server.
PROVIDERS = re.findall(
    r"\w+",
    """
    anonymous_users apple azure bitbucket discord facebook figma fly github gitlab google keycloak kakao
    linkedin linkedin_oidc notion snapchat spotify slack slack_oidc workos twitch twitter email phone zoom
    """,
)
ENABLED = {"anonymous_users", "email"}


def health(request: HttpRequest) -> JsonResponse:
    about = "Vivarium's local Auth server, which speaks the protocol of GoTrue. It is for development."
    return JsonResponse({"version": "vivarium", "name": "Vivarium", "description": about})


def settings(request: HttpRequest) -> JsonResponse:
    return JsonResponse(
        {
            "external": {name: name in ENABLED for name in PROVIDERS},
            "disable_signup": False,
            "mailer_autoconfirm": True,
            "phone_autoconfirm": False,
            "sms_provider": "",
            "saml_enabled": False,
            "saml_private_key_next_configured": False,
            "passkeys_enabled": False,
        }
    )


def jwks(request: HttpRequest) -> JsonResponse:
    headers = {"Cache-Control": "public, max-age=600"}
    return JsonResponse({"keys": [signing_key().jwk]}, headers=headers)
