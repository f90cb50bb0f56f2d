"""Data that migrations carry over."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

FACTS = {"name": "a.pdf", "content_type": "application/pdf", "size": 5 * 2**30, "sha256": None}


def migrate_to(name: str) -> Any:
    """The models as they are after this migration of `api`."""
    executor = MigrationExecutor(connection)
    executor.migrate([("api", name)])
    return MigrationExecutor(connection).loader.project_state([("api", name)]).apps


@pytest.fixture
def before_columns(migrated_back: None) -> Any:
    """The models before files had columns for size and content type."""
    return migrate_to("0004_admin_names")


@pytest.fixture
def migrated_back(transactional_db) -> Iterator[None]:
    """Whatever the test migrates to, the newest tables are there afterwards."""
    yield
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes("api"))


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
