"""The key pair that signs and verifies the access tokens of the local Auth server: ES256."""

import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import ECAlgorithm

from api.auth.local.models import LocalSigningKey

ALGORITHM = "ES256"
THE_ONE = 1  # the primary key: of several processes that make the key at once, one succeeds

#: The public keys by their ids. An id is a hash of its key, so an entry is never wrong.
_public_keys: dict[str, jwt.PyJWK] = {}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """`jwk` is the public key, as the JWKS has it."""

    private: ec.EllipticCurvePrivateKey
    jwk: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.jwk["kid"])


def sign(claims: dict[str, Any]) -> str:
    """Return an access token with these claims."""
    key = signing_key()
    return jwt.encode(claims, key.private, algorithm=ALGORITHM, headers={"kid": key.id})


def signing_key() -> SigningKey:
    """Return the key. The first call makes it, in whatever process that is."""
    row = LocalSigningKey.objects.filter(pk=THE_ONE).first()
    if row is None:
        row, _ = LocalSigningKey.objects.get_or_create(pk=THE_ONE, defaults={"private_key": _new_key()})
    return _parse(row.private_key)


def public_key(key_id: str) -> jwt.PyJWK | None:
    """Return the public key of this id, None if the key is another or was not made yet."""
    if key_id not in _public_keys and (row := LocalSigningKey.objects.filter(pk=THE_ONE).first()):
        key = _parse(row.private_key)
        _public_keys[key.id] = jwt.PyJWK(key.jwk, ALGORITHM)
    return _public_keys.get(key_id)


def _new_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@lru_cache(maxsize=2)
def _parse(pem: str) -> SigningKey:
    private = load_pem_private_key(pem.encode(), password=None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    public = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    facts = {"kid": _thumbprint(public), "alg": ALGORITHM, "use": "sig", "key_ops": ["verify"]}
    return SigningKey(private, {**public, **facts})


def _thumbprint(jwk: dict[str, Any]) -> str:
    """Return the hash of a public key. Source: RFC 7638, 3."""
    required = {name: jwk[name] for name in ("crv", "kty", "x", "y")}
    canonical = json.dumps(required, separators=(",", ":"), sort_keys=True)
    return urlsafe_b64encode(sha256(canonical.encode()).digest()).rstrip(b"=").decode()
