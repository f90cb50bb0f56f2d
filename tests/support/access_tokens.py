"""Tokens of every kind: such as Supabase Auth issues, and such as no library would make."""

import hmac
import json
import time
from base64 import urlsafe_b64encode
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from django.conf import settings as project

SUB = "6c1f9a52-6f0a-5d7e-9b7e-2f6a3c0d9b11"
SECRET = project.SUPABASE_JWT_SECRET
ISSUER = project.SUPABASE_JWT_ISSUER
ABSENT = object()
HOUR = 3600
LATER = int(time.time()) + 10 * HOUR

EC, EC2 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ED = ed25519.Ed25519PrivateKey.generate()
KEYS = {"ES256": EC, "RS256": RSA, "EdDSA": ED}  # the published ones: each is known by its algorithm

#: The private key of `supabase start`, as its source has it.
SUPABASE_START = jwt.get_algorithm_by_name("ES256").from_jwk(
    {
        "kty": "EC",
        "crv": "P-256",
        "x": "M5Sjqn5zwC9Kl1zVfUUGvv9boQjCGd45G8sdopBExB4",
        "y": "P6IXMvA2WYXSHSOMTBH2jsw_9rrzGy89FjPf6oOsIxQ",
        "d": "dIhR8wywJlqlua4y_yMq2SLhlFXDZJBCvFrY1DCHyVU",
    }
)


def claims(**changes: Any) -> dict[str, Any]:
    """Those of a member, as Supabase Auth writes them."""
    now = int(time.time())
    usual = {
        "iss": ISSUER,
        "aud": "authenticated",
        "sub": SUB,
        "role": "authenticated",
        "iat": now,
        "exp": now + HOUR,
        "email": "alice@example.org",
        "phone": "",
        "app_metadata": {"provider": "email", "providers": ["email"]},
        "user_metadata": {},
        "aal": "aal1",
        "amr": [{"method": "password", "timestamp": now}],
        "session_id": "0b0d7b5e-1f7a-4a39-9a55-6a8a2d6f6a01",
        "is_anonymous": False,
    }
    return {name: value for name, value in {**usual, **changes}.items() if value is not ABSENT}


def encoded(part: Any) -> str:
    """Of a part of a token: bytes and text as they are, anything else as JSON."""
    text = part if isinstance(part, str | bytes) else json.dumps(part)
    return base64(text if isinstance(text, bytes) else text.encode())


def base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(payload: Any, *, header: Any = None, secret: str | bytes = SECRET, digest: str = "sha256") -> str:
    """A token by a shared secret: any header, any payload, any secret."""
    message = f"{encoded(header or {'alg': 'HS256', 'typ': 'JWT'})}.{encoded(payload)}"
    key = secret if isinstance(secret, bytes) else secret.encode()
    return f"{message}.{base64(hmac.new(key, message.encode(), digest).digest())}"


def sealed(payload: Any, *, header: Any = None, key: Any = EC, algorithm: str = "ES256") -> str:
    """A token by a private key: any header, any payload, any key."""
    usual = {"alg": algorithm, "typ": "JWT", "kid": algorithm}
    message = f"{encoded(usual if header is None else header)}.{encoded(payload)}"
    return f"{message}.{base64(jwt.get_algorithm_by_name(algorithm).sign(message.encode(), key))}"


def token(**changes: Any) -> str:
    """What Supabase Auth issues with the shared secret."""
    return signed(claims(**changes))


def issued(algorithm: str = "ES256", key: Any = None, header: Any = None, **changes: Any) -> str:
    """What it issues with this family of keys."""
    named = {"alg": algorithm, "typ": "JWT", "kid": algorithm, **(header or {})}
    return sealed(claims(**changes), header=named, key=key or KEYS[algorithm], algorithm=algorithm)


def unsigned(algorithm: Any) -> str:
    return f"{encoded({'alg': algorithm, 'typ': 'JWT'})}.{encoded(claims())}."


def text_of(**texts: str) -> str:
    """Claims that hold what Python's json would not write."""
    text = json.dumps(claims(**{name: f"@{name}@" for name in texts}))
    for name, value in texts.items():
        text = text.replace(f'"@{name}@"', value)
    return text


def flipped(good: str) -> str:
    """The same token with one bit of its payload changed."""
    header, payload, signature = good.split(".")
    middle = len(payload) // 2
    other = "A" if payload[middle] != "A" else "B"
    return f"{header}.{payload[:middle]}{other}{payload[middle + 1 :]}.{signature}"


def jwk(algorithm: str, key: Any, **more: Any) -> dict[str, Any]:
    """A key as the JWKS endpoint publishes it."""
    public = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    return {**public, "kid": algorithm, "alg": algorithm, "use": "sig", "key_ops": ["verify"], **more}
