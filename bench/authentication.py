"""Measure the time that authentication adds to a request for each signing algorithm, and JWKS requests.

Run: `python bench/authentication.py`. Timings vary between machines and runs: compare within one run only.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from timeit import repeat
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # not this folder: it has a module `requests`
os.environ.update(ENV_FILE="/dev/null", DEBUG="true", DJANGO_SETTINGS_MODULE="backend.settings")

import django

django.setup()

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from django.conf import settings
from jwt.utils import base64url_decode

from api.auth import jwks_client
from api.auth.principal import principal_from_claims
from api.auth.tokens import verify

ROUNDS = 20  # calls in one measurement: few, so that other processes rarely interrupt it
LIMIT = 250  # microseconds that authentication may add to a request with ES256
KEYS: dict[str, Any] = {
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


class JwksServer(BaseHTTPRequestHandler):
    """A JWKS endpoint on loopback that counts its requests."""

    requests = 0

    def do_GET(self) -> None:
        JwksServer.requests += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"keys": [jwk(name) for name in KEYS]}).encode())

    def log_message(self, *arguments: Any) -> None:
        pass


def jwk(name: str) -> dict[str, Any]:
    family: Any = jwt.get_algorithm_by_name(name)
    return {**family.to_jwk(KEYS[name].public_key(), as_dict=True), "kid": name, "alg": name}


def token(algorithm: str, key: Any) -> str:
    """Return an access token with the claims that Supabase Auth writes."""
    now = int(time.time())
    claims = {
        "iss": settings.SUPABASE_JWT_ISSUER,
        "aud": settings.SUPABASE_JWT_AUDIENCE,
        "sub": "6c1f9a52-6f0a-5d7e-9b7e-2f6a3c0d9b11",
        "role": "authenticated",
        "iat": now,
        "exp": now + 3600,
        "email": "alice@example.org",
        "phone": "",
        "app_metadata": {"provider": "email", "providers": ["email"], "role": "staff"},
        "user_metadata": {"name": "Alice"},
        "aal": "aal1",
        "amr": [{"method": "password", "timestamp": now}],
        "session_id": "0b0d7b5e-1f7a-4a39-9a55-6a8a2d6f6a01",
        "is_anonymous": False,
    }
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": algorithm})


def signature_only(algorithm: str, key: Any, access: str) -> Callable[[], bool]:
    """Return a function that only verifies the signature, for comparison."""
    family: Any = jwt.get_algorithm_by_name(algorithm)
    message, _, signature = access.rpartition(".")
    public = key.public_key() if algorithm in KEYS else family.prepare_key(key)
    return lambda: bool(family.verify(message.encode(), public, base64url_decode(signature)))


def microseconds(call: Callable[[], object]) -> float:
    """Return the shortest of 100 measurements, which other processes disturbed least."""
    return min(repeat(call, number=ROUNDS, repeat=100)) / ROUNDS * 1e6


def main() -> None:
    server = HTTPServer(("127.0.0.1", 0), JwksServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.LOCAL_AUTH = False
    settings.SUPABASE_JWKS_URL = f"http://127.0.0.1:{server.server_port}/jwks.json"
    for algorithm, key in {"HS256": settings.SUPABASE_JWT_SECRET, **KEYS}.items():
        access = token(algorithm, key)
        bare = microseconds(signature_only(algorithm, key, access))
        whole = microseconds(lambda access=access: principal_from_claims(verify(access)[0]))  # type: ignore[misc]
        limit = f" (limit {LIMIT} µs)" if algorithm == "ES256" else ""
        print(f"{algorithm}: {whole:.0f} µs{limit}, the signature alone {bare:.0f}, ratio {whole / bare:.1f}")
    print(f"calls of the key server: {JwksServer.requests}")
    jwks_client.close_all()


if __name__ == "__main__":
    main()
