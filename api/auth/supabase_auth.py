"""A GET request to Supabase Auth with a total deadline and a size limit."""

import asyncio
import ssl
from dataclasses import dataclass
from functools import lru_cache

import httpx
from django.conf import settings

TIMEOUT = 3.0  # seconds from connecting to the last byte, in total
MAX_BODY_SIZE = 256 * 1024  # bytes: a set of ten keys has 3,000, a user a few thousand
USER_AGENT = "vivarium"  # some CDNs refuse the user agents of HTTP libraries


class SupabaseAuthUnavailable(Exception):
    """There was no complete response in time. This says nothing about any token."""


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes


def get(url: str, token: str = "") -> Response:
    """Send a GET request, with the access token if there is one. Raises SupabaseAuthUnavailable.

    Redirects are not followed, so that only the configured server is called and sees the token.
    """
    headers = {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "identity"}
    if settings.SUPABASE_PUBLISHABLE_KEY:
        headers["apikey"] = settings.SUPABASE_PUBLISHABLE_KEY  # gateways require it
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        return asyncio.run(_get(url, headers))
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise SupabaseAuthUnavailable(type(error).__name__) from error  # its message may contain a header


async def _get(url: str, headers: dict[str, str]) -> Response:
    """Run in an event loop for the total deadline: the timeout of a socket starts again with every byte."""
    body = b""
    async with (
        asyncio.timeout(TIMEOUT),
        httpx.AsyncClient(verify=_ssl_context(), timeout=TIMEOUT, follow_redirects=False) as client,
        client.stream("GET", url, headers=headers) as response,
    ):
        async for chunk in response.aiter_raw():  # raw: a decompressed body could exceed any limit
            body += chunk
            if len(body) > MAX_BODY_SIZE:
                raise SupabaseAuthUnavailable(f"more than {MAX_BODY_SIZE} bytes")
    return Response(response.status_code, body)


@lru_cache(maxsize=1)
def _ssl_context() -> ssl.SSLContext:
    """The trusted certificates, cached: loading them takes longer than the request."""
    return httpx.create_ssl_context()
