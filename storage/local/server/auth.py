"""Authentication: a request has the service key, which allows everything, or may only do what is public.

On the real server, the row-level security of the database decides what other users may do. There is none
here: other users get the answers that the real server gives to users whom no policy allows anything.
"""

import re
import secrets

import jwt
from django.conf import settings
from django.http import HttpRequest

from storage.local.server.errors import ProtocolError

SERVICE_ROLE = "service_role"
BEARER = re.compile(r"^Bearer\s+", re.IGNORECASE)


def has_service_key(request: HttpRequest) -> bool:
    """Return True if the request has a service key. Raises ProtocolError for a missing or invalid token."""
    header = request.headers.get("Authorization")
    if header is None:
        raise ProtocolError("InvalidRequest", "headers must have required property 'authorization'")
    token = BEARER.sub("", header)
    if _is_key(token, settings.SUPABASE_SECRET_KEY):
        return True
    return not _is_key(token, settings.SUPABASE_PUBLISHABLE_KEY) and _role(token) == SERVICE_ROLE


def require_service_key(request: HttpRequest, error: ProtocolError | None = None) -> None:
    """Raises `error`, by default that of the row-level security, if the request has no service key."""
    if not has_service_key(request):
        raise error or ProtocolError("AccessDenied", "new row violates row-level security policy")


def _is_key(token: str, key: str) -> bool:
    return bool(key) and secrets.compare_digest(token.encode(), key.encode())


def _role(token: str) -> object:
    """Return the role of a verified JWT. Raises ProtocolError."""
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
