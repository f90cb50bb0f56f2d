"""The tokens of signed URLs: JSON web tokens as Supabase Storage makes and checks them.

`{url: "bucket/key", scope: "download" | "upload", iat, exp}`, HS256 with the project's JWT secret;
those for uploads also say `upsert`. Source: recorded from Storage v1.70.6.
"""

import json
import time
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import jwt
from django.conf import settings

LAST_SECOND = 253402300799  # of the year 9999: datetime knows none after it

Scope = Literal["download", "upload"]


class InvalidToken(Exception):
    """A token that opens nothing here. `code` is the protocol's: InvalidJWT or InvalidSignature."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Grant:
    """What a checked token allows."""

    upsert: bool
    expires_at: datetime


def mint(scope: Scope, bucket: str, key: str, seconds: int, *, upsert: bool = False) -> str:
    """A token for this one object, good for so many seconds."""
    now = int(time.time())
    claims: dict[str, Any] = {"url": f"{bucket}/{key}", "scope": scope, "iat": now, "exp": now + seconds}
    if scope == "upload":
        claims["upsert"] = upsert
    return jwt.encode(claims, settings.SUPABASE_JWT_SECRET, algorithm="HS256", headers={"typ": None})


def check(token: str, scope: Scope, bucket: str, key: str) -> Grant:
    """What the token grants for this object. Raises InvalidToken.

    One without `exp` is refused, where the real server would honour it for ever.
    """
    claims = _verified(token)
    if claims.get("scope", _scope_before_scopes(claims)) != scope:
        raise InvalidToken("InvalidSignature", f"Token is not scoped for {scope}")
    if claims.get("url") != f"{bucket}/{key}":
        raise InvalidToken("InvalidSignature", "Invalid signature")
    expires = min(int(claims["exp"]), LAST_SECOND)
    return Grant(claims.get("upsert") is True, datetime.fromtimestamp(expires, UTC))


def expiry(token: str) -> datetime:
    """When a token that the store just made runs out: its answer does not say, only the token does."""
    claims = token.split(".")[1]
    return datetime.fromtimestamp(json.loads(urlsafe_b64decode(claims + "=="))["exp"], UTC)


def _verified(token: str) -> dict[str, Any]:
    try:
        return jwt.decode(
            token,
            settings.SUPABASE_JWT_SECRET,
            algorithms=["HS256"],
            options={"require": ["exp"], "verify_iat": False, "verify_aud": False},
        )
    except jwt.ExpiredSignatureError:
        raise InvalidToken("InvalidJWT", '"exp" claim timestamp check failed') from None
    except jwt.ImmatureSignatureError:
        raise InvalidToken("InvalidJWT", '"nbf" claim timestamp check failed') from None
    except jwt.MissingRequiredClaimError:
        raise InvalidToken("InvalidJWT", 'missing required "exp" claim') from None
    except jwt.InvalidSignatureError:
        raise InvalidToken("InvalidJWT", "signature verification failed") from None
    except (jwt.InvalidTokenError, ValueError, TypeError, RecursionError, OverflowError):
        raise InvalidToken("InvalidJWT", "Invalid Compact JWS") from None


def _scope_before_scopes(claims: dict[str, Any]) -> Scope:
    """Older tokens have no scope: those for uploads say `upsert`, the others are for downloads."""
    return "upload" if "upsert" in claims else "download"
