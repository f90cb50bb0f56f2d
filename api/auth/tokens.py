"""What an access token must be: every check that a token passes before anybody is believed to be behind it.

What is checked, and why, follows what Supabase Auth puts into its tokens and what else it signs with
the same key: ID tokens, API keys and signed-URL tokens, which only `aud`, `sub` and `role` keep out.
"""

import json
import re
from typing import Any
from uuid import UUID

import jwt
from django.conf import settings
from jwt.utils import base64url_decode
from rest_framework.exceptions import AuthenticationFailed

from api.auth.jwks import ALGORITHMS
from api.auth.jwks_client import public_key

ASYMMETRIC = set(ALGORITHMS.values())
LEEWAY = 20  # seconds that two clocks may differ
#: Three parts of base64url: decoders let padding and strange characters pass, and a token has one face.
TOKEN = re.compile(r"([\w-]+)\.([\w-]+)\.[\w-]+", re.ASCII)
MAX_TOKEN = 8192  # characters; Supabase's are about 1,000
MAX_KEY_ID = 128  # characters; Supabase's are UUIDs
REQUIRED = ["exp", "iat", "iss", "aud", "sub", "role"]
TIMES = ["exp", "iat", "nbf"]
EXTENSIONS = {"crit", "b64"}  # of the signature (RFC 7515, 4.1.11; RFC 7797): Supabase has none


def verify(token: str) -> dict[str, Any]:
    """The claims of a genuine access token. Raises AuthenticationFailed, KeysUnavailable.

    The two families of keys never meet: each branch has its own key and its own algorithms, so no
    public key can pass for a secret. What the header says only picks the branch.
    """
    if len(token) > MAX_TOKEN:
        raise refused("token_invalid")
    try:
        claims = _verified(token)
    except jwt.ExpiredSignatureError:
        raise refused("token_expired") from None
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError):
        raise refused("token_invalid") from None
    if claims["role"] != "authenticated" or not _is_uuid(claims["sub"]):
        raise refused("token_invalid")
    if claims.get("is_anonymous") and not settings.SUPABASE_ALLOW_ANONYMOUS:
        raise refused("anonymous_not_allowed")
    if claims.get("client_id") and not settings.SUPABASE_ALLOW_OAUTH_CLIENTS:
        raise refused("client_not_allowed")
    return claims


def _verified(token: str) -> dict[str, Any]:
    """The claims, if the signature, the times, the issuer and the audience are right. Raises a lot."""
    parts = TOKEN.fullmatch(token)
    if parts is None:
        raise ValueError("not three parts of base64url")
    header = _read(parts[1])
    algorithm = header.get("alg")
    if EXTENSIONS & header.keys():
        raise ValueError("an extension of the signature")
    if algorithm == "HS256" and settings.SUPABASE_JWT_SECRET:
        _check(token, settings.SUPABASE_JWT_SECRET, "HS256")
    elif algorithm in ASYMMETRIC and settings.SUPABASE_JWKS_URL:
        key = public_key(_key_id(header))
        _check(token, key, key.algorithm_name)
    else:
        raise ValueError("no key for this token")
    claims = _read(parts[2])
    if any(type(claims.get(name, 0)) not in (int, float) for name in TIMES):
        raise ValueError("a time that is no number")
    return claims


def _check(token: str, key: Any, algorithm: str) -> None:
    jwt.decode(
        token,
        key,
        algorithms=[algorithm],
        issuer=settings.SUPABASE_JWT_ISSUER,
        audience=settings.SUPABASE_JWT_AUDIENCE,
        leeway=LEEWAY,
        options={"require": REQUIRED},
    )


def _read(part: str) -> dict[str, Any]:
    """A part of the token, more strictly than PyJWT, which takes the last of two equal names."""
    found = json.loads(base64url_decode(part).decode(), object_pairs_hook=_unique)
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError("a name that is there twice")
    return read


def _key_id(header: dict[str, Any]) -> str:
    value = header.get("kid")
    if not isinstance(value, str) or not 0 < len(value) <= MAX_KEY_ID:
        raise ValueError("no key id")
    return value


def _is_uuid(value: Any) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value.lower()
    except ValueError:
        return False


def refused(code: str) -> AuthenticationFailed:
    return AuthenticationFailed(code=code)
