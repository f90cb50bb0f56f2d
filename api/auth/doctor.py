"""What `check_supabase` looks at of access tokens: the public keys and the issuer."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings

from api.auth import configuration
from api.auth.tokens import ASYMMETRIC
from storage.findings import Finding, ok, problem, shown, warning
from storage.supabase.doctor import http
from storage.supabase.doctor.http import Trouble

FAMILIES = {"EC": "ES256", "RSA": "RS256", "OKP": "EdDSA"}
SET_SECRET = (
    "Set SUPABASE_JWT_SECRET to the project's legacy JWT secret, or let it sign with keys (JWT Keys)."
)


def jwks() -> Iterator[Finding]:
    """Which tokens can be verified: by the project's public keys, by the shared secret, or both."""
    if not settings.SUPABASE_JWKS_URL:
        yield _with_secret_only("SUPABASE_JWKS_URL is empty.")
        return
    headers = {"apikey": settings.SUPABASE_PUBLISHABLE_KEY} if settings.SUPABASE_PUBLISHABLE_KEY else {}
    try:
        answer = http.ask("GET", settings.SUPABASE_JWKS_URL, headers)
        keys = _keys_of(answer)
    except Trouble as trouble:
        yield _graver(not settings.SUPABASE_JWT_SECRET)("jwks", trouble.what, trouble.cure)
        return
    if not keys:
        yield _with_secret_only("The project has no public keys, and signs with a shared secret (HS256).")
        return
    yield _algorithms(keys, http.ms_of(answer))


def issuer() -> Iterator[Finding]:
    found = list(configuration.issuer_findings())
    yield from found or [ok("issuer", f"Tokens must have the `iss` {shown(settings.SUPABASE_JWT_ISSUER)}.")]


def _graver(is_problem: bool) -> Callable[..., Finding]:
    return problem if is_problem else warning


def _with_secret_only(why: str) -> Finding:
    if settings.SUPABASE_JWT_SECRET:
        return ok("jwks", f"{why} SUPABASE_JWT_SECRET verifies HS256 tokens.")
    return problem("jwks", f"{why} No access token can be verified.", SET_SECRET)


def _keys_of(answer: Any) -> list[dict[str, Any]]:
    """Raises Trouble for what is no key set."""
    where = shown(settings.SUPABASE_JWKS_URL)
    if answer.status_code in (401, 403):
        cure = "Set SUPABASE_PUBLISHABLE_KEY: older gateways ask for it there."
        raise Trouble(f"{where} answered {answer.status_code}.", cure)
    cure = "Set SUPABASE_JWKS_URL to https://<ref>.supabase.co/auth/v1/.well-known/jwks.json."
    if answer.status_code != 200:
        raise Trouble(f"{where} answered {answer.status_code}.", cure)
    try:
        keys = json.loads(answer.content)["keys"]
        if all(isinstance(key, dict) for key in keys):
            return list(keys)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise Trouble(f"{where} answered with something that is no key set.", cure)


def _algorithms(keys: list[dict[str, Any]], ms: float) -> Finding:
    found = Counter(str(key.get("alg") or FAMILIES.get(str(key.get("kty")))) for key in keys)
    usable = [algorithm for algorithm in sorted(ASYMMETRIC) if algorithm in found]
    if not usable:
        cure = f"Let the project sign with one of {', '.join(sorted(ASYMMETRIC))} (the dashboard's JWT Keys)."
        return problem(
            "jwks", "None of the project's public keys is of an algorithm that is verified here.", cure
        )
    also = " SUPABASE_JWT_SECRET verifies HS256 tokens." if settings.SUPABASE_JWT_SECRET else ""
    return http.timed("jwks", f"Public keys are there: {', '.join(usable)}.{also}", ms)
