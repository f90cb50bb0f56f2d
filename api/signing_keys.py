"""Where the public keys that sign access tokens come from: the project's JWKS endpoint."""

import os

import jwt
from django.conf import settings

from api.key_source import KeySource

_sources: dict[str, KeySource] = {}
os.register_at_fork(after_in_child=_sources.clear)  # a child has neither the thread nor the locks' owners


def source() -> KeySource:
    """Of the endpoint that the settings name."""
    url = settings.SUPABASE_JWKS_URL
    return _sources.get(url) or _sources.setdefault(url, KeySource(url))


def public_key(key_id: str) -> jwt.PyJWK:
    """The key of this id. Raises KeysUnavailable, or UnknownKey, which is a PyJWTError."""
    return source().key(key_id)


def forget() -> None:
    """End every keeper, and hold nothing: as a process that has just begun."""
    for each in list(_sources.values()):
        each.close()
    _sources.clear()
