"""Checks CORS: sends the preflight request of an upload for each allowed origin, and one for each pattern."""

from collections.abc import Iterator

import httpx
from django.conf import settings

from storage.base import incoming_store
from storage.findings import Finding, ok, problem, warning
from storage.origins import can_be_sent, check_origins
from storage.supabase.doctor import http
from storage.supabase.doctor.http import CheckFailed

UPLOAD_HEADERS = ("cache-control", "content-type", "x-upsert")  # the headers of a ticket


def check_cors() -> Iterator[Finding]:
    yield from check_origins()
    origins = [
        *filter(can_be_sent, settings.CORS_ALLOWED_ORIGINS),
        *(pattern.replace("*", "check") for pattern in settings.CORS_ALLOWED_ORIGIN_PATTERNS),
    ]
    if not (origins or settings.CORS_ALLOWED_ORIGINS):
        cure = "Set CORS_ALLOWED_ORIGINS, if there is a single-page app."
        yield warning("cors", "No origin may call the API: CORS_ALLOWED_ORIGINS is empty.", cure)
    for origin in origins:
        try:
            yield _finding(origin, _send_preflight(origin))
        except CheckFailed as failure:
            yield problem("cors", failure.what, failure.cure)


def _send_preflight(origin: str) -> httpx.Response:
    """Send the request that a browser sends before an upload: without a key and without a token."""
    path = f"{incoming_store().bucket}/check_supabase/preflight"
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": ",".join(UPLOAD_HEADERS),
    }
    return http.send("OPTIONS", f"{settings.SUPABASE_URL}/storage/v1/object/upload/sign/{path}", headers)


def _finding(origin: str, response: httpx.Response) -> Finding:
    allowed = {
        name: _items(response, f"access-control-allow-{name}") for name in ("origin", "methods", "headers")
    }
    missing = []
    if not response.is_success or not {origin.lower(), "*"} & allowed["origin"]:
        missing.append("the origin")
    if not {"put", "*"} & allowed["methods"]:
        missing.append("PUT")
    if "*" not in allowed["headers"]:
        missing += [name for name in UPLOAD_HEADERS if name not in allowed["headers"]]
    if not missing:
        return ok("cors", f"Browsers may send files from {origin}.")
    cure = (
        "Allow the origin, the method and the headers in the gateway in front of Storage (kong.yml, nginx)."
    )
    return problem(
        "cors", f"Browsers may not send files from {origin}: {', '.join(missing)} not allowed.", cure
    )


def _items(response: httpx.Response, header: str) -> set[str]:
    """Return the items of a comma-separated header, in lower case."""
    return {item.strip().lower() for item in response.headers.get(header, "").split(",")}
