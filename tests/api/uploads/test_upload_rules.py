"""`upload-rules/`: a client learns which files are accepted, and has no copy of the rules."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.support.cast import Caller, announcement, code

FIELDS = {
    ("species", "image"),
    ("species", "pictures"),
    ("exhibitions", "image"),
    ("exhibitions", "pictures"),
    ("educational-services", "image"),
    ("educational-services", "pictures"),
    ("documents", "file"),
    ("profiles", "avatar"),
}


def rules(who: Caller) -> dict[str, dict[str, Any]]:
    answer = who.get("upload-rules/")
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_every_field_has_rules(nobody: Caller):
    assert {(route, name) for route, names in rules(nobody).items() for name in names} >= FIELDS


def test_the_rules_of_documents_and_pictures(nobody: Caller, settings):
    document, gallery = rules(nobody)["documents"]["file"], rules(nobody)["species"]["pictures"]

    assert document == {
        "content_types": ["application/pdf", "image/jpeg", "image/png"],
        "suffixes": [".pdf", ".jpg", ".jpeg", ".png"],
        "accept": "application/pdf,image/jpeg,image/png,.pdf,.jpg,.jpeg,.png",
        "max_bytes": settings.DOCUMENT_MAX_BYTES,
        "picture": {"max_pixels": settings.IMAGE_MAX_PIXELS},
        "max_files": 1,
    }
    assert (gallery["content_types"], gallery["max_files"]) == (["image/jpeg", "image/png", "image/webp"], 20)


def test_tickets_are_issued_by_these_rules(alice: Caller):
    rule = rules(alice)["documents"]["file"]
    path = f"documents/{alice.document()['id']}/upload-url/"

    for content_type in rule["content_types"]:
        at_most = announcement(content_type=content_type, size=rule["max_bytes"])
        assert alice.post(path, at_most).status_code == 201
    assert code(alice.post(path, announcement(size=rule["max_bytes"] + 1))) == "invalid"
    assert code(alice.post(path, announcement(content_type="image/webp"))) == "invalid"


def test_changed_settings_change_them(nobody: Caller, settings):
    settings.PICTURES_PER_ENTRY, settings.IMAGE_MAX_PIXELS = 3, 1000

    assert rules(nobody)["species"]["pictures"]["max_files"] == 3
    assert rules(nobody)["profiles"]["avatar"]["picture"] == {"max_pixels": 1000}


def test_it_is_cached_and_costs_no_query(nobody: Caller):
    with CaptureQueriesContext(connection) as queries:
        first = nobody.get("upload-rules/")
    again = nobody.client.get("/api/v1/upload-rules/", headers={"if-none-match": first.headers["ETag"]})

    assert len(queries) == 0
    assert first.headers["Cache-Control"] == "public, max-age=300"
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("post", "upload-rules/", "method_not_allowed"),
        ("get", "upload-rules/?field=file", "invalid"),
    ],
)
def test_it_is_only_read(nobody: Caller, alice: Caller, method: str, path: str, expected: str):
    assert code(getattr(alice, method)(path)) == expected


def test_a_bad_token_is_refused_here_too():
    assert code(Caller(authorization="Bearer nonsense").get("upload-rules/")) == "token_invalid"
