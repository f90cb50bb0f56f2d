"""Whether there is a Supabase Storage at SUPABASE_URL, and whether its clock and ours agree."""

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import httpx
from django.conf import settings

from storage.findings import Finding, ok, problem, redact_url, warning
from storage.supabase import configuration
from storage.supabase.doctor import http
from storage.supabase.doctor.http import Trouble

LARGEST_SKEW = 30  # seconds
PAUSED = 540  # the status by which the platform says that a project is paused


def store() -> Iterator[Finding]:
    if settings.STORAGE == "supabase":
        yield ok("store", "STORAGE=supabase.")
    else:
        what = f"STORAGE={settings.STORAGE}: the API does not use this project yet."
        yield warning(
            "store", what, "Set STORAGE=supabase when nothing below is a problem, and start it anew."
        )


def url() -> Iterator[Finding]:
    found = list(configuration.url())
    yield from found or [ok("url", f"SUPABASE_URL is {redact_url(settings.SUPABASE_URL)}.")]


def reachable() -> Iterator[Finding]:
    """Two findings: that somebody answers, and that it is Storage."""
    try:
        answer = _status()
    except Trouble as trouble:
        yield problem("reachable", trouble.what, trouble.cure)
    else:
        yield http.timed("reachable", f"{redact_url(settings.SUPABASE_URL)} answers.", http.ms_of(answer))
        yield _is_storage(answer)


def clock() -> Iterator[Finding]:
    try:
        theirs = parsedate_to_datetime(_status().headers["Date"]).timestamp()
    except (Trouble, KeyError, ValueError, TypeError):
        cure = "Compare this machine's clock with another by hand."
        yield warning("clock", "The server does not say what time it is.", cure)
        return
    skew = round(time.time() - theirs)
    if abs(skew) <= LARGEST_SKEW:
        yield ok("clock", f"This machine's clock and the server's agree within {LARGEST_SKEW} seconds.")
        return
    what = f"This machine's clock is {abs(skew)} seconds {'ahead of' if skew > 0 else 'behind'} the server's."
    cure = "Let it be set over the network (`timedatectl set-ntp true`): tokens are judged by it."
    yield problem("clock", what, cure)


def _status() -> httpx.Response:
    return http.ask("GET", f"{settings.SUPABASE_URL}/storage/v1/status")


def _is_storage(answer: httpx.Response) -> Finding:
    """A gateway that wants a key first says so in JSON; Storage itself says nothing, with 200."""
    status = answer.status_code
    if answer.is_redirect:
        there = redact_url(answer.headers["Location"]).partition("/storage/")[0]
        cure = f"Set SUPABASE_URL to where it sends us: {there}."
        return problem("storage", "SUPABASE_URL sends us elsewhere.", cure)
    if status == PAUSED:
        return problem("storage", "The project is paused.", "Restore it in the dashboard.")
    if status >= 500:
        cure = "Look at the project's health in the dashboard, and at https://status.supabase.com."
        return problem("storage", f"Storage is in trouble: it answered {status}.", cure)
    if http.is_html(answer) or status not in (200, 401, 403):
        what = f"What answers at SUPABASE_URL is not Supabase Storage: {status} to /storage/v1/status."
        return problem("storage", what, "Set SUPABASE_URL to the address of the project's API gateway.")
    return ok("storage", "It is Supabase Storage, or a gateway in front of one.")
