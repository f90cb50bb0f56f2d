"""What email addresses and passwords are accepted."""

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from api.auth_server.errors import AuthError, Refusal, invalid

MIN_LENGTH = 6  # bytes: the default of the real server
MAX_LENGTH = 72  # bytes: what bcrypt reads on the real server
MAX_EMAIL_LENGTH = 255  # characters


def check_email(email: str) -> None:
    """Raises AuthError if this is no email address."""
    try:
        validate_email(email)
    except ValidationError:
        raise AuthError(invalid("Unable to validate email address: invalid format")) from None
    if len(email) > MAX_EMAIL_LENGTH:
        raise AuthError(invalid("An email address is too long"))


def check_strength(password: str) -> None:
    """Raises AuthError if the password is too short or too long."""
    size = len(password.encode())
    if size > MAX_LENGTH:
        raise AuthError(invalid(f"Password cannot be longer than {MAX_LENGTH} characters"))
    if size < MIN_LENGTH:
        message = f"Password should be at least {MIN_LENGTH} characters."
        reasons = {"weak_password": {"reasons": ["length"]}}
        raise AuthError(Refusal(422, "weak_password", message, reasons))
