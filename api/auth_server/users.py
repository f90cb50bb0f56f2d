"""Handlers that sign users up, show them and change them."""

from django.http import HttpRequest, JsonResponse

from api.auth.local import sessions, users
from api.auth.local.models import LocalUser
from api.auth.local.users import EmailTaken
from api.auth_server import request_body
from api.auth_server.errors import AuthError, Refusal, invalid
from api.auth_server.gate import caller
from api.auth_server.passwords import check_email, check_strength
from api.auth_server.rates import check_rate
from api.auth_server.representations import session_json, user_json
from api.auth_server.request_body import Body

NO_EMAIL_CHANGE = Refusal(
    404, "feature_disabled", "The local Auth server sends no mail: the email address cannot be changed"
)
EMAIL_EXISTS = Refusal(422, "email_exists", "A user with this email address has already been registered")


def sign_up(request: HttpRequest) -> JsonResponse:
    """Create a user and sign in at once. Without an email address the user is anonymous."""
    body = request_body.parse(request)
    check_rate(request)
    data, email, phone = body.object("data"), body.text("email"), body.text("phone")
    if not email and not phone:
        return _signed_in(users.create_anonymous(data), "anonymous")
    _check_sign_up(email, phone, body.text("password"))
    return _signed_in(users.create(email, body.text("password"), data=data), "password")


def get(request: HttpRequest) -> JsonResponse:
    return JsonResponse(user_json(caller(request).user))


def update(request: HttpRequest) -> JsonResponse:
    found = caller(request)
    body = request_body.parse(request)
    email, password = body.text("email"), body.text("password")
    _check_update(found.user, body)
    try:
        user = users.change(
            found.user, found.session, email=email, password=password, data=body.object("data")
        )
    except EmailTaken:
        raise AuthError(EMAIL_EXISTS) from None
    return JsonResponse(user_json(user))


def _signed_in(user: LocalUser, method: str) -> JsonResponse:
    return JsonResponse(session_json(sessions.start(user, method)))


def _check_sign_up(email: str, phone: str, password: str) -> None:
    if not password:
        raise AuthError(invalid("Signup requires a valid password"))
    check_strength(password)
    if email and phone:
        raise AuthError(invalid("Only an email address or phone number should be provided on signup."))
    if phone:
        raise AuthError(Refusal(400, "phone_provider_disabled", "Phone signups are disabled"))
    check_email(email)


def _check_update(user: LocalUser, body: Body) -> None:
    """Raise AuthError if the user may not change this, in the order of the real server."""
    email, password = body.text("email"), body.text("password")
    if email:
        check_email(email)
    if body.text("phone"):
        raise AuthError(Refusal(422, "phone_provider_disabled", "Phone logins are disabled"))
    if "password" in body:
        check_strength(password)
    if "app_metadata" in body:
        raise AuthError(Refusal(403, "not_admin", "Updating app_metadata requires admin privileges"))
    if user.is_anonymous and password and not email:
        message = "Updating password of an anonymous user without an email or phone is not allowed"
        raise AuthError(Refusal(422, "validation_failed", message))
    _check_new_email(user, email.lower())
    if password and users.has_password(user, password):
        raise AuthError(
            Refusal(422, "same_password", "New password should be different from the old password.")
        )


def _check_new_email(user: LocalUser, email: str) -> None:
    if email in ("", user.email):
        return
    if users.find(email) is not None:
        raise AuthError(EMAIL_EXISTS)
    if not user.is_anonymous:
        raise AuthError(NO_EMAIL_CHANGE)
