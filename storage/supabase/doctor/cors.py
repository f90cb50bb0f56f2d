"""Whether browsers let the single-page app send files to Storage: a preflight from each of its origins."""

from collections.abc import Iterator

import httpx
from django.conf import settings

from storage.base import incoming_store
from storage.findings import Finding, ok, problem, warning
from storage.supabase.doctor import http
from storage.supabase.doctor.http import Trouble

SENT = ("cache-control", "content-type", "x-upsert")  # the headers of a ticket


def cors() -> Iterator[Finding]:
    if not settings.CORS_ALLOWED_ORIGINS:
        cure = "Set CORS_ALLOWED_ORIGINS, if there is a single-page app."
        yield warning("cors", "No origin may call the API: CORS_ALLOWED_ORIGINS is empty.", cure)
    for origin in settings.CORS_ALLOWED_ORIGINS:
        try:
            yield _of(origin, _preflight(origin))
        except Trouble as trouble:
            yield problem("cors", trouble.what, trouble.cure)


def _preflight(origin: str) -> httpx.Response:
    """What a browser asks before it sends a file; it has no key, and shows no token."""
    place = f"{incoming_store().bucket}/check_supabase/preflight"
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": ",".join(SENT),
    }
    return http.ask("OPTIONS", f"{settings.SUPABASE_URL}/storage/v1/object/upload/sign/{place}", asked)


def _of(origin: str, answer: httpx.Response) -> Finding:
    allowed = {
        name: _items(answer, f"access-control-allow-{name}") for name in ("origin", "methods", "headers")
    }
    missing = []
    if not answer.is_success or not {origin.lower(), "*"} & allowed["origin"]:
        missing.append("the origin")
    if not {"put", "*"} & allowed["methods"]:
        missing.append("PUT")
    if "*" not in allowed["headers"]:
        missing += [name for name in SENT if name not in allowed["headers"]]
    if not missing:
        return ok("cors", f"Browsers may send files from {origin}.")
    cure = (
        "Let the gateway in front of Storage allow the origin, the method and the headers (kong.yml, nginx)."
    )
    return problem(
        "cors", f"Browsers may not send files from {origin}: {', '.join(missing)} not allowed.", cure
    )


def _items(answer: httpx.Response, header: str) -> set[str]:
    return {item.strip().lower() for item in answer.headers.get(header, "").split(",")}
