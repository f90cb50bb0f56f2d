"""Parses a JSON Web Key Set (RFC 7517) and keeps the keys that can verify access tokens."""

import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from django.conf import settings

from storage.supabase.well_known_keys import is_well_known_jwk

#: The one accepted algorithm of each (`kty`, `crv`). The key decides the algorithm, never the token.
ALGORITHMS = {("EC", "P-256"): "ES256", ("RSA", "None"): "RS256", ("OKP", "Ed25519"): "EdDSA"}
RSA_BITS = range(2048, 8193)  # at least 2048 (RFC 7518, 3.3); above 8192, verifying would take too long


def parse(text: str | bytes) -> dict[str, jwt.PyJWK]:
    """Return the usable keys by key id. Raises ValueError if this is no key set or has no usable key.

    A set without keys is valid: projects that sign with a shared secret have one. Shared secrets (`oct`)
    are ignored.
    """
    try:
        document = json.loads(text)
    except RecursionError as error:
        raise ValueError("the key set is nested too deeply") from error
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("not a key set")
    public = [entry for entry in entries if not (isinstance(entry, dict) and entry.get("kty") == "oct")]
    keys = [key for key in map(_usable_key, public) if key is not None]
    if public and not keys:
        raise ValueError("the key set has no usable key")
    return {str(key.key_id): key for key in reversed(keys)}  # the first of two keys with the same id


def _usable_key(entry: Any) -> jwt.PyJWK | None:
    """Return the key if it is public, of a known family, and meant to verify with that family's algorithm."""
    if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str):
        return None
    algorithm = ALGORITHMS.get((str(entry.get("kty")), str(entry.get("crv"))))
    operations = entry.get("key_ops", ["verify"])
    if (
        algorithm is None
        or entry.get("alg", algorithm) != algorithm
        or entry.get("use", "sig") != "sig"
        or not isinstance(operations, list)
        or "verify" not in operations
        or "d" in entry  # a private key that was published
        or (is_well_known_jwk(entry) and not settings.DEBUG)  # so was its private key
    ):
        return None
    try:
        key = jwt.PyJWK(entry, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None
    wrong_size = isinstance(key.key, RSAPublicKey) and key.key.key_size not in RSA_BITS
    return None if wrong_size else key
