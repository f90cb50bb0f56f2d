"""Remembers the principals of verified access tokens, because a client sends the same one for an hour.

A token is forgotten when it expires, when its key is purged, replaced or too old to be used, and when a
setting changes. Each process has its own memory, for MAX_TOKENS.
"""

import time
from dataclasses import dataclass, field
from hashlib import sha256
from operator import attrgetter
from threading import Lock
from typing import Any

import jwt
from django.conf import settings

from api.auth import jwks_client
from api.auth.principal import Principal, principal_from_claims
from api.auth.tokens import LEEWAY, verify

MAX_TOKENS = 10_000  # about 5 MB
#: The settings that decide about a token.
SETTINGS = (
    "SUPABASE_JWT_SECRET",
    "SUPABASE_JWT_ISSUER",
    "SUPABASE_JWT_AUDIENCE",
    "SUPABASE_JWKS_URL",
    "SUPABASE_STAFF_ROLES",
    "SUPABASE_ALLOW_ANONYMOUS",
    "SUPABASE_ALLOW_OAUTH_CLIENTS",
)


@dataclass(frozen=True, slots=True)
class Remembered:
    """`key`: the public key of its signature, None for HS256. `expires_at` in seconds since 1970."""

    principal: Principal
    expires_at: float
    key: jwt.PyJWK | None
    settings: tuple[Any, ...] = field(repr=False)  # one is a secret

    def is_valid(self) -> bool:
        """Return True if all that was true when the token was verified is still true."""
        if time.time() >= self.expires_at + LEEWAY or self.settings != _settings():
            return False
        return self.key is None or jwks_client.is_in_use(self.key)


_get_settings = attrgetter(*SETTINGS)
remembered: dict[bytes, Remembered] = {}
_lock = Lock()


def principal_of_token(token: str) -> Principal:
    """Return the principal of a valid access token. Raises what `verify` raises."""
    digest = sha256(token.encode()).digest()
    found = remembered.get(digest)
    if found and found.is_valid():
        return found.principal
    claims, key = verify(token)
    principal = principal_from_claims(claims)
    if not settings.LOCAL_AUTH:  # whose key is in the database
        _remember(digest, Remembered(principal, claims["exp"], key, _settings()))
    return principal


def forget() -> None:
    """Forget all tokens."""
    with _lock:
        remembered.clear()


def _remember(digest: bytes, verified: Remembered) -> None:
    with _lock:
        remembered.pop(digest, None)
        while len(remembered) >= MAX_TOKENS:
            del remembered[next(iter(remembered))]  # the oldest
        remembered[digest] = verified


def _settings() -> tuple[Any, ...]:
    values: tuple[Any, ...] = _get_settings(settings)
    return values
