"""The checks of `check_supabase` for access tokens: the public keys (JWKS) and the issuer."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
from django.conf import settings

from api.auth import configuration
from api.auth.tokens import ASYMMETRIC
from storage.findings import Finding, ok, problem, redact_url, warning
from storage.supabase.doctor import http
from storage.supabase.doctor.http import CheckFailed
from storage.supabase.well_known_keys import is_well_known_jwk

ALGORITHM_OF_KEY_TYPE = {"EC": "ES256", "RSA": "RS256", "OKP": "EdDSA"}
SET_JWT_SECRET = (
    "Set SUPABASE_JWT_SECRET to the project's legacy JWT secret, or create a signing key in the dashboard's "
    "JWT Keys."
)


def check_jwks() -> Iterator[Finding]:
    """Check that access tokens can be verified, by public keys, the shared secret, or both."""
    if not settings.SUPABASE_JWKS_URL:
        yield _secret_only("SUPABASE_JWKS_URL is empty.")
        return
    headers = {"apikey": settings.SUPABASE_PUBLISHABLE_KEY} if settings.SUPABASE_PUBLISHABLE_KEY else {}
    try:
        response = http.send("GET", settings.SUPABASE_JWKS_URL, headers)
        keys = _public_keys(response)
    except CheckFailed as failure:
        level = warning if settings.SUPABASE_JWT_SECRET else problem
        yield level("jwks", failure.what, failure.cure)
        return
    if not keys:
        yield _secret_only("The project has no public keys: it signs with a shared secret (HS256).")
        return
    if any(map(is_well_known_jwk, keys)) and not settings.DEBUG:
        what = "The project signs tokens with the published key of `supabase start`: this API refuses them."
        yield problem("jwks", what, "Create a signing key of its own, and remove the published one.")
        return
    yield _algorithms(keys, http.elapsed_ms(response))


def check_issuer() -> Iterator[Finding]:
    found = list(configuration.issuer_findings())
    yield from found or [
        ok("issuer", f"Tokens must have the `iss` {redact_url(settings.SUPABASE_JWT_ISSUER)}.")
    ]


def _secret_only(reason: str) -> Finding:
    if settings.SUPABASE_JWT_SECRET:
        return ok("jwks", f"{reason} SUPABASE_JWT_SECRET verifies HS256 tokens.")
    return problem("jwks", f"{reason} No access token can be verified.", SET_JWT_SECRET)


def _public_keys(response: httpx.Response) -> list[dict[str, Any]]:
    """Return the keys of a JWKS response. Raises CheckFailed if it is not one."""
    where = redact_url(settings.SUPABASE_JWKS_URL)
    if response.status_code in (401, 403):
        cure = "Set SUPABASE_PUBLISHABLE_KEY: older gateways require it for the JWKS."
        raise CheckFailed(f"{where} answered {response.status_code}.", cure)
    cure = "Set SUPABASE_JWKS_URL to https://<ref>.supabase.co/auth/v1/.well-known/jwks.json."
    if response.status_code != 200:
        raise CheckFailed(f"{where} answered {response.status_code}.", cure)
    try:
        keys = json.loads(response.content)["keys"]
        if all(isinstance(key, dict) for key in keys):
            return list(keys)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise CheckFailed(f"{where} did not answer with a JSON Web Key Set.", cure)


def _algorithms(keys: list[dict[str, Any]], ms: float) -> Finding:
    found = Counter(str(key.get("alg") or ALGORITHM_OF_KEY_TYPE.get(str(key.get("kty")))) for key in keys)
    usable = [algorithm for algorithm in sorted(ASYMMETRIC) if algorithm in found]
    if not usable:
        cure = f"Create a signing key ({' or '.join(sorted(ASYMMETRIC))}) in the dashboard's JWT Keys."
        what = "None of the project's public keys has an algorithm that this API supports."
        return problem("jwks", what, cure)
    also = " SUPABASE_JWT_SECRET verifies HS256 tokens." if settings.SUPABASE_JWT_SECRET else ""
    return http.ok_or_slow("jwks", f"The project has public keys: {', '.join(usable)}.{also}", ms)
