"""UploadField carries its rules; buckets and checks read them off."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import models
from django.db.migrations.writer import MigrationWriter
from django.db.models import Sum
from django.test.utils import isolate_apps

from api.documents.models import Document
from api.profiles.models import Profile
from storage import buckets, checks, keys
from storage.buckets import Bucket
from storage.content_types import UNKNOWN, canonical
from storage.errors import ObjectMissing
from storage.fields import FileFacts, UploadField, upload_fields

FILE = Document._meta.get_field("file")
OWNER = UUID("11111111-1111-4111-8111-111111111111")


def document(**fields: Any) -> Document:
    return Document(owner_id=OWNER, **fields)


# --- The field --------------------------------------------------------------------------------------------


def test_the_rules_stand_on_the_model_field(settings):
    assert FILE.storage.bucket == "documents"
    assert FILE.accepts == tuple(settings.DOCUMENT_TYPES)
    assert FILE.max_bytes == settings.DOCUMENT_MAX_BYTES
    assert FILE.max_length == keys.MAX_KEY == 1024
    assert FILE in upload_fields()


def test_migrations_do_not_freeze_the_rules():
    _, _, _, options = FILE.deconstruct()

    assert not options.keys() & {"storage", "accepts", "max_bytes", "folder", "placed_by", "facts_field"}
    assert "documents" not in MigrationWriter.serialize(FILE)[0]
    assert FILE.clone().max_length == FILE.max_length


def test_a_fresh_key_is_below_the_folder_of_the_row():
    private = document().file.new_key("application/pdf", "plan.pdf")
    shared = document(visibility="authenticated").file.new_key("image/png", "Zoo map")

    assert re.fullmatch(rf"{OWNER}/[\w-]{{24}}/plan.pdf", private)
    assert re.fullmatch(rf"shared/{OWNER}/[\w-]{{24}}/Zoo_map.png", shared)
    assert document().file.new_key("application/pdf", "plan.pdf") != private


def test_the_name_of_a_file_is_in_its_key_only_where_the_field_keeps_it():
    profile = Profile(pk=OWNER)

    assert re.fullmatch(
        rf"user-profiles/{OWNER}/[\w-]{{24}}.png", profile.avatar.new_key("image/png", "me.png")
    )


@pytest.mark.parametrize("key", [f"{OWNER}/random/plan.pdf", f"{OWNER}/of-an-earlier-version.pdf"])
def test_a_key_belongs_where_the_row_is_placed_now(key):
    row = document(file=key)
    assert row.file.belongs(key)
    assert row.file.is_in_place

    row.visibility = "authenticated"

    assert not row.file.belongs(key)
    assert not row.file.is_in_place
    assert row.file.belongs(f"shared/{key}")
    assert not document().file.belongs(str(OWNER))
    assert not document().file.belongs(f"{OWNER}0/plan.pdf")


def test_a_placement_is_what_the_place_was_chosen_by():
    row = document(file="owner/a.pdf")

    assert row.file.key == "owner/a.pdf"
    assert document().file.key == ""
    assert row.file.as_read() == {"file": "owner/a.pdf", "visibility": "private"}


# --- The file of a row ------------------------------------------------------------------------------------


FACTS: FileFacts = {
    "name": "plan.pdf",
    "content_type": "application/pdf",
    "size": 5120,
    "sha256": None,
    "uploaded_at": datetime(2026, 11, 21, tzinfo=UTC),
}


@pytest.fixture
def stored(db) -> Document:
    """A document in the database, without a file."""
    owner = Profile.objects.create(pk=OWNER)
    created = Document.objects.create(owner=owner, title="Plan")
    Document.objects.update(updated_at=datetime(2026, 1, 1, tzinfo=UTC))
    created.refresh_from_db()
    return created


def test_a_swap_records_the_key_the_facts_and_their_columns(stored: Document):
    assert stored.file.swap("a/b.pdf", facts=FACTS, title="New")

    assert stored.title == "Plan"
    stored.refresh_from_db()
    assert (stored.file.key, stored.title) == ("a/b.pdf", "New")
    assert stored.file.facts is not None
    assert (stored.file.facts["size"], stored.file_size) == (5120, 5120)
    assert stored.file_content_type == "application/pdf"
    assert stored.updated_at.year > 2025


def test_a_swap_without_facts_keeps_those_of_the_file(stored: Document):
    stored.file.swap("a/b.pdf", facts=FACTS)
    stored.refresh_from_db()

    assert stored.file.swap("c/d.pdf")

    stored.refresh_from_db()
    assert (stored.file.key, stored.file_size) == ("c/d.pdf", 5120)


@pytest.mark.parametrize("change", [{"file": "other.pdf"}, {"visibility": "authenticated"}])
def test_a_swap_changes_nothing_when_the_row_has_changed(stored: Document, change: dict[str, str]):
    Document.objects.update(**change)

    assert not stored.file.swap("a/b.pdf", facts=FACTS)

    row = Document.objects.get()
    assert (row.file.key, row.file.facts, row.file_size) == (change.get("file", ""), None, None)


def test_a_swap_of_a_deleted_row_says_so(stored: Document):
    Document.objects.all().delete()

    assert not stored.file.swap("a/b.pdf")


def test_a_row_without_a_file_has_no_url_and_no_object(stored: Document):
    assert not stored.file.exists()
    with pytest.raises(ObjectMissing):
        stored.file.signed_url()


def test_bytes_are_summed_by_the_database(stored: Document):
    stored.file.swap("a/b.pdf", facts=FACTS)

    assert Document.objects.aggregate(total=Sum("file_size")) == {"total": 5120}


# --- Buckets ------------------------------------------------------------------------------------------------


def test_the_buckets_are_those_of_the_settings(settings):
    declared = buckets.declared()

    assert declared.keys() == {
        "media",
        "uploads",
        "documents",
        "user-profiles",
        "originals",
        "species",
        "exhibitions",
        "educational-services",
    }
    public = {name for name, bucket in declared.items() if bucket.public}
    assert public == {"species", "exhibitions", "educational-services"}


def test_a_bucket_is_as_wide_as_its_fields(settings):
    documents = buckets.declared()["documents"]

    assert documents.file_size_limit == settings.DOCUMENT_MAX_BYTES
    assert set(documents.allowed_mime_types) == set(settings.DOCUMENT_TYPES)


def test_what_arrives_may_be_as_wide_as_the_widest_field():
    fields = list(upload_fields())

    arrivals = buckets.declared()["uploads"]

    assert arrivals.file_size_limit == max(field.max_bytes for field in fields)
    accepted = {kind for field in fields for kind in field.accepts}
    assert {canonical(kind) for kind in arrivals.allowed_mime_types} == accepted | {UNKNOWN}
    assert "image/jpg" in arrivals.allowed_mime_types
    assert "image/jpg" not in buckets.declared()["documents"].allowed_mime_types


def test_a_field_names_its_types_as_they_are_registered():
    field = UploadField(storage="documents", accepts=["image/jpg", " IMAGE/JPEG", "application/x-pdf"])

    assert field.accepts == ("image/jpeg", "application/pdf")


def test_a_bucket_without_fields_has_no_limits():
    media = buckets.declared()["media"]

    assert (media.file_size_limit, media.allowed_mime_types) == (None, None)
    assert media.allows("anything/at-all")


@pytest.mark.parametrize(
    ("content_type", "taken"),
    [
        ("application/pdf", True),
        ("image/png", True),
        ("image/svg+xml", True),
        ("text/plain", True),
        ("text/html", False),
        ("APPLICATION/PDF", False),
        ("application/pdf; charset=utf-8", False),
        ("application/pdf ", False),
        ("application/*", False),
        ("imagepng", False),
        ("", False),
        ("*/*", False),
    ],
)
def test_types_are_compared_exactly_or_by_family(content_type, taken):
    bucket = Bucket("any", allowed_mime_types=("application/pdf", "image/*", "text/plain"))

    assert bucket.allows(content_type) is taken
    assert replace(bucket, allowed_mime_types=()).allows(content_type)


# --- Checks -------------------------------------------------------------------------------------------------


def field_with(**changes: Any) -> UploadField:
    """A field of a model of its own, right but for the changes."""
    options = {
        "storage": "documents",
        "accepts": ["application/pdf"],
        "max_bytes": 1,
        "folder": lambda row: "folder",
        "facts_field": "facts",
        **changes,
    }
    with isolate_apps("api"):

        class Plan(models.Model):  # noqa: DJ008
            file = UploadField(**options)
            facts = models.JSONField(null=True)

            class Meta:
                app_label = "api"

    return Plan._meta.get_field("file")


@pytest.mark.parametrize(
    ("changes", "ids"),
    [
        ({}, []),
        ({"accepts": ["application/pdf", "made/up"]}, ["storage.E001"]),
        ({"accepts": []}, ["storage.E002"]),
        ({"max_bytes": 0}, ["storage.E002"]),
        ({"folder": None}, ["storage.E002"]),
        ({"facts_field": "missing"}, ["storage.E003"]),
        ({"facts_field": "nonsense"}, ["storage.E003"]),
        (
            {"accepts": ["made/up"], "max_bytes": -1, "facts_field": "nonsense"},
            ["storage.E001", "storage.E002", "storage.E003"],
        ),
    ],
    ids=str,
)
def test_a_field_that_lacks_a_rule_is_told_with_the_cure(monkeypatch, changes, ids):
    field = field_with(**changes)
    monkeypatch.setattr(checks, "upload_fields", lambda: [field])

    problems = checks.check_fields(None)

    assert [problem.id for problem in problems] == ids
    assert all(problem.hint and problem.obj is field for problem in problems)


def test_the_projects_own_configuration_is_right():
    assert checks.check_fields(None) == checks.check_settings(None) == []


@pytest.mark.parametrize("name", ["UPLOAD_URL_TTL", "DOWNLOAD_URL_TTL", "STORAGE_FILE_SIZE_LIMIT"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_limit_that_lets_nothing_through_is_told(settings, name, value):
    setattr(settings, name, value)

    (problem,) = checks.check_settings(None)

    assert problem.id == "storage.E005"
    assert name in problem.msg


@pytest.mark.parametrize("kind", ["none", "one that cannot sign"])
def test_a_store_for_what_arrives_is_needed(settings, kind):
    others = {alias: store for alias, store in settings.STORAGES.items() if alias != "uploads"}
    cannot_sign = {"uploads": {"BACKEND": "django.core.files.storage.FileSystemStorage"}}
    settings.STORAGES = others if kind == "none" else {**others, **cannot_sign}

    assert [problem.id for problem in checks.check_settings(None)] == ["storage.E004"]
    assert "uploads" not in buckets.declared()


def test_a_project_that_does_not_know_our_signatures_is_told_with_the_cure(settings):
    settings.SUPABASE_URL = "https://ref.supabase.co"

    [problem] = checks.check_settings(None)

    assert problem.id == "storage.E006"
    assert "SUPABASE_JWT_ISSUER" in problem.hint


def test_a_field_that_records_keys_has_a_store_without_a_location(settings, monkeypatch):
    entry = settings.STORAGES["documents"]
    inside = {**entry, "OPTIONS": {**entry["OPTIONS"], "location": "site"}}
    settings.STORAGES = {**settings.STORAGES, "documents": inside}

    monkeypatch.setattr(checks, "upload_fields", lambda: [field_with()])

    [error] = checks.check_fields(None)

    assert error.id == "storage.E017"
