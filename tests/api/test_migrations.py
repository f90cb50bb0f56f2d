"""Data that migrations carry over."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from api.catalog.pictures import SpeciesPicture
from api.demo.drawing import illustration
from api.models import Species
from api.uploads.renditions import make_due
from storage.base import incoming_store, store_of
from tests.support.cast import Caller, announcement, body, fetch

pytestmark = pytest.mark.slow  # each test migrates back and forth

FACTS = {"name": "a.pdf", "content_type": "application/pdf", "size": 5 * 2**30, "sha256": None}


def migrate_to(name: str) -> Any:
    """The models as they are after this migration of `api`."""
    executor = MigrationExecutor(connection)
    executor.migrate([("api", name)])
    return MigrationExecutor(connection).loader.project_state([("api", name)]).apps


def migrate_to_newest() -> None:
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes("api"))


@pytest.fixture
def before_columns(migrated_back: None) -> Any:
    """The models before files had columns for size and content type."""
    return migrate_to("0004_admin_names")


@pytest.fixture
def migrated_back(transactional_db) -> Iterator[None]:
    """Whatever the test migrates to, the newest tables are there afterwards."""
    yield
    migrate_to_newest()


def test_size_and_content_type_become_columns(before_columns: Any):
    owner = before_columns.get_model("api", "Profile").objects.create(
        pk="6c1f9a52-6f0a-5d7e-9b7e-2f6a3c0d9b11"
    )
    documents = before_columns.get_model("api", "Document").objects
    documents.create(title="with a file", owner=owner, file="a/b.pdf", file_facts=FACTS)
    documents.create(title="without", owner=owner)

    rows = migrate_to("0005_file_columns").get_model("api", "Document").objects
    columns = dict(rows.values_list("title", "file_size"))
    kinds = dict(rows.values_list("title", "file_content_type"))

    assert columns == {"with a file": 5 * 2**30, "without": None}
    assert kinds == {"with a file": "application/pdf", "without": ""}
    assert rows.get(title="with a file").file_facts == FACTS


def test_rows_of_before_are_found_by_search_and_stay_when_it_is_undone(migrated_back: None):
    before = migrate_to("0009_idempotency").get_model("api", "Species").objects
    many = [(f"Ñandú {number}", f"Rhea {number}") for number in range(300)]
    before.bulk_create(
        before.model(slug=scientific, common_name=common, scientific_name=scientific)
        for common, scientific in many
    )

    after = migrate_to("0010_search_text").get_model("api", "Species").objects
    assert after.filter(search_text__icontains="NANDU").count() == 300
    assert after.get(search_text__icontains="rhea 299").common_name == "Ñandú 299"

    undone = migrate_to("0009_idempotency").get_model("api", "Species").objects
    assert sorted(undone.values_list("common_name", "scientific_name")) == sorted(many)


def test_texts_of_before_are_normalized(migrated_back: None):
    before = migrate_to("0010_search_text").get_model("api", "Species").objects
    names = ["N\u0303andu\u0301", "Quokka\u200b", "Zorro", "Zorro\u00ad"]
    for number, name in enumerate(names):
        before.create(slug=f"s{number}", common_name=name, scientific_name=f"Rhea {'ab'[number % 2]}{name}")
    before.create(slug="taken", common_name="", scientific_name="Rhea aZorro\u200b")

    after = migrate_to("0011_normalized_text").get_model("api", "Species").objects.order_by("slug")

    assert [row.common_name for row in after] == ["Ñandú", "Quokka", "Zorro", "Zorro", ""]
    assert [row.scientific_name for row in after] == [
        "Rhea aÑandú",
        "Rhea bQuokka",
        "Rhea aZorro",
        "Rhea bZorro",
        "Rhea aZorro\u200b",
    ]


# --- Images that become pictures -----------------------------------------------------------------------

ENTRIES: dict[str, dict[str, Any]] = {
    "Species": {"common_name": "Otter", "scientific_name": "Lutra lutra"},
    "Exhibition": {"title": "Rivers"},
    "EducationalService": {"title": "Otters", "duration_minutes": 30, "capacity": 9, "price": 1},
}
JPEG = illustration("Otter", "Lutra lutra", ["Mammalia"])
JPEG_FACTS = {"name": "otter.jpg", "content_type": "image/jpeg", "size": len(JPEG), "sha256": None}
KEY = "with-image/AbcDefGhi1JklMnoPqr2StuV.jpg"


def columns(field: str, key: str, facts: Any = None) -> dict[str, Any]:
    """The columns of a file with this key."""
    return {
        field: key,
        f"{field}_facts": facts,
        f"{field}_size": facts["size"] if facts else None,
        f"{field}_content_type": facts["content_type"] if facts else "",
    }


def columns_of(row: Any, field: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in columns(field, "")} | {field: getattr(row, field).name}


@pytest.fixture
def before_pictures(migrated_back: None, alice: Caller, bob: Caller) -> Any:
    """The models before entries had pictures. One entry of each kind has an image, and alice an avatar."""
    before = migrate_to("0013_pictures")
    for model, fields in ENTRIES.items():
        entries = before.get_model("api", model).objects
        entries.create(slug="with-image", **fields, **columns("image", KEY, JPEG_FACTS))
        names = {"scientific_name": "Lutra maculicollis"} if model == "Species" else {}
        entries.create(slug="without", **fields | names)
    profiles = before.get_model("api", "Profile").objects
    profiles.create(pk=alice.id, **columns("avatar", f"{alice.id}/a.jpg", JPEG_FACTS))
    profiles.create(pk=bob.id)
    return before


@pytest.mark.parametrize("model", ENTRIES)
def test_an_image_becomes_the_first_picture_and_is_published_on(before_pictures: Any, model: str):
    after = migrate_to("0014_first_pictures")

    [picture] = after.get_model("api", f"{model}Picture").objects.all()
    assert (picture.entry.slug, picture.position) == ("with-image", 0)
    assert picture.published_original.name == KEY
    assert columns_of(picture, "original") == columns("original", "", JPEG_FACTS)
    assert picture.renditions_due_at <= timezone.now()


def test_an_avatar_is_published_on(before_pictures: Any, alice: Caller, bob: Caller):
    profiles = migrate_to("0014_first_pictures").get_model("api", "Profile").objects

    profile, without = profiles.get(pk=alice.id), profiles.get(pk=bob.id)
    assert profile.published_original.name == f"{alice.id}/a.jpg"
    assert columns_of(profile, "avatar") == columns("avatar", "", JPEG_FACTS)
    assert profile.renditions_due_at <= timezone.now()
    assert (without.published_original.name, without.renditions_due_at) == ("", None)


@pytest.mark.parametrize("model", ENTRIES)
def test_images_are_put_back_when_it_is_undone(before_pictures: Any, model: str):
    rows = before_pictures.get_model("api", model).objects.order_by("slug")
    before = [columns_of(row, "image") for row in rows]

    migrate_to("0015_remove_images")
    undone = migrate_to("0013_pictures")

    rows = undone.get_model("api", model).objects.order_by("slug")
    assert [columns_of(row, "image") for row in rows] == before
    assert before[0]["image"] == KEY


def test_avatars_are_put_back_when_it_is_undone(before_pictures: Any, alice: Caller, bob: Caller):
    migrate_to("0015_remove_images")

    profiles = migrate_to("0013_pictures").get_model("api", "Profile").objects

    assert columns_of(profiles.get(pk=alice.id), "avatar") == columns(
        "avatar", f"{alice.id}/a.jpg", JPEG_FACTS
    )
    assert columns_of(profiles.get(pk=bob.id), "avatar") == columns("avatar", "")


def test_of_a_picture_with_renditions_the_jpeg_is_put_back(before_pictures: Any, alice: Caller):
    """The uploaded file is private by then."""
    after = migrate_to("0015_remove_images")
    made = {"published_original": "", "jpeg": "with-image/b.jpg", "renditions_due_at": None}
    pictures = after.get_model("api", "SpeciesPicture").objects
    pictures.update(**made, original="species/with-image/a.jpg")
    further = after.get_model("api", "SpeciesPicture")(entry=pictures.get().entry, position=1, jpeg="c.jpg")
    further.save()
    after.get_model("api", "Profile").objects.filter(pk=alice.id).update(**made, avatar="user-profiles/a.jpg")

    undone = migrate_to("0013_pictures")

    species = undone.get_model("api", "Species").objects.get(slug="with-image")
    profile = undone.get_model("api", "Profile").objects.get(pk=alice.id)
    assert columns_of(species, "image") == columns("image", "with-image/b.jpg")
    assert columns_of(profile, "avatar") == columns("avatar", "with-image/b.jpg")


def test_renditions_of_an_image_of_before_take_its_place(before_pictures: Any, nobody: Caller):
    published = store_of("species")
    published.put(KEY, [JPEG], content_type="image/jpeg", cache_control="max-age=60")
    before_pictures.get_model("api", "Species").objects.update(published=True)
    migrate_to("0015_remove_images")
    assert body(fetch(nobody.get("species/with-image/").json()["image_url"])) == JPEG

    assert make_due(Species.objects.get(slug="with-image").image)

    image = Species.objects.get(slug="with-image").image
    assert original_of(image) == JPEG
    assert (image.original.facts, image.published_original.key) == (JPEG_FACTS, "")
    assert not published.has_object(KEY)
    assert body(fetch(nobody.get("species/with-image/").json()["image_url"])) != JPEG


@pytest.mark.parametrize("slug", ["with-image", "without"])
def test_a_ticket_of_before_is_completed(before_pictures: Any, curator: Caller, slug: str):
    store_of("species").put(KEY, [b"before"], content_type="image/jpeg", cache_control="max-age=60")
    upload_id = ticket_for_image(before_pictures, curator, slug)

    migrate_to_newest()
    answer = curator.post(f"uploads/{upload_id}/complete/")

    assert answer.status_code == 200, answer.content
    image = Species.objects.get(slug=slug).image
    assert original_of(image) == JPEG
    assert image.published_original.key == ""
    assert store_of("species").has_object(KEY) is (slug == "without")


def original_of(picture: SpeciesPicture) -> bytes:
    with picture.original.storage.read(picture.original.key) as file:
        return file.read()


def ticket_for_image(before: Any, owner: Caller, slug: str) -> Any:
    """The id of an open ticket, whose file is sent."""
    species = before.get_model("api", "Species")
    upload = before.get_model("api", "Upload").objects.create(
        owner=owner.id,
        content_type_id=ContentType.objects.get_for_model(Species).pk,
        object_id=species.objects.get(slug=slug).pk,
        field_name="image",
        declared=announcement(JPEG, filename="otter.jpg", content_type="image/jpeg"),
        path=f"{uuid4()}.jpg",
        expires_at=timezone.now() + timedelta(hours=1),
    )
    incoming_store().put(upload.path, [JPEG], content_type="image/jpeg", cache_control="max-age=60")
    return upload.pk
