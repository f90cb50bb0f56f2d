"""Recognizes keys that anybody can know: of `supabase start`, of Docker Compose, and from documentation."""

import re
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from typing import Any

import jwt

#: The secrets that sign the legacy keys (JWTs) of `supabase start` and of Supabase's Docker Compose.
JWT_SECRETS = (
    "super-secret-jwt-token-with-at-least-32-characters-long",
    "your-super-secret-jwt-token-with-at-least-32-characters-long",
)
#: The public half of the ES256 key with which `supabase start` signs. Its private half is published too.
SIGNING_KEY_NUMBERS = {
    "kty": "EC",
    "crv": "P-256",
    "x": "M5Sjqn5zwC9Kl1zVfUUGvv9boQjCGd45G8sdopBExB4",
    "y": "P6IXMvA2WYXSHSOMTBH2jsw_9rrzGy89FjPf6oOsIxQ",
}
SIGNING_KEY = jwt.PyJWK(SIGNING_KEY_NUMBERS, "ES256")
KEYS = {
    *JWT_SECRETS,
    "sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz",  # of `supabase start`, as the next three
    "sb_publishable_ACJWlzQHlZjBrEguHvfOxg_3BJgxAaH",
    "EAx3IQ/wRG1v47ZD4NE4/9RzBI8Jmil3x0yhcW4V2NHBP6c2iPIzwjofi2Ep4HIG",
    "850181e4652dd023b7a98c58ae0d2d34bd487ee0cc3254aed6eda37307425907",
    "UpNVntn3cDxHJpq99YMc1T1AQgQpc8kfYTuRgBiYa15BLrx8etQoXz3gZv1/u2oq",  # of Docker Compose, as the next two
    "your-32-character-encryption-key",
    "this_password_is_insecure_and_should_be_updated",
    "a-string-secret-at-least-256-bits-long",  # of jwt.io
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",  # of Standard Webhooks
    "whsec_plJ3nmyCDGBKInavdOK15jsl",
}
#: Texts that no random key has. The shortest has seven characters.
PLACEHOLDER = re.compile(
    r"insecure|super.?secret|(?<!sb_)secret.?key|placeholder|example|(change|replace).?(me|this|with)"
    r"|your.?(own|project|secret|service|anon|publishable|server|random|key|jwt)"
    r"|at.least.\d+.(char|bit|byte)\w*.long",
    re.IGNORECASE,
)
DEMO_ISSUER = "supabasedemo"  # the letters in the `iss` of the legacy keys of both


def is_well_known(key: str) -> bool:
    """Return True if the key is published, or is a JWT that anybody can make."""
    return is_published(key) or any(map(_is_signed_with_published_key, _forms(key)))


def is_published(key: str) -> bool:
    """Return True for a published key, demo JWT or placeholder, in any case, in quotes or in base64."""
    published = {each.casefold() for each in KEYS}
    return any(
        form.casefold() in published or PLACEHOLDER.search(form) or _has_demo_issuer(form)
        for form in _forms(key)
    )


def is_well_known_jwk(key: dict[str, Any]) -> bool:
    """Return True for the public key of `supabase start`: anybody can sign with its private half."""
    return SIGNING_KEY_NUMBERS.items() <= key.items()


def unverified_claims(token: str) -> dict[str, Any]:
    """Return the claims of a JWT, whoever signed it; {} for any other text."""
    try:
        return jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        return {}


def _forms(key: str) -> Iterator[str]:
    """Yield the key without quotes and `Bearer`, and what it is in base64."""
    plain = re.sub(r"^bearer\s+", "", key.strip("\"'` \t\r\n"), flags=re.IGNORECASE)
    yield plain
    try:
        yield urlsafe_b64decode(plain.rstrip("=") + "==").decode().strip()
    except ValueError:  # not base64, or not of a text
        pass


def _has_demo_issuer(text: str) -> bool:
    issuer = str(unverified_claims(text).get("iss") or "")
    return re.sub("[^a-z]", "", issuer.lower()) == DEMO_ISSUER


def _is_signed_with_published_key(text: str) -> bool:
    return _is_signed_with(SIGNING_KEY, "ES256", text) or any(
        _is_signed_with(secret, "HS256", text) for secret in JWT_SECRETS
    )


def _is_signed_with(key: str | jwt.PyJWK, algorithm: str, token: str) -> bool:
    try:
        jwt.PyJWS().decode(token, key, algorithms=[algorithm])
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        return False
    return True
