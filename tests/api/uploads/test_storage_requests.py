"""The HTTP requests of each operation to Supabase Storage: not one more than docs/supabase.md says."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from storage.base import store_of
from storage.fields import upload_fields
from tests.api.uploads.test_verification import picture
from tests.support.cast import PDF, Caller, announcement
from tests.support.proxy import Proxy

LARGE = 2_000_000  # bytes: several times what is read at once
LONG_PDF = PDF + b"\n%" + b"x" * LARGE
WIDE = picture("JPEG", (2600, 20))  # so wide that it has all renditions
LONG_JPEG = picture("JPEG", (400, 300), comment=b"") + bytes(LARGE)

SIGN_UPLOAD, SIGN = "POST /object/upload/sign", "POST /object/sign"
MOVE, COPY, READ, DELETE = (
    "POST /object/move",
    "POST /object/copy",
    "GET /object/authenticated",
    "DELETE /object",
)
RENDITIONS = 5 * ["POST /object", "GET /object/info"]
ROUTE = re.compile(r"\w+ /object(/(authenticated|info|move|copy|sign|upload/sign|list-v2)\b)?")


@pytest.fixture
def requests(front: Proxy, settings, monkeypatch, db) -> Iterator[Callable[..., list[str]]]:
    """Returns the requests for which an action asks, by method and route. All files are in the project."""
    settings.STORAGES = {
        alias: {**entry, "BACKEND": "storage.supabase.SupabaseStorage"} if "OPTIONS" in entry else entry
        for alias, entry in settings.STORAGES.items()
    }
    for field in upload_fields():
        monkeypatch.setattr(field, "storage", store_of(field.alias))

    def requests_of(act: Callable[[], Any]) -> list[str]:
        front.asked.clear()
        answer = act()
        assert answer.status_code < 300, answer.content
        routes = [ROUTE.match(line) for line in front.seen]
        assert all(routes), front.seen
        return [route[0] for route in routes if route]

    yield requests_of
    assert not front.orders


def ask(who: Caller, path: str, content: bytes, content_type: str) -> Any:
    return who.post(f"{path}upload-url/", announcement(content, content_type=content_type))


def ticket_with_file(who: Caller, path: str, content: bytes, content_type: str) -> dict[str, Any]:
    ticket = ask(who, path, content, content_type).json()
    httpx.put(ticket["url"], content=content, headers=ticket["headers"]).raise_for_status()
    return ticket


@pytest.mark.parametrize(
    ("content", "content_type"), [(LONG_PDF, "application/pdf"), (LONG_JPEG, "image/jpeg")]
)
def test_a_document(content: bytes, content_type: str, alice: Caller, requests):
    path = f"documents/{alice.document()['id']}/"
    file = (path, content, content_type)

    assert requests(lambda: ask(alice, *file)) == [SIGN_UPLOAD]
    ticket = ticket_with_file(alice, *file)
    assert requests(lambda: alice.complete(ticket)) == [MOVE, READ]
    assert requests(lambda: alice.complete(ticket)) == [DELETE]
    assert requests(lambda: alice.get(f"{path}download-url/")) == [SIGN]
    assert requests(lambda: alice.get(f"{path}download-url/")) == []
    replacing = ticket_with_file(alice, *file)
    assert requests(lambda: alice.complete(replacing)) == [MOVE, READ, DELETE]
    assert requests(lambda: alice.post(f"{path}revoke-urls/")) == [COPY, DELETE]
    assert requests(lambda: alice.patch(path, {"visibility": "authenticated"})) == [COPY, DELETE]
    assert requests(lambda: alice.delete(path)) == [DELETE, DELETE]  # the first ticket is still open


def test_an_avatar(alice: Caller, requests):
    path = "profiles/me/"
    alice.get(path)
    ticket = ticket_with_file(alice, path, WIDE, "image/jpeg")

    assert requests(lambda: alice.complete(ticket)) == [MOVE, READ, *RENDITIONS]
    assert requests(lambda: alice.get(path)) == [SIGN]
    assert requests(lambda: alice.delete(f"{path}avatar/")) == 6 * [DELETE]


def test_a_picture_of_a_gallery(curator: Caller, requests):
    names = {"common_name": "Otter", "scientific_name": "Lutra lutra"}
    species = f"species/{curator.post('species/', names).json()['slug']}/"
    ticket = ticket_with_file(curator, f"{species}pictures/", WIDE, "image/jpeg")
    picture_path = f"{species}pictures/{ticket['id']}/"

    assert requests(lambda: curator.complete(ticket)) == [MOVE, READ, *RENDITIONS]
    assert requests(lambda: curator.get(picture_path)) == []  # its URLs are public
    assert requests(lambda: curator.get(f"{picture_path}original-url/")) == [SIGN]
    assert requests(lambda: curator.delete(picture_path)) == 6 * [DELETE]
    curator.delete(species)


def test_a_file_above_the_limit_for_checksums(alice: Caller, requests, settings):
    """Only its first bytes are read."""
    settings.CHECKSUM_MAX_BYTES = LARGE
    path = f"documents/{alice.document()['id']}/"
    ticket = ticket_with_file(alice, path, LONG_PDF, "application/pdf")

    assert requests(lambda: alice.complete(ticket)) == [MOVE, READ]
    alice.delete(path)


def test_a_file_that_was_sent_under_another_name_of_its_type(alice: Caller, requests):
    path = f"documents/{alice.document()['id']}/"
    ticket = ask(alice, path, PDF, "application/pdf").json()
    headers = {**ticket["headers"], "content-type": "application/x-pdf"}
    httpx.put(ticket["url"], content=PDF, headers=headers).raise_for_status()

    found = requests(lambda: alice.complete(ticket))

    upload = ["POST /object", "GET /object/info", MOVE]
    assert found == [MOVE, READ, "GET /object/info", READ, *upload, DELETE]
    alice.delete(path)
