"""Checks that Supabase Storage answers at SUPABASE_URL, and that its clock and this machine's agree."""

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import httpx
from django.conf import settings

from storage.findings import Finding, ok, problem, redact_url, warning
from storage.supabase import configuration
from storage.supabase.doctor import http
from storage.supabase.doctor.http import CheckFailed

MAX_CLOCK_SKEW = 30  # seconds
PROJECT_PAUSED = 540  # the HTTP status that the platform sends for a paused project


def check_store() -> Iterator[Finding]:
    if settings.STORAGE == "supabase":
        yield ok("store", "STORAGE=supabase.")
    else:
        what = f"STORAGE={settings.STORAGE}: the API does not use this project yet."
        cure = "When there are no problems below, set STORAGE=supabase and restart the API."
        yield warning("store", what, cure)


def check_url() -> Iterator[Finding]:
    found = list(configuration.check_url())
    yield from found or [ok("url", f"SUPABASE_URL is {redact_url(settings.SUPABASE_URL)}.")]


def check_reachable() -> Iterator[Finding]:
    """Yield two findings: whether a server answers, and whether it is Supabase Storage."""
    try:
        response = _get_status()
    except CheckFailed as failure:
        yield problem("reachable", failure.what, failure.cure)
    else:
        what = f"{redact_url(settings.SUPABASE_URL)} answers."
        yield http.ok_or_slow("reachable", what, http.elapsed_ms(response))
        yield _storage_finding(response)


def check_clock() -> Iterator[Finding]:
    try:
        server_time = parsedate_to_datetime(_get_status().headers["Date"]).timestamp()
    except (CheckFailed, KeyError, ValueError, TypeError):
        cure = "Compare this machine's clock with another one by hand."
        yield warning("clock", "The server's response has no readable Date header.", cure)
        return
    skew = round(time.time() - server_time)
    if abs(skew) <= MAX_CLOCK_SKEW:
        yield ok("clock", f"This machine's clock and the server's agree within {MAX_CLOCK_SKEW} seconds.")
        return
    what = f"This machine's clock is {abs(skew)} seconds {'ahead of' if skew > 0 else 'behind'} the server's."
    cure = "Synchronize it over NTP (`timedatectl set-ntp true`): it decides whether a token has expired."
    yield problem("clock", what, cure)


def _get_status() -> httpx.Response:
    return http.send("GET", f"{settings.SUPABASE_URL}/storage/v1/status")


def _storage_finding(response: httpx.Response) -> Finding:
    """Storage answers 200 with an empty body; a gateway that requires a key answers 401 or 403 with JSON."""
    status = response.status_code
    if response.is_redirect:
        target = redact_url(response.headers["Location"]).partition("/storage/")[0]
        cure = f"Set SUPABASE_URL to the target of the redirect: {target}."
        return problem("storage", "SUPABASE_URL redirects to another address.", cure)
    if status == PROJECT_PAUSED:
        return problem("storage", "The project is paused.", "Restore it in the dashboard.")
    if status >= 500:
        cure = "Check the project's health in the dashboard, and https://status.supabase.com."
        return problem("storage", f"Storage has an internal error: it answered {status}.", cure)
    if http.is_html(response) or status not in (200, 401, 403):
        what = f"The server at SUPABASE_URL is not Supabase Storage: {status} for /storage/v1/status."
        return problem("storage", what, "Set SUPABASE_URL to the address of the project's API gateway.")
    return ok("storage", "It is Supabase Storage, or a gateway in front of it.")
