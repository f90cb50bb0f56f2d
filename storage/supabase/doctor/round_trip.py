"""Uploads one small object with a signed URL, downloads it, and deletes it, as a client does."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
from django.conf import settings

from storage import buckets, content_types, keys
from storage.base import incoming_store
from storage.errors import StorageError, StorageMisconfigured
from storage.findings import Finding, problem, warning
from storage.supabase import SupabaseStorage
from storage.supabase.doctor import http
from storage.supabase.doctor.http import CheckFailed, Stopwatch
from storage.supabase.http_client import error_from_response

FOLDER = "check_supabase"
OPERATIONS = ("sign_upload", "put", "describe", "sign_download", "get", "delete")
SIZE = 1024  # bytes
MIN_UPLOAD_TTL = 300  # seconds that an upload URL should be valid
CHECK_LOGS = "Check the Storage logs of the project, and the gateway or proxy in front of it."


class OperationFailed(Exception):
    """An operation failed, and the finding is recorded; the operations after it cannot run."""


def check_round_trip() -> Iterator[Finding]:
    """Yield one finding or more for each operation. The object is deleted in any case."""
    store = SupabaseStorage(incoming_store().bucket)
    types = buckets.declared()[store.bucket].allowed_mime_types
    content_type = content_types.canonical(types[0] if types else "")
    key = keys.generate(FOLDER, content_type)
    found: list[Finding] = []
    try:
        _upload_and_download(store, key, content_type, found)
    except OperationFailed:
        pass
    finally:
        _delete(store, key, found)
    yield from found
    done = {each.name for each in found}
    for name in map(_finding_name, OPERATIONS):
        if name not in done:
            yield Finding(name, "skipped", "Skipped, because an operation before it failed.")


def _upload_and_download(store: SupabaseStorage, key: str, content_type: str, found: list[Finding]) -> None:
    content = secrets.token_bytes(SIZE)
    with _operation("sign_upload", "An upload URL was signed.", found):
        upload = store.sign_upload(key, content_type, seconds=settings.UPLOAD_URL_TTL)
    found.extend(_short_validity(upload.expires_at))
    with _operation("put", f"{SIZE} bytes were sent to the signed URL.", found):
        _require_success(http.send("PUT", upload.url, upload.headers, content))
    with _operation("describe", "All bytes arrived.", found):
        if (arrived := store.describe(key).size) != SIZE:
            raise CheckFailed(f"{arrived} of {SIZE} bytes arrived.", CHECK_LOGS)
    with _operation("sign_download", "A download URL was signed.", found):
        download = store.sign_download(key, seconds=60)
    with _operation("get", "The same bytes came back.", found):
        if _require_success(http.send("GET", download.url)).content != content:
            cure = "Check for a proxy, a virus scanner or a CDN that changes the content on the way."
            raise CheckFailed("The downloaded bytes differ from the uploaded bytes.", cure)


def _delete(store: SupabaseStorage, key: str, found: list[Finding]) -> None:
    cure = f"Delete {store.bucket}/{key} by hand."
    try:
        with _operation("delete", "The object was deleted.", found, cure=cure):
            store.delete_if_exists(key)
    except OperationFailed:
        pass


@contextmanager
def _operation(name: str, what: str, found: list[Finding], cure: str = CHECK_LOGS) -> Iterator[None]:
    """Append the finding of the operation in the block to `found`. Raises OperationFailed."""
    watch = Stopwatch()
    try:
        yield
    except CheckFailed as failure:
        found.append(problem(_finding_name(name), failure.what, failure.cure, ms=watch.ms))
    except StorageMisconfigured:
        what = "Storage refuses the secret key for this operation, or does not know the bucket."
        found.append(problem(_finding_name(name), what, cure, ms=watch.ms))
    except Exception as error:  # for example KeyError, when a response lacks a field
        message = f": {error}" if isinstance(error, StorageError) else ""
        found.append(problem(_finding_name(name), f"{type(error).__name__}{message}.", cure, ms=watch.ms))
    else:
        found.append(http.ok_or_slow(_finding_name(name), what, watch.ms))
        return
    raise OperationFailed


def _require_success(response: httpx.Response) -> httpx.Response:
    """Return the response if it is a success. Raises CheckFailed, with no text of the response's body."""
    if response.is_success:
        return response
    if isinstance(error_from_response(response, ""), StorageMisconfigured) and not http.is_html(response):
        raise CheckFailed("Storage refuses a URL that was signed for it.", _signature_cure())
    sender = "A gateway, and not Storage," if http.is_html(response) else "Storage"
    raise CheckFailed(f"{sender} answered {response.status_code} to a signed URL.", CHECK_LOGS)


def _signature_cure() -> str:
    if settings.SUPABASE_SIGNING == "secret":
        return (
            "Set SUPABASE_JWT_SECRET to the JWT secret of this stack, or let Storage sign the URLs: "
            "SUPABASE_SIGNING=server."
        )
    return (
        "Set SUPABASE_URL to the address of the project that signs the URLs, and remove any cache in between."
    )


def _short_validity(expires_at: datetime) -> list[Finding]:
    """Return a warning if the upload URL expires in less than MIN_UPLOAD_TTL seconds."""
    seconds = round((expires_at - datetime.now(UTC)).total_seconds())
    if seconds >= MIN_UPLOAD_TTL:
        return []
    what = f"Upload URLs are valid for {seconds} seconds: too short for a large file."
    cure = (
        "Raise UPLOAD_SIGNED_URL_EXPIRATION_TIME of the Storage server (hosted projects have 7200 seconds)."
    )
    if settings.SUPABASE_SIGNING == "secret":
        cure = "Raise UPLOAD_URL_TTL."
    return [warning(_finding_name("sign_upload"), what, cure)]


def _finding_name(operation: str) -> str:
    return f"round_trip.{operation}"
