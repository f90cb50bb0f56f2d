"""Verifies access tokens of Supabase Auth.

Supabase signs ID tokens, API keys and signed-URL tokens with the same key. Only the checks of `aud`, `sub`
and `role` tell them from access tokens.
"""

import json
import re
import reprlib
from typing import Any

import jwt
import structlog
from django.conf import settings
from jwt.utils import base64url_decode
from rest_framework.exceptions import AuthenticationFailed

from api.auth import jwks_client
from api.auth.jwks import ALGORITHMS
from api.auth.jwks_client import UnknownKey, has_public_keys
from api.base_models import parse_uuid
from api.exceptions import Refused

logger = structlog.get_logger("api.auth.tokens")

ASYMMETRIC = set(ALGORITHMS.values())
LEEWAY = 20  # seconds by which two clocks may differ
#: Three parts of base64url without padding. Decoders also accept other characters: then one token would
#: have several spellings.
TOKEN = re.compile(r"([\w-]+)\.([\w-]+)\.[\w-]+", re.ASCII)
#: In characters. Supabase's have about 1,000, and more with the user's metadata. A server must accept headers
#: of more than this, so that a longer token is answered by `verify`.
MAX_TOKEN_LENGTH = 16 * 1024
MAX_KEY_ID_LENGTH = 128  # characters; Supabase's are UUIDs
MAX_SHOWN = 200  # characters of a text in the reason of a refusal
REQUIRED_CLAIMS = ["exp", "iat", "iss", "aud", "sub", "role"]
TIME_CLAIMS = ["exp", "iat", "nbf"]
EXTENSION_HEADERS = {"crit", "b64"}  # refused (RFC 7515, 4.1.11; RFC 7797): Supabase does not send them


class TokenInvalid(AuthenticationFailed):
    """An access token that is refused, with the reason for developers: it is logged, and shown with DEBUG.

    `check` is what failed, `expected` what it requires, `found` what the token has instead: never the token.
    """

    def __init__(self, check: str, expected: str, found: object = "something else") -> None:
        super().__init__(code="token_invalid")
        shown = repr(found[:MAX_SHOWN]) if isinstance(found, str) else reprlib.repr(found)
        self.reason = f"{check}: expected {expected}, found {shown}."
        logger.info("token_refused", check=check, expected=expected, found=shown)


def verify(token: str) -> tuple[dict[str, Any], jwt.PyJWK | None]:
    """Return the claims of a valid access token, and the public key of its signature, None for HS256.

    Raises AuthenticationFailed, Refused, KeysUnavailable.
    """
    if len(token) > MAX_TOKEN_LENGTH:
        raise Refused("token_too_long")
    try:
        claims, key = decode(token)
    except jwt.ExpiredSignatureError:
        raise authentication_failed("token_expired") from None
    except jwt.ImmatureSignatureError as error:
        raise TokenInvalid("time", "a token that is valid by this server's clock", str(error)) from None
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise TokenInvalid("format", "an access token of Supabase Auth", str(error)) from None
    if claims["role"] != "authenticated":
        raise TokenInvalid("role", "authenticated", claims["role"])
    if not _is_canonical_uuid(claims["sub"]):
        raise TokenInvalid("subject", "a UUID", claims["sub"])
    if claims.get("is_anonymous") and not settings.SUPABASE_ALLOW_ANONYMOUS:
        raise authentication_failed("anonymous_not_allowed")
    if claims.get("client_id") and not settings.SUPABASE_ALLOW_OAUTH_CLIENTS:
        raise authentication_failed("client_not_allowed")
    return claims, key


