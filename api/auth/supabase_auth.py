"""A GET request to Supabase Auth with a total deadline and a size limit."""

from dataclasses import dataclass

from django.conf import settings

from storage.supabase.deadlines import deadline

TIMEOUT = 3.0  # seconds from the connection to the last byte
MAX_BODY_SIZE = 256 * 1024  # bytes: a key set of ten keys has 3,000, a user a few thousand
USER_AGENT = "vivarium"  # some CDNs refuse those of HTTP libraries


class SupabaseAuthUnavailable(Exception):
    """There was no complete response in time: this says nothing about any token."""


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes


def get(url: str, token: str = "") -> Response:
    """Send a GET request, with the access token of a user if it is given.

    Redirects are not followed, so that no other server receives the token. Raises SupabaseAuthUnavailable.
    """
    import httpx  # noqa: PLC0415  (slow to load, and most processes send no request)

    from storage.supabase.transport import DeadlineTransport  # noqa: PLC0415

    headers = {"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "identity"}
    if settings.SUPABASE_PUBLISHABLE_KEY:
        headers["apikey"] = settings.SUPABASE_PUBLISHABLE_KEY  # gateways require it
    if token:
        headers["Authorization"] = f"Bearer {token}"
    body = b""
    try:
        # A client for one request: its cookies must not be sent with the token of another user.
        with (
            deadline(TIMEOUT),
            httpx.Client(transport=DeadlineTransport(trust_env=True), timeout=TIMEOUT) as client,
            client.stream("GET", url, headers=headers) as response,
        ):
            for chunk in response.iter_raw():  # raw: decompressed data could have any size
                body += chunk
                if len(body) > MAX_BODY_SIZE:
                    raise SupabaseAuthUnavailable(f"more than {MAX_BODY_SIZE} bytes")
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise SupabaseAuthUnavailable(type(error).__name__) from error  # its text may quote a header
    return Response(response.status_code, body)
