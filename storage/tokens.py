"""The tokens of signed URLs: JSON Web Tokens, made and verified as Supabase Storage does.

The claims are `{url: "bucket/key", scope: "download" | "upload", iat, exp}`, and `upsert` for uploads. The
local store adds `max_size` to those of tickets. They are signed with HS256 and the project's JWT secret.
Source: recorded from Storage v1.70.6.
"""

import json
import time
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

import jwt
from django.conf import settings

MAX_TIMESTAMP = 253402300799  # seconds: the end of the year 9999, the latest that datetime supports

Scope = Literal["download", "upload"]


class InvalidToken(Exception):
    """The token is not valid for this object. `code` is the protocol's: InvalidJWT or InvalidSignature."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Grant:
    """What a valid token allows. `upsert`: an upload may replace the object. `max_size` in bytes."""

    upsert: bool
    expires_at: datetime
    max_size: int | None = None


def mint(
    scope: Scope, bucket: str, key: str, seconds: int, *, upsert: bool = False, max_size: int | None = None
) -> str:
    """Return a token for this one object that is valid for `seconds`.

    `max_size`: how many bytes a resumable upload may have. The real server ignores this claim.
    """
    now = int(time.time())
    claims: dict[str, Any] = {"url": f"{bucket}/{key}", "scope": scope, "iat": now, "exp": now + seconds}
    if scope == "upload":
        claims["upsert"] = upsert
    if max_size is not None:
        claims["max_size"] = max_size
    return jwt.encode(claims, settings.SUPABASE_JWT_SECRET, algorithm="HS256", headers={"typ": None})


def check(token: str, scope: Scope, bucket: str, key: str) -> Grant:
    """Return what the token grants for this object. Raises InvalidToken.

    A token without `exp` is refused; the real server accepts it, and it never expires there.
    """
    claims = _decode(token)
    if claims.get("scope", _default_scope(claims)) != scope:
        raise InvalidToken("InvalidSignature", f"Token is not scoped for {scope}")
    if claims.get("url") != f"{bucket}/{key}":
        raise InvalidToken("InvalidSignature", "Invalid signature")
    expires = min(int(claims["exp"]), MAX_TIMESTAMP)
    max_size = claims.get("max_size")
    return Grant(
        claims.get("upsert") is True,
        datetime.fromtimestamp(expires, UTC),
        max_size if isinstance(max_size, int) else None,
    )


@lru_cache(maxsize=1000)
def expiry(token: str) -> datetime:
    """Return when a token expires. It is read from the token, because the store's response does not have it.

    The signature is not verified: the token must come from the store itself.
    """
    claims = token.split(".")[1]
    return datetime.fromtimestamp(json.loads(urlsafe_b64decode(claims + "=="))["exp"], UTC)


def _decode(token: str) -> dict[str, Any]:
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


def _default_scope(claims: dict[str, Any]) -> Scope:
    """Return the scope of an older token without `scope`: upload if it has `upsert`, else download."""
    return "upload" if "upsert" in claims else "download"