def decode(token: str) -> tuple[dict[str, Any], jwt.PyJWK | None]:
    """Return the claims and the public key if the signature, times, issuer and audience are right.

    The header only selects the branch. Each branch has its own key and its own algorithms, so that a public
    key is never used as a shared secret. Raises TokenInvalid, PyJWTError, ValueError, TypeError,
    RecursionError, OverflowError, KeysUnavailable.
    """
    parts = TOKEN.fullmatch(token)
    if parts is None:
        raise ValueError("not three parts of base64url")
    header = _decode_part(parts[1])
    algorithm = header.get("alg")
    public_key: jwt.PyJWK | None = None
    if EXTENSION_HEADERS & header.keys():
        raise ValueError("the header has a signature extension")
    key: Any
    if algorithm == "HS256" and settings.SUPABASE_JWT_SECRET:
        key, algorithm, name = settings.SUPABASE_JWT_SECRET, "HS256", "SUPABASE_JWT_SECRET"
    elif algorithm in ASYMMETRIC and has_public_keys():
        key = public_key = _public_key(header)
        algorithm, name = key.algorithm_name, f"the public key {key.key_id!r}"
    else:
        raise TokenInvalid("algorithm", " or ".join(_algorithms()), algorithm)
    try:
        _verify_with(key, algorithm, token)
    except jwt.InvalidSignatureError:
        raise TokenInvalid("key", f"a signature by {name}", "one by another key") from None
    except (jwt.InvalidIssuerError, jwt.InvalidAudienceError, jwt.MissingRequiredClaimError) as error:
        raise _wrong_claim(error, _decode_part(parts[2])) from None
    claims = _decode_part(parts[2])
    if any(type(claims.get(name, 0)) not in (int, float) for name in TIME_CLAIMS):
        raise ValueError("a time is not a number")
    return claims, public_key


def _algorithms() -> list[str]:
    """Return the algorithms for which there are keys."""
    shared = ["HS256"] if settings.SUPABASE_JWT_SECRET else []
    return shared + (sorted(ASYMMETRIC) if has_public_keys() else [])


def _public_key(header: dict[str, Any]) -> jwt.PyJWK:
    """Return the key that the header names. Raises TokenInvalid, KeysUnavailable."""
    key_id = header.get("kid")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= MAX_KEY_ID_LENGTH:
        raise TokenInvalid("key", f"a key id of at most {MAX_KEY_ID_LENGTH} characters", key_id)
    try:
        return jwks_client.public_key(key_id)
    except UnknownKey as error:
        raise TokenInvalid("key", f"one of the public keys {error}", key_id) from None


def _verify_with(key: Any, algorithm: str, token: str) -> None:
    jwt.decode(
        token,
        key,
        algorithms=[algorithm],
        issuer=settings.SUPABASE_JWT_ISSUER,
        audience=settings.SUPABASE_JWT_AUDIENCE,
        leeway=LEEWAY,
        options={"require": REQUIRED_CLAIMS},
    )


def _wrong_claim(error: jwt.PyJWTError, claims: dict[str, Any]) -> TokenInvalid:
    """Return the refusal of a claim that is missing or wrong."""
    if isinstance(error, jwt.InvalidIssuerError) or "iss" not in claims:
        return TokenInvalid("issuer", settings.SUPABASE_JWT_ISSUER, claims.get("iss"))
    if isinstance(error, jwt.InvalidAudienceError) or "aud" not in claims:
        return TokenInvalid("audience", settings.SUPABASE_JWT_AUDIENCE, claims.get("aud"))
    return TokenInvalid("claims", ", ".join(REQUIRED_CLAIMS), ", ".join(sorted(claims)))


def _decode_part(part: str) -> dict[str, Any]:
    """Decode a part of the token. Raises ValueError for duplicate names, of which PyJWT takes the last."""
    decoded = json.loads(base64url_decode(part).decode(), object_pairs_hook=_without_duplicates)
    if not isinstance(decoded, dict):
        raise ValueError("not a JSON object")
    return decoded


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a duplicate name")
    return names


def _is_canonical_uuid(value: Any) -> bool:
    """Return True for 32 hexadecimal digits with hyphens. `UUID` also accepts other spellings."""
    uuid = parse_uuid(value) if isinstance(value, str) else None
    return uuid is not None and str(uuid) == value.lower()


def authentication_failed(code: str) -> AuthenticationFailed:
    """Return the exception for one of the codes with status 401 in `api.errors`."""
    return AuthenticationFailed(code=code)
