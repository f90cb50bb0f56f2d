"""Checks the settings of access tokens without network access, for the system checks and the doctor.

Tokens are accepted only if their `iss` equals SUPABASE_JWT_ISSUER. Source: the `iss` that Supabase Auth
writes, `https://<ref>.supabase.co/auth/v1`.
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from django.conf import settings

from storage.findings import Finding, problem, redact_url, warning
from storage.supabase.configuration import project_ref


def issuer_findings() -> Iterator[Finding]:
    """Report a SUPABASE_JWT_ISSUER that no token can have as its `iss`."""
    iss = settings.SUPABASE_JWT_ISSUER
    ref = project_ref(iss)
    exact = f"https://{ref}.supabase.co/auth/v1"
    if ref and iss != exact:
        what = f"SUPABASE_JWT_ISSUER is {redact_url(iss)}, which is not the `iss` of that project's tokens."
        yield problem("issuer", what, f"Set SUPABASE_JWT_ISSUER to {exact}, exactly.", id="api.E002")
    elif iss.endswith("/"):
        what = "SUPABASE_JWT_ISSUER ends with a slash, but the `iss` of Supabase Auth does not."
        yield warning("issuer", what, "Remove the slash.", id="api.W002")
    yield from _other_projects(ref)
    if settings.STORAGE == "supabase" and _host(iss) == "localhost":
        what = (
            "The host of SUPABASE_JWT_ISSUER is localhost, but `supabase start` writes 127.0.0.1 into `iss`."
        )
        yield warning(
            "issuer", what, "Write 127.0.0.1 in SUPABASE_URL, or in SUPABASE_JWT_ISSUER.", id="api.W004"
        )


def _other_projects(ref: str) -> Iterator[Finding]:
    """Report settings whose URL belongs to another project than the issuer's."""
    others = {
        name: other
        for name in ("SUPABASE_URL", "SUPABASE_JWKS_URL")
        if ref and (other := project_ref(_without_query(getattr(settings, name)))) and other != ref
    }
    for name, other in others.items():
        what = f"SUPABASE_JWT_ISSUER belongs to the project {ref!r}, but {name} to {other!r}."
        yield problem("issuer", what, "Take both from the same project.", id="api.E003")


def _without_query(url: str) -> str:
    return url.partition("?")[0]


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
