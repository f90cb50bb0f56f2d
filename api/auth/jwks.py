"""What a JWKS endpoint answered, as keys: those that sign access tokens, and no others."""

import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

#: The one algorithm of each family of keys. It follows from the key, never from a token.
ALGORITHMS = {("EC", "P-256"): "ES256", ("RSA", "None"): "RS256", ("OKP", "Ed25519"): "EdDSA"}
RSA_BITS = range(2048, 8193)  # RFC 7518, 3.3; and so long that verifying takes no noticeable time


def parse(text: str | bytes) -> dict[str, jwt.PyJWK]:
    """The usable keys by their ids. Raises ValueError for what is no key set, or none that can be read.

    A set without keys is one: that of a project that signs with a shared secret alone. Shared secrets
    themselves (`oct`) count for nothing here.
    """
    try:
        document = json.loads(text)
    except RecursionError as error:
        raise ValueError("a key set that is nested too deeply") from error
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("an answer that is no key set")
    public = [entry for entry in entries if not (isinstance(entry, dict) and entry.get("kty") == "oct")]
    keys = [key for key in map(_usable, public) if key is not None]
    if public and not keys:
        raise ValueError("a key set without one usable key")
    return {str(key.key_id): key for key in reversed(keys)}  # of two with one id the first counts


def _usable(entry: Any) -> jwt.PyJWK | None:
    """The key if it is public, of a known family, and meant for verifying with that family's algorithm."""
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
        or "d" in entry  # a private key that anybody can read
    ):
        return None
    try:
        key = jwt.PyJWK(entry, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None
    short_or_vast = isinstance(key.key, RSAPublicKey) and key.key.key_size not in RSA_BITS
    return None if short_or_vast else key
