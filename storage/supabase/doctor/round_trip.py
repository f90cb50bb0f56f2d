"""One small object there and back, as a client's travels: signed, sent, looked at, fetched, deleted."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
from django.conf import settings

from storage import buckets, keys
from storage.base import incoming_store
from storage.errors import StorageError, StorageMisconfigured
from storage.findings import Finding, problem, warning
from storage.supabase import SupabaseStorage
from storage.supabase.client import fact
from storage.supabase.doctor import http
from storage.supabase.doctor.http import Stopwatch, Trouble

FOLDER = "check_supabase"
LEGS = ("sign_upload", "put", "describe", "sign_download", "get", "delete")
SIZE = 1024  # bytes
SHORTEST = 300  # seconds that an upload URL should be good for
LOGS = "Look at the Storage logs of the project, and at what stands in front of it."


class Lost(Exception):
    """This leg failed, so there is no next one."""


def round_trip() -> Iterator[Finding]:
    """Whatever happens on the way, the object is deleted."""
    store = SupabaseStorage(incoming_store().bucket)
    kinds = buckets.declared()[store.bucket].allowed_mime_types
    content_type = kinds[0] if kinds else "application/octet-stream"
    key = keys.generate(FOLDER, content_type)
    found: list[Finding] = []
    try:
        _travel(store, key, content_type, found)
    except Lost:
        pass
    finally:
        _delete(store, key, found)
    yield from found
    done = {each.name for each in found}
    for leg in (name for name in map(_named, LEGS) if name not in done):
        yield Finding(leg, "skipped", "Not tried, because of what failed before.")


def _travel(store: SupabaseStorage, key: str, content_type: str, found: list[Finding]) -> None:
    content = secrets.token_bytes(SIZE)
    with _leg("sign_upload", "An upload URL was signed.", found):
        upload = store.sign_upload(key, content_type, seconds=settings.UPLOAD_URL_TTL)
    found.extend(_short_lived(upload.expires_at))
    with _leg("put", f"{SIZE} bytes were sent to it.", found):
        _must_be_fine(http.ask("PUT", upload.url, upload.headers, content))
    with _leg("describe", "They arrived whole.", found):
        if (arrived := store.describe(key).size) != SIZE:
            raise Trouble(f"{arrived} of {SIZE} bytes arrived.", LOGS)
    with _leg("sign_download", "A download URL was signed.", found):
        download = store.sign_download(key, seconds=60)
    with _leg("get", "The same bytes came back.", found):
        if _must_be_fine(http.ask("GET", download.url)).content != content:
            cure = "Something in between changes what it carries: a proxy, a virus scanner, a CDN."
            raise Trouble("Other bytes came back than were sent.", cure)


def _delete(store: SupabaseStorage, key: str, found: list[Finding]) -> None:
    try:
        with _leg("delete", "The object was deleted.", found, cure=f"Delete {store.bucket}/{key} by hand."):
            store.delete(key)
    except Lost:
        pass


@contextmanager
def _leg(name: str, what: str, found: list[Finding], cure: str = LOGS) -> Iterator[None]:
    """Notes how it went. Raises Lost."""
    watch = Stopwatch()
    try:
        yield
    except Trouble as trouble:
        found.append(problem(_named(name), trouble.what, trouble.cure, ms=watch.ms))
    except StorageMisconfigured:
        what = "Storage refuses the key for this, or does not know the bucket."
        found.append(problem(_named(name), what, cure, ms=watch.ms))
    except Exception as error:  # such as an answer that lacks what it should have
        said = f": {error}" if isinstance(error, StorageError) else ""
        found.append(problem(_named(name), f"{type(error).__name__}{said}.", cure, ms=watch.ms))
    else:
        found.append(http.timed(_named(name), what, watch.ms))
        return
    raise Lost


def _must_be_fine(answer: httpx.Response) -> httpx.Response:
    """Raises Trouble, with nothing of the answer's own words."""
    if answer.is_success:
        return answer
    if isinstance(fact(answer, ""), StorageMisconfigured) and not http.is_html(answer):
        raise Trouble("Storage refuses a URL that was signed for it.", _who_signed())
    who = "A gateway, and not Storage," if http.is_html(answer) else "Storage"
    raise Trouble(f"{who} answered {answer.status_code} to a signed URL.", LOGS)


def _who_signed() -> str:
    if settings.SUPABASE_SIGNING == "secret":
        return "Set SUPABASE_JWT_SECRET to this stack's own, or let Storage sign: SUPABASE_SIGNING=server."
    return "SUPABASE_URL must be the address under which Storage signs: no other project or cache in between."


def _short_lived(expires_at: datetime) -> list[Finding]:
    seconds = round((expires_at - datetime.now(UTC)).total_seconds())
    if seconds >= SHORTEST:
        return []
    what = f"Upload URLs are good for {seconds} seconds: too short for a large file."
    cure = "Set UPLOAD_SIGNED_URL_EXPIRATION_TIME of the Storage server (7200 where it is hosted)."
    if settings.SUPABASE_SIGNING == "secret":
        cure = "Raise UPLOAD_URL_TTL."
    return [warning(_named("sign_upload"), what, cure)]


def _named(leg: str) -> str:
    return f"round_trip.{leg}"
