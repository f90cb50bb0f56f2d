"""Where the public keys that sign access tokens come from: the project's JWKS endpoint."""

from functools import lru_cache

import jwt
from django.conf import settings

LIFESPAN = 600  # seconds: Supabase asks not to keep a key set for longer
TIMEOUT = 3  # seconds
USER_AGENT = "vivarium"  # some CDNs refuse the one of urllib


class KeysUnavailable(Exception):
    """The key set could not be had: this says nothing of the token."""


def public_key(key_id: str) -> jwt.PyJWK:
    """The key of this id. Raises KeysUnavailable, or a PyJWTError for a key not in the set."""
    try:
        return _client(settings.SUPABASE_JWKS_URL).get_signing_key(key_id)
    except (jwt.PyJWKClientConnectionError, jwt.PyJWKSetError, OSError, ValueError) as error:
        raise KeysUnavailable from error


@lru_cache(maxsize=4)
def _client(url: str) -> jwt.PyJWKClient:
    headers = {"User-Agent": USER_AGENT}
    if settings.SUPABASE_PUBLISHABLE_KEY:
        headers["apikey"] = settings.SUPABASE_PUBLISHABLE_KEY  # older self-hosted gateways ask for it
    return jwt.PyJWKClient(url, lifespan=LIFESPAN, timeout=TIMEOUT, headers=headers)
