"""Handlers that sign in, refresh a session and log out."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse

from api.auth.local import sessions, users
from api.auth_server import request_body
from api.auth_server.errors import AuthError, Refusal, invalid
from api.auth_server.gate import caller
from api.auth_server.rates import check_rate
from api.auth_server.representations import session_json
from api.auth_server.request_body import Body

WRONG = Refusal(400, "invalid_credentials", "Invalid login credentials")
SCOPES = ("global", "local", "others")


def token(request: HttpRequest) -> JsonResponse:
    grant = GRANTS.get(request.GET.get("grant_type", ""))
    if grant is None:
        raise AuthError(Refusal(400, "invalid_credentials", "unsupported_grant_type"))
    check_rate(request)
    return JsonResponse(session_json(grant(request_body.parse(request))))


def logout(request: HttpRequest) -> HttpResponse:
    found = caller(request)
    scope = request.GET.get("scope") or "global"
    if scope not in SCOPES:
        raise AuthError(invalid(f"Unsupported logout scope {scope!r}"))
    sessions.end(found.user, found.session, scope)
    return HttpResponse(status=204)


def _password(body: Body) -> sessions.Tokens:
    email, phone, password = body.text("email"), body.text("phone"), body.text("password")
    if bool(email) == bool(phone):
        raise AuthError(invalid("Either an email address or a phone number should be provided on login."))
    if phone:
        raise AuthError(Refusal(422, "phone_provider_disabled", "Phone logins are disabled"))
    user = users.find(email)
    if user is None or not users.has_password(user, password):
        raise AuthError(WRONG)
    return sessions.start(user, "password")


def _refresh_token(body: Body) -> sessions.Tokens:
    refresh_token = body.text("refresh_token")
    if not refresh_token:
        raise AuthError(invalid("refresh_token required"))
    return sessions.refresh(refresh_token)


def _pkce(body: Body) -> sessions.Tokens:
    message = "invalid flow state, no valid flow state found"
    raise AuthError(Refusal(404, "flow_state_not_found", message))


def _id_token(body: Body) -> sessions.Tokens:
    raise AuthError(Refusal(400, "provider_disabled", "Sign-in with other providers is disabled"))


def _web3(body: Body) -> sessions.Tokens:
    raise AuthError(Refusal(422, "web3_provider_disabled", "Web3 provider is disabled"))


GRANTS: dict[str, Callable[[Body], sessions.Tokens]] = {
    "password": _password,
    "refresh_token": _refresh_token,
    "pkce": _pkce,
    "id_token": _id_token,
    "web3": _web3,
}
