"""Asks Supabase Auth over HTTP: bounded in time and in size, whatever the other side does."""

import asyncio
import ssl
from dataclasses import dataclass
from functools import lru_cache

import httpx
from django.conf import settings

TIMEOUT = 3.0  # seconds from the connection to the last byte, however few of them come at a time
MAX_ANSWER = 256 * 1024  # bytes: a key set of ten keys has 3,000, a user a few thousand
USER_AGENT = "vivarium"  # some CDNs refuse those of HTTP libraries


class SupabaseAuthUnavailable(Exception):
    """No whole answer came in time: this says nothing of any token."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes


def ask(url: str, token: str = "") -> Answer:
    """GET, with the access token of whom it is about, if it is about somebody. Raises AuthServerDown.

    Redirects are not followed: nobody but the configured server is asked, or shown a token.
    """
    headers = {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "identity"}
    if settings.SUPABASE_PUBLISHABLE_KEY:
        headers["apikey"] = settings.SUPABASE_PUBLISHABLE_KEY  # gateways ask for it
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        return asyncio.run(_ask(url, headers))
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise SupabaseAuthUnavailable(type(error).__name__) from error  # its text may quote a header


async def _ask(url: str, headers: dict[str, str]) -> Answer:
    """In an event loop, because only that ends a connection that drips: a socket's timeout never does."""
    body = b""
    async with (
        asyncio.timeout(TIMEOUT),
        httpx.AsyncClient(verify=_trusted(), timeout=TIMEOUT, follow_redirects=False) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        async for part in response.aiter_raw():  # raw: what is unpacked has no bounds
            body += part
            if len(body) > MAX_ANSWER:
                raise SupabaseAuthUnavailable(f"more than {MAX_ANSWER} bytes")
    return Answer(response.status_code, body)


@lru_cache(maxsize=1)
def _trusted() -> ssl.SSLContext:
    """The certificates that are trusted: reading them takes longer than all the rest."""
    return httpx.create_ssl_context()
