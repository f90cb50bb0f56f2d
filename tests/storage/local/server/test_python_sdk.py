"""The Python SDK, as it comes from PyPI, on a running server."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from storage3.exceptions import StorageApiError
from storage3.types import CreateSignedUploadUrlOptions
from supabase import Client, create_client
from supabase.lib.client_options import SyncClientOptions

from api.auth.development_tokens import development_token
from tests.support.cast import PDF, announcement
from tests.support.server import Server

#: It warns itself of what it passes to itself.
pytestmark = pytest.mark.filterwarnings("ignore:The '(timeout|verify)' parameter is deprecated")

BUCKET = "by-the-sdk"
OPTIONS = {"content-type": "application/pdf", "cache-control": "60", "metadata": {"kind": "plan"}}


@pytest.fixture
def connect(server: Server) -> Iterator[Callable[[str], Client]]:
    """Clients with a key, each with connections of its own."""
    with ExitStack() as opened:

        def connect(key: str) -> Client:
            http = opened.enter_context(httpx.Client(timeout=20))
            return create_client(server.url, key, SyncClientOptions(httpx_client=http))

        yield connect


@pytest.fixture
def supabase(connect) -> Client:
    return connect(development_token("", service=True))


@pytest.fixture
def files(supabase: Client) -> Iterator[Any]:
    """The files of a bucket that is gone afterwards."""
    supabase.storage.create_bucket(BUCKET, options={"file_size_limit": "1MB"})
    yield supabase.storage.from_(BUCKET)
    supabase.storage.empty_bucket(BUCKET)
    supabase.storage.delete_bucket(BUCKET)


def names(rows: Any) -> list[str]:
    return [row["name"] for row in rows]


def test_a_bucket_lives_and_dies(supabase, files):
    assert supabase.storage.get_bucket(BUCKET).file_size_limit == 10**6

    supabase.storage.update_bucket(BUCKET, options={"public": True, "allowed_mime_types": ["image/*"]})

    [bucket] = [each for each in supabase.storage.list_buckets() if each.name == BUCKET]
    assert (bucket.public, bucket.file_size_limit, bucket.allowed_mime_types) == (True, 10**6, ["image/*"])
    with pytest.raises(StorageApiError, match="mime type application/pdf"):
        files.upload("plan.pdf", PDF, OPTIONS)
    with pytest.raises(StorageApiError) as refused:
        supabase.storage.create_bucket(BUCKET)
    assert (refused.value.status, refused.value.code) == ("409", "Duplicate")


def test_an_object_goes_up_and_comes_back(files, tmp_path):
    (tmp_path / "plan.pdf").write_bytes(PDF)

    files.upload("a b/plan (1).pdf", tmp_path / "plan.pdf", OPTIONS)

    assert files.download("a b/plan (1).pdf") == PDF
    known = files.info("a b/plan (1).pdf")
    assert (known["size"], known["content_type"], known["metadata"]) == (
        len(PDF),
        "application/pdf",
        {"kind": "plan"},
    )
    assert known["cache_control"] == "max-age=60"
    assert (files.exists("a b/plan (1).pdf"), files.exists("none")) == (True, False)


def test_an_object_is_replaced_only_when_asked(files):
    files.upload("plan.pdf", PDF, OPTIONS)

    with pytest.raises(StorageApiError) as refused:
        files.upload("plan.pdf", b"second", OPTIONS)
    assert (refused.value.status, refused.value.code) == ("409", "Duplicate")
    files.update("plan.pdf", b"third", OPTIONS)
    assert files.download("plan.pdf") == b"third"
    files.upload("plan.pdf", b"fourth", {**OPTIONS, "upsert": "true"})
    assert files.download("plan.pdf") == b"fourth"


def test_objects_are_copied_moved_listed_and_removed(files):
    files.upload("plan.pdf", PDF, OPTIONS)

    files.copy("plan.pdf", "copies/plan.pdf")
    files.move("plan.pdf", "moved.pdf")

    assert names(files.list()) == ["copies", "moved.pdf"]
    assert names(files.list("copies", {"limit": 1, "sortBy": {"column": "created_at", "order": "desc"}})) == [
        "plan.pdf"
    ]
    listed = files.list_v2({"with_delimiter": True, "limit": 1})
    assert ([folder.name for folder in listed.folders], listed.hasNext) == (["copies/"], True)
    assert names(files.remove(["moved.pdf", "copies/plan.pdf", "none"])) == ["moved.pdf", "copies/plan.pdf"]
    assert files.list() == []


def test_urls_are_signed_and_public(supabase, files):
    files.upload("a b.pdf", PDF, OPTIONS)

    one = files.create_signed_url("a b.pdf", 60, {"download": "guía.pdf"})["signedURL"]
    first, second = files.create_signed_urls(["a b.pdf", "none"], 60)

    answer = httpx.get(one)
    assert (answer.content, answer.headers["content-disposition"][:11]) == (PDF, "attachment;")
    assert httpx.get(first["signedURL"]).content == PDF
    assert second["error"]
    public = files.get_public_url("a b.pdf")
    assert httpx.get(public).status_code == 400
    supabase.storage.update_bucket(BUCKET, options={"public": True})
    assert httpx.get(public).content == PDF


def test_who_has_a_signed_upload_url_needs_no_key(connect, files):
    signed = files.create_signed_upload_url("new.pdf", CreateSignedUploadUrlOptions(upsert="true"))

    stranger = connect(development_token("bob@example.org"))
    for content in (b"first", PDF):
        stranger.storage.from_(BUCKET).upload_to_signed_url("new.pdf", signed["token"], content, OPTIONS)

    assert files.download("new.pdf") == PDF
    with pytest.raises(StorageApiError) as refused:
        stranger.storage.from_(BUCKET).download("new.pdf")
    assert refused.value.status == "404"


def test_a_ticket_is_carried_to_completion(server: Server, connect):
    alice = server.client("sdk@example.org")
    document = alice.post("/api/v1/documents/", json={"title": "sdk"}).json()
    ticket = alice.post(f"/api/v1/documents/{document['id']}/upload-url/", json=announcement()).json()

    stranger = connect("sb_publishable_any")
    stranger.storage.from_(ticket["bucket"]).upload_to_signed_url(
        ticket["path"], ticket["token"], PDF, {"content-type": ticket["headers"]["content-type"]}
    )

    done = alice.post(ticket["complete_url"])
    assert (done.status_code, done.json()["state"]) == (200, "completed")
    assert alice.get(f"/api/v1/documents/{document['id']}/").json()["file"]["size"] == len(PDF)
