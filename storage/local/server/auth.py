"""Who calls: the holder of a service key, who may do all, or anybody else, who may do what is public.

The real server asks the database's row-level security what others may do. There is none here: to
others everything looks as it looks there to people whom no policy lets in.
"""

import re
import secrets

import jwt
from django.conf import settings
from django.http import HttpRequest

from storage.local.server.errors import ProtocolError

SERVICE_ROLE = "service_role"
BEARER = re.compile(r"^Bearer\s+", re.IGNORECASE)


def is_service(request: HttpRequest) -> bool:
    """Whether the caller holds a service key. Raises Refusal without a token, and for one that is none."""
    header = request.headers.get("Authorization")
    if header is None:
        raise ProtocolError("InvalidRequest", "headers must have required property 'authorization'")
    token = BEARER.sub("", header)
    if _is_one_of(token, settings.SUPABASE_SECRET_KEY):
        return True
    return not _is_one_of(token, settings.SUPABASE_PUBLISHABLE_KEY) and _role(token) == SERVICE_ROLE


def must_be_service(request: HttpRequest, otherwise: ProtocolError | None = None) -> None:
    """Raises `otherwise`, or that the row-level security forbids it."""
    if not is_service(request):
        raise otherwise or ProtocolError("AccessDenied", "new row violates row-level security policy")


def _is_one_of(token: str, key: str) -> bool:
    return bool(key) and secrets.compare_digest(token.encode(), key.encode())


def _role(token: str) -> object:
    try:
        claims = jwt.decode(
            token,
            settings.SUPABASE_JWT_SECRET,
            algorithms=["HS256"],
            options={"verify_aud": False, "verify_iat": False},
        )
    except jwt.ExpiredSignatureError:
        raise ProtocolError("AccessDenied", '"exp" claim timestamp check failed') from None
    except jwt.InvalidSignatureError:
        raise ProtocolError("AccessDenied", "signature verification failed") from None
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError):
        raise ProtocolError("AccessDenied", "Invalid Compact JWS") from None
    return claims.get("role")
