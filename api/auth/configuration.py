"""What can be wrong with the settings of access tokens, as far as it shows without a network.

Rules that the system checks and the doctor share. Source: what Supabase Auth writes into `iss`, and
that it is compared as it stands.
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from django.conf import settings

from storage.findings import Finding, problem, redact_url, warning
from storage.supabase.configuration import project_ref


def issuer() -> Iterator[Finding]:
    """Whether any token can have SUPABASE_JWT_ISSUER as its `iss`."""
    iss = settings.SUPABASE_JWT_ISSUER
    ref = project_ref(iss)
    exact = f"https://{ref}.supabase.co/auth/v1"
    if ref and iss != exact:
        what = f"SUPABASE_JWT_ISSUER is {redact_url(iss)}, which no token of that project has as its `iss`."
        yield problem("issuer", what, f"Set SUPABASE_JWT_ISSUER to {exact}, to the letter.", id="api.E002")
    elif iss.endswith("/"):
        what = "SUPABASE_JWT_ISSUER ends with a slash, and Supabase Auth writes none."
        yield warning("issuer", what, "Remove it.", id="api.W002")
    yield from _of_one_project(ref)
    if settings.STORAGE == "supabase" and _host(iss) == "localhost":
        what = (
            "SUPABASE_JWT_ISSUER names localhost; `supabase start` writes 127.0.0.1, and they are compared."
        )
        yield warning(
            "issuer", what, "Write 127.0.0.1 in SUPABASE_URL, or in SUPABASE_JWT_ISSUER.", id="api.W004"
        )


def _of_one_project(ref: str) -> Iterator[Finding]:
    others = {
        name: other
        for name in ("SUPABASE_URL", "SUPABASE_JWKS_URL")
        if ref and (other := project_ref(_whole(getattr(settings, name)))) and other != ref
    }
    for name, other in others.items():
        what = f"SUPABASE_JWT_ISSUER is of the project {ref!r}, and {name} of {other!r}."
        yield problem("issuer", what, "Take both from the same project.", id="api.E003")


def _whole(url: str) -> str:
    return url.partition("?")[0]


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
