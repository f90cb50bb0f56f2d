"""Filters of lists: by the last change, by what is published, by state, resource and file."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.utils import timezone

from api.models import Document, Exhibition, Profile, Upload
from tests.api.catalog.test_catalog import entry, every_kind, pointers, slugs
from tests.support.cast import Caller, announcement, expire

NOON = datetime(2026, 6, 1, 12, 0, 0, 123456, tzinfo=UTC)


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


# --- What changed after a time ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["documents", "uploads", "profiles", "species", "exhibitions"])
def test_the_latest_time_of_a_list_can_be_sent_back(kind: str, curator: Caller):
    for letter in "ab":
        curator.ticket(curator.document())
        entry("species", scientific_name=f"Panthera l{letter}")
        entry("exhibitions")
        Profile.objects.for_member(uuid4())
    rows = curator.get(f"{kind}/").json()["results"]
    older, newest = sorted(rows, key=lambda row: row["updated_at"])[-2:]

    assert older["updated_at"] < newest["updated_at"]
    assert ids(curator.get(f"{kind}/", updated_after=older["updated_at"])) == [newest["id"]]
    assert ids(curator.get(f"{kind}/", updated_after=newest["updated_at"])) == []
    assert len(ids(curator.get(f"{kind}/", updated_after=""))) == len(rows)


@pytest.mark.parametrize(
    ("time", "is_later"),
    [
        ("2026-06-01T12:00:00.123455Z", True),
        ("2026-06-01T12:00:00.123456Z", False),
        ("2026-06-01T12:00:00.1234559999Z", True),
        ("2026-06-01T12:00:00.1234561Z", False),
        ("2026-06-01T12:00:00Z", True),
        ("2026-06-01t12:00:01z", False),
        ("2026-06-01T14:00:00.1+02:00", True),
        ("2026-06-01T06:30:00.2-05:30", False),
        ("2026-06-01T12:00:00-00:00", True),
        ("0001-01-01T00:00:00Z", True),
        ("9999-12-31T23:59:59.999999Z", False),
    ],
)
def test_a_time_is_exact_to_the_microsecond(time: str, is_later: bool, alice: Caller):
    document = alice.document()
    Document.objects.update(updated_at=NOON)

    assert ids(alice.get("documents/", updated_after=time)) == [document["id"]] * is_later


@pytest.mark.parametrize(
    "time",
    [
        *("2026-06-01T12:00:00", "2026-06-01", "2026-06-01 12:00:00Z", "2026-06-01T12:00Z", "1780315200"),
        *("2026-06-01T12:00:00+02", "2026-06-01T12:00:00+0200", "2026-06-01T12:00:00 02:00", "yesterday"),
        *(
            "2026-02-30T12:00:00Z",
            "2026-06-01T24:00:00Z",
            "2026-06-01T12:00:60Z",
            "2026-06-01T12:00:00+24:00",
        ),
        *("0000-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "\0", "-1"),
        *(
            "2026-06-01T12:00:00.Z",
            "٢٠٢٦-06-01T12:00:00Z",
            "2026-W01-1T12:00:00Z",
            "2026-06-01T12:00:00Z" * 99,
        ),
    ],
)
def test_a_time_without_an_offset_and_what_is_none_is_refused(time: str, nobody: Caller):
    answer = nobody.get("species/", updated_after=time)

    assert pointers(answer) == {"#/updated_after"}
    if "\0" not in time:
        assert answer.json()["errors"][0]["detail"] == (
            "Send a time with its offset, `2026-11-21T02:45:07Z`. In a URL, + is %2B."
        )


def test_who_asks_for_changes_reads_on_with_a_cursor(nobody: Caller):
    for number in range(4):
        entry("exhibitions", published=True, title=str(number))
        Exhibition.objects.filter(title=str(number)).update(updated_at=NOON + timedelta(seconds=number))

    query = {"updated_after": NOON.isoformat(), "ordering": "updated_at", "page_size": 2, "cursor": ""}
    first = nobody.get("exhibitions/", **query).json()
    second = nobody.client.get(first["next"]).json()

    assert [row["title"] for page in (first, second) for row in page["results"]] == ["1", "2", "3"]


# --- What is published --------------------------------------------------------------------------------


@every_kind
def test_staff_list_what_is_published_or_not(kind: str, curator: Caller, nobody: Caller):
    fields = [{"scientific_name": "Panthera leo"}, {"scientific_name": "Panthera onca"}]
    shown, hidden = (
        entry(kind, published=published, **(fields[published] if kind == "species" else {})).slug
        for published in (True, False)
    )

    assert slugs(curator.get(f"{kind}/", published="true")) == [shown]
    assert slugs(curator.get(f"{kind}/", published="false")) == [hidden]
    assert set(slugs(curator.get(f"{kind}/", published=""))) == {shown, hidden}
    assert slugs(nobody.get(f"{kind}/", published="true")) == [shown]
    assert slugs(nobody.get(f"{kind}/", published="false")) == []


@pytest.mark.parametrize("value", ["True", "1", "0", "yes", "null", "unknown", "truе", "true,false", "\0"])
def test_a_boolean_is_true_or_false_and_nothing_else(value: str, alice: Caller):
    assert pointers(alice.get("species/", published=value)) == {"#/published"}
    assert pointers(alice.get("documents/", has_file=value)) == {"#/has_file"}


# --- Documents ----------------------------------------------------------------------------------------


def test_documents_with_and_without_a_file(alice: Caller):
    with_file, without = alice.document_with_file(), alice.document()

    assert ids(alice.get("documents/", has_file="true")) == [with_file["id"]]
    assert ids(alice.get("documents/", has_file="false")) == [without["id"]]


# --- Uploads ------------------------------------------------------------------------------------------


def test_uploads_are_filtered_by_the_state_that_they_show(alice: Caller):
    tickets = {state: alice.ticket(alice.document()) for state in [*Upload.State.values, "past"]}
    for state, ticket in tickets.items():
        if state != "past":
            Upload.objects.filter(pk=ticket["id"]).update(state=state)
    expire(tickets["past"], tickets["held"], tickets["completed"])

    for state in Upload.State.values:
        answer = alice.get("uploads/", state=state)
        expected = {tickets[state]["id"]} | ({tickets["past"]["id"]} if state == "expired" else set())
        assert set(ids(answer)) == expected
        assert {row["state"] for row in answer.json()["results"]} == {state}
    assert len(ids(alice.get("uploads/", state=""))) == 8


@pytest.mark.parametrize("state", ["Pending", "open", "pending,held", "\0", "pending "])
def test_a_state_that_is_none_is_refused(state: str, alice: Caller):
    assert pointers(alice.get("uploads/", state=state)) == {"#/state"}


def resource_paths(curator: Caller) -> list[str]:
    """The path of a resource of each kind, after a ticket was issued for it."""
    paths = [f"documents/{curator.document()['id']}/", f"profiles/{curator.id}/"]
    paths += [f"{kind}/{entry(kind).slug}/" for kind in ("species", "exhibitions", "educational-services")]
    for path in paths:
        picture = announcement(filename="a.png", content_type="image/png")
        answer = curator.post(f"{path}upload-url/", announcement() if "documents" in path else picture)
        assert answer.status_code == 201, answer.content
    return paths


def test_uploads_are_filtered_by_the_resource_as_it_is_shown(curator: Caller):
    for path in resource_paths(curator):
        [shown] = [
            row for row in curator.get("uploads/").json()["results"] if row["resource"].endswith(f"/{path}")
        ]

        assert ids(curator.get("uploads/", resource=shown["resource"])) == [shown["id"]]
        assert ids(curator.get("uploads/", resource=urlsplit(shown["resource"]).path)) == [shown["id"]]
    assert len(ids(curator.get("uploads/", resource=""))) == 5


def test_a_resource_of_others_or_of_nobody_has_no_rows(alice: Caller, bob: Caller, nobody: Caller):
    document = alice.document(visibility="authenticated")
    alice.ticket(document)
    hidden = entry("species", published=False)

    for path in (f"documents/{document['id']}/", f"documents/{uuid4()}/", f"species/{hidden.slug}/"):
        assert ids(bob.get("uploads/", resource=f"/api/v1/{path}")) == []
    assert len(ids(alice.get("uploads/", resource=f"/api/v1/documents/{document['id'].upper()}/"))) == 1


@pytest.mark.parametrize(
    "resource",
    [
        *("documents", "/api/v1/documents/", "/api/v1/documents/x/", "/api/v1/nowhere/", "/", "x" * 5000),
        *(
            "/api/v1/documents/01971f6e-8c5b-7a40-b0a5-3d6b1c1f7e55",
            "http://[",
            "/livez",
            "/admin/",
            "?",
            "é",
        ),
        *("/api/v1/species/lion/pictures/01971f6e-8c5b-7a40-b0a5-3d6b1c1f7e55/", "/api/v1/profiles/me/"),
        *("/api/v1/uploads/01971f6e-8c5b-7a40-b0a5-3d6b1c1f7e55/", "/api/v1/species/%00/", "\0", "%ff", "//"),
        *(
            "/api/v1/documents/01971f6e-8c5b-7a40-b0a5-3d6b1c1f7e55/upload-url/",
            "01971f6e8c5b7a40b0a53d6b1c1f7e55",
        ),
    ],
)
def test_what_is_no_resource_is_refused(resource: str, alice: Caller):
    assert pointers(alice.get("uploads/", resource=resource)) == {"#/resource"}


def test_filters_of_uploads_cost_no_query_more(alice: Caller, django_assert_max_num_queries):
    ticket = alice.ticket(alice.document())
    url = alice.get("uploads/").json()["results"][0]["resource"]
    later = timezone.now() - timedelta(hours=1)

    with django_assert_max_num_queries(3):
        answer = alice.get("uploads/", resource=url, state="pending", updated_after=later.isoformat())

    assert ids(answer) == [ticket["id"]]
